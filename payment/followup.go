package payment

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
)

// words are what a follow-up did, or did not do, in the journal's state of it; ok
// is false for a state that is none.
func words(s journal.State) (done, undone string, ok bool) {
	switch s {
	case journal.Void:
		return "the payment was taken back: nothing is charged", "the payment stands", true
	case journal.Advice:
		return "the bank took the payment that the card had approved without it", "the payment that the card had approved without it is not paid", true
	case journal.Increment:
		return "the amount was added to what the card holds ready", "the card holds ready what it did", true
	case journal.Capture:
		return "the amount was taken of what the card held ready", "nothing was taken", true
	}
	return "", "", false
}

// refused is the server's no to a follow-up.
type refused struct{ code, text string }

func (r *refused) Error() string { return "payment: refused by the bank: " + r.code + " " + r.text }

// reason says in words what a no means for the earlier payment.
func (r *refused) reason(s journal.State) string {
	_, undone, _ := words(s)
	return "the bank refused: " + r.text + "; " + undone
}

// result is how the follow-up stands that was refused.
func (r *refused) result(e journal.Entry) Result {
	res := followedUp(e)
	res.Outcome, res.ResponseCode, res.Reasons = Declined, r.code, []string{r.reason(e.State)}
	return res
}

// followedUp is how a follow-up stands that the server acknowledged.
func followedUp(e journal.Entry) Result {
	done, _, _ := words(e.State)
	r := Result{
		Outcome: Approved, Order: e.Order, Type: trade.Type(e.Type), STAN: e.STAN, RRN: e.RRN, AuthCode: e.AuthCode, ResponseCode: "00",
		Reasons: []string{done}, Time: e.TransmissionTime,
	}
	r.setAmount(e.Amount)
	return r
}

// write puts a void, a completion or an increment of a payment that this unit made into the
// journal; it needs no card. From then on it is sent until the server answers.
func (p *run) write(ctx context.Context) Trigger {
	o := p.trade.Original
	how, err := p.u.howRead(ctx, o.Order)
	if err != nil {
		return p.fail(err)
	}
	e := journal.Entry{
		Order: p.order.ID, Type: string(p.trade.Type), State: journal.Capture,
		STAN: o.STAN, RRN: o.RRN, MTI: o.MTI, TransmissionTime: o.Transmitted, AuthCode: o.AuthCode,
		ProcessingCode: o.ProcessingCode, Amount: p.trade.Amount, EntryMode: entries[how].mode,
	}
	switch p.trade.Type {
	case trade.Void:
		e.State, e.Reason = journal.Void, string(acquirer.ReasonCancelled)
	case trade.Incremental:
		e.State = journal.Increment
	}
	p.res.STAN, p.res.RRN, p.res.AuthCode = e.STAN, e.RRN, e.AuthCode
	kept, err := json.Marshal(followedUp(e))
	if err != nil {
		return p.fail(err)
	}
	e.Result = kept
	if err := p.line.open(ctx); err != nil {
		return p.fail(err)
	}
	if err := p.u.journal.Put(ctx, e); err != nil {
		return p.fail(err)
	}
	p.debt = e
	return TriggerWritten
}

// howRead is how the card of an earlier payment of this unit was read, which what
// follows the payment says again (DE 22); by its chip where that is not known any
// more.
func (u *Unit) howRead(ctx context.Context, order string) (entry, error) {
	b, ok, err := u.journal.Result(ctx, order)
	if err != nil || !ok {
		return entryChip, err
	}
	r, err := stored(b)
	if err != nil {
		return entryChip, err
	}
	for how, e := range entries {
		if e.word == r.Entry {
			return entry(how), nil
		}
	}
	return entryChip, nil
}

// follow sends what write wrote.
func (p *run) follow(ctx context.Context) Trigger {
	e := &p.debt
	err := p.u.send(ctx, p.line, e)
	var no *refused
	switch {
	case err == nil:
		p.res.ResponseCode = "00"
		done, _, _ := words(e.State)
		p.reason("%s", done)
		return TriggerAcknowledged
	case errors.As(err, &no):
		p.res.ResponseCode = no.code
		p.reason("%s", no.reason(e.State))
		return TriggerHostDeclined
	}
	p.u.tell(PhaseReverse, "the %s is kept and sent at the next chance: %v", p.trade.Type, err)
	p.res.PendingReversal = e.RRN
	p.reason("the %s of %s is kept in the journal and not acknowledged yet", p.trade.Type, e.RRN)
	return TriggerUnsettled
}
