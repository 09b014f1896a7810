package payment

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
)

// voidRefused is the server's no to a void.
type voidRefused struct{ code, text string }

func (v *voidRefused) Error() string {
	return "payment: the void was refused: " + v.code + " " + v.text
}

// result is how the void stands that was refused.
func (v *voidRefused) result(e journal.Entry) Result {
	r := voided(e)
	r.Outcome, r.ResponseCode, r.Reasons = Declined, v.code, []string{"the bank refused the void: " + v.text + "; the payment stands"}
	return r
}

// voided is how a void stands that the server acknowledged.
func voided(e journal.Entry) Result {
	r := Result{
		Outcome: Approved, Order: e.Order, Type: trade.Void, STAN: e.STAN, RRN: e.RRN, AuthCode: e.AuthCode, ResponseCode: "00",
		Reasons: []string{"the payment was taken back: nothing is charged"}, Time: e.TransmissionTime,
	}
	r.setAmount(e.Amount)
	return r
}

// void undoes a payment that this unit made: it needs no card. From the moment
// in which the void stands in the journal it is sent until the server answers.
func (p *run) void(ctx context.Context) (Result, error) {
	o := p.trade.Original
	e := journal.Entry{
		Order: p.order.ID, Type: string(trade.Void), State: journal.Void,
		STAN: o.STAN, RRN: o.RRN, MTI: "0200", TransmissionTime: o.Transmitted, AuthCode: o.AuthCode,
		ProcessingCode: acquirer.ProcessingSale, Amount: p.trade.Amount, EntryMode: "051", Reason: string(acquirer.ReasonCancelled),
	}
	p.res.STAN, p.res.RRN, p.res.AuthCode = e.STAN, e.RRN, e.AuthCode
	kept, err := json.Marshal(voided(e))
	if err != nil {
		return Result{}, err
	}
	e.Result = kept
	if err := p.line.open(ctx); err != nil {
		return Result{}, err
	}
	if err := p.u.journal.Put(ctx, e); err != nil {
		return Result{}, err
	}
	err = p.u.send(ctx, p.line, &e)
	var no *voidRefused
	switch {
	case err == nil:
		p.res.ResponseCode = "00"
		p.reason("the payment was taken back: nothing is charged")
		return p.finish(ctx, Approved, emv.Outcome{}), nil
	case errors.As(err, &no):
		p.res.ResponseCode = no.code
		p.reason("the bank refused the void: %s; the payment stands", no.text)
		return p.finish(ctx, Declined, emv.Outcome{}), nil
	}
	p.u.tell(PhaseReverse, "the void is kept and sent at the next chance: %v", err)
	p.res.PendingReversal = e.RRN
	p.reason("the void of %s is kept in the journal and not acknowledged yet", e.RRN)
	return p.finish(ctx, Unknown, emv.Outcome{}), nil
}
