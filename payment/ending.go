package payment

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/receipt"
	"github.com/payunit/payunit/trusted"
)

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
		r.MaskedPAN, r.Entry = a.PAN.Masked(), entries[p.how].word
		r.CVM, r.Risks = o.CVM.String(), o.Risks
		if p.how.chip() {
			r.AID = strings.ToUpper(hex.EncodeToString(o.AID))
			r.Label = o.Name()
			r.ODA = o.ODA.String()
			r.TVR, r.TSI = o.TVR.String(), o.TSI.String()
			r.CryptogramType = o.CryptogramType.String()
		}
		// What the unit says last is what the payment ended by.
		r.Reasons = append(append([]string{}, o.Reasons...), r.Reasons...)
	}
	tid, mid := p.u.c.Device.Identity()
	d := receipt.Data{
		Language: p.language(),
		Merchant: p.trade.Merchant, MerchantID: mid, TerminalID: tid,
		Time: now, Order: r.Order, Type: string(r.Type), Amount: p.trade.Amount, Cashback: p.trade.Cashback, Tip: p.tip,
		TruncatedPAN: truncated, Label: r.Label, AID: r.AID, Entry: r.Entry,
		CVM: o.CVM.Statement(), Signature: o.CVM.Signature(),
		Outcome: strings.ToUpper(string(end)), Reversed: r.Reversed, Offline: p.offline && end == Approved,
		AuthCode: r.AuthCode, ResponseCode: r.ResponseCode, RRN: r.RRN, STAN: r.STAN,
		CryptogramType: r.CryptogramType, Cryptogram: strings.ToUpper(hex.EncodeToString(o.Cryptogram)),
		TVR: r.TVR, TSI: r.TSI,
	}
	if r.Balance != "" {
		d.Balance = &p.balance
	}
	switch {
	case end != Approved:
		d.Reason = p.why()
	case !p.asked.Currency.IsZero():
		d.Reason = acquirer.SayPartial.In(d.Language) + ": " + p.trade.Amount.String() + " / " + p.asked.String()
		r.Asked = p.asked.Decimal()
	}
	// Before the card was read there is nothing to give a receipt for.
	if p.emv != nil {
		r.Receipt, r.ReceiptHTML = receipt.Text(d, receipt.Cardholder, p.u.c.ReceiptWidth), receipt.HTML(d, receipt.Cardholder)
		d.Language = p.u.c.MerchantLanguage
		r.MerchantReceipt = receipt.Text(d, receipt.Merchant, p.u.c.ReceiptWidth)
	}
	r.Timing = Timing{Card: p.timing.Card, Channel: p.line.waited, People: p.u.pin.people, Total: now.Sub(p.start)}
	return r
}

// why is the reason for the cardholder: in their language where the bank gave
// it, else the first of the result's.
func (p *run) why() string {
	switch {
	case p.say != "":
		return p.say.In(p.language())
	case len(p.res.Reasons) > 0:
		return p.res.Reasons[0]
	}
	return ""
}

// announce tells the cardholder how it ended.
func (p *run) announce(ctx context.Context, r Result) {
	switch r.Outcome {
	case Approved:
		p.notify(ctx, trusted.MessageApproved)
	case Declined:
		p.notifyWith(ctx, trusted.MessageDeclined, map[string]string{"reason": p.why()})
	case Cancelled:
		p.notify(ctx, trusted.MessageCancelled)
	case Unknown:
		p.notify(ctx, trusted.MessageUnknown)
	}
	if p.card != nil {
		p.notify(ctx, trusted.MessageRemoveCard)
	}
}
