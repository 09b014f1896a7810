package payment

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/payunit/payunit/payment/receipt"
	"github.com/payunit/payunit/trusted"
)

// receiptWidth is the usual width of a terminal's paper, in characters.
const receiptWidth = 40

// result draws the result and its receipts up.
func (p *run) result(end Outcome) Result {
	o := p.outcome
	r := p.res
	now := p.u.c.Now()
	r.Outcome, r.Time = end, now
	truncated := ""
	if p.emv != nil {
		a := p.emv.Authorize()
		truncated = a.PAN.Truncated()
		r.MaskedPAN, r.Entry = a.PAN.Masked(), "chip"
		r.AID = strings.ToUpper(hex.EncodeToString(o.AID))
		r.Label = o.Name()
		r.CVM, r.ODA = o.CVM.String(), o.ODA.String()
		r.TVR, r.TSI = o.TVR.String(), o.TSI.String()
		r.CryptogramType = o.CryptogramType.String()
		// What the unit says last is what the payment ended by.
		r.Reasons = append(append([]string{}, o.Reasons...), r.Reasons...)
	}
	tid, mid := p.u.c.Device.Identity()
	d := receipt.Data{
		Merchant: p.trade.Merchant, MerchantID: mid, TerminalID: tid,
		Time: now, Order: r.Order, Type: string(r.Type), Amount: p.trade.Amount, Cashback: p.trade.Cashback,
		TruncatedPAN: truncated, Label: r.Label, AID: r.AID, Entry: r.Entry,
		CVM: o.CVM.Statement(), Signature: o.CVM.Signature(),
		Outcome: strings.ToUpper(string(end)), Reversed: r.Reversed,
		AuthCode: r.AuthCode, ResponseCode: r.ResponseCode, RRN: r.RRN, STAN: r.STAN,
		CryptogramType: r.CryptogramType, Cryptogram: strings.ToUpper(hex.EncodeToString(o.Cryptogram)),
		TVR: r.TVR, TSI: r.TSI,
	}
	if r.Balance != "" {
		d.Balance = &p.balance
	}
	if end != Approved && len(p.res.Reasons) > 0 {
		d.Reason = p.res.Reasons[0]
	}
	if end == Unknown {
		d.Outcome = "OUTCOME UNKNOWN: DO NOT PAY AGAIN"
	}
	// Before the card was read there is nothing to give a receipt for.
	if p.emv != nil {
		r.Receipt = receipt.Text(d, receipt.Cardholder, receiptWidth)
		r.MerchantReceipt = receipt.Text(d, receipt.Merchant, receiptWidth)
	}
	r.Timing = Timing{Card: p.timing.Card, Channel: p.line.waited, People: p.u.pin.people, Total: now.Sub(p.start)}
	return r
}

// announce tells the cardholder how it ended.
func (p *run) announce(ctx context.Context, r Result) {
	switch r.Outcome {
	case Approved:
		p.notify(ctx, trusted.MessageApproved)
	case Declined:
		reason := ""
		if len(p.res.Reasons) > 0 {
			reason = p.res.Reasons[0]
		}
		p.notifyWith(ctx, trusted.MessageDeclined, map[string]string{"reason": reason})
	case Cancelled:
		p.notify(ctx, trusted.MessageCancelled)
	case Unknown:
		p.notify(ctx, trusted.MessageUnknown)
	}
	if p.card != nil {
		p.notify(ctx, trusted.MessageRemoveCard)
	}
}
