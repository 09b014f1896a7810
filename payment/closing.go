package payment

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/trusted"
)

// generate runs the second half of the card's transaction, as far as the card
// goes along.
func (p *run) generate(ctx context.Context, r emv.HostResponse) error {
	began := p.u.c.Now()
	err := p.u.within(ctx, PhaseComplete, p.u.c.Limits.Complete, func(ctx context.Context) (err error) {
		p.outcome, err = p.emv.Complete(ctx, r)
		return err
	})
	p.timing.Card += p.u.c.Now().Sub(began)
	if err != nil {
		p.outcome = p.emv.Outcome()
	}
	return err
}

// hostResponse is the server's response for the card. Whether its code approves is
// for the dialect's table to say.
func (u *Unit) hostResponse(m *acquirer.Message) emv.HostResponse {
	code, _ := u.c.Dialect.Response(m.ResponseCode)
	iad, scripts := acquirer.IssuerData(m.ICC)
	return emv.HostResponse{
		ARC: cmp.Or(acquirer.ResponseARC(m.ICC), m.ResponseCode), AuthorisationCode: m.AuthCode,
		IssuerAuthenticationData: iad, Scripts: scripts, Approved: code.Approved(),
	}
}

// refusal is a response that the card may approve nothing for, whatever it has
// for the card.
func (u *Unit) refusal(m *acquirer.Message) emv.HostResponse {
	r := u.hostResponse(m)
	r.Approved = false
	return r
}

// complete puts the server's approval to the card.
func (p *run) complete(ctx context.Context) Trigger {
	err := p.generate(ctx, p.u.hostResponse(p.answer))
	switch {
	case err != nil:
		p.debt.Reason = string(acquirer.ReasonDevice)
		p.reason("the card did not complete the payment that the bank approved: %s", kindOf(err))
		return TriggerFailed
	case p.outcome.Decision != emv.Approved:
		p.debt.Reason = string(acquirer.ReasonDevice)
		// What the card did with the issuer's scripts goes along.
		p.debt.ICC = p.emv.Authorize().Completion55()
		p.reason("the card declined what the bank approved")
		return TriggerCardDeclined
	}
	return TriggerCardApproved
}

// record turns the debt from a reversal into a completion, the point after
// which the payment stands.
func (p *run) record(ctx context.Context) Trigger {
	e := p.debt
	e.State, e.AuthCode, e.ICC, e.Reason = journal.Completion, p.answer.AuthCode, p.emv.Authorize().Completion55(), ""
	r := p.result(Approved)
	body, err := json.Marshal(r)
	if err == nil {
		e.Result = body
		// The cardholder may go now, but not before the payment is safe from
		// a crash: the caller's cancellation comes too late to undo it.
		err = p.u.journal.Put(context.WithoutCancel(ctx), e)
	}
	if err != nil {
		p.u.tell(PhaseComplete, "the approval could not be written down, it is taken back: %v", err)
		p.reason("the approval could not be written to storage")
		p.debt.Reason = string(acquirer.ReasonMalfunction)
		return TriggerFailed
	}
	p.debt, p.end = e, &r
	return TriggerWritten
}

// advise tells the server that the payment stands. A caller who gives up loses
// nothing: it is kept, and sent at the next chance.
func (p *run) advise(ctx context.Context) Trigger {
	err := p.u.send(ctx, p.line, &p.debt)
	var no *refused
	if errors.As(err, &no) {
		// An offline approval that the bank does not take is none.
		p.end = nil
		p.res.ResponseCode = no.code
		p.reason("%s", no.reason(p.debt.State))
		return TriggerHostDeclined
	}
	if err != nil {
		p.u.tell(PhaseComplete, "the completion is kept and sent at the next chance: %v", err)
		return TriggerUnsettled
	}
	return TriggerAcknowledged
}

// refuse puts the server's refusal to the card: nothing was booked.
func (p *run) refuse(ctx context.Context) Trigger {
	if err := p.generate(ctx, p.u.refusal(p.answer)); err != nil {
		p.reason("the card was not completed: %s", kindOf(err))
	}
	if err := p.u.journal.Settle(ctx, p.debt.Order, nil); err != nil {
		// A reversal too many is answered by the server and changes nothing.
		p.u.tell(PhaseComplete, "the journal keeps a reversal that is not needed: %v", err)
	}
	return TriggerDone
}

// withdraw tells the card that there is no approval: no answer came that can be
// trusted, or one that this unit does not take.
func (p *run) withdraw(ctx context.Context) Trigger {
	// What may have been booked is taken back: the card may not approve it
	// by itself.
	r := p.declining()
	if p.answer != nil {
		r = p.u.refusal(p.answer)
	}
	if err := p.generate(ctx, r); err != nil {
		p.reason("the card was not completed: %s", kindOf(err))
	}
	return TriggerDone
}

// reverse takes the request back at once where the server can be reached, else
// leaves it to Recover.
func (p *run) reverse(ctx context.Context) Trigger {
	p.notify(ctx, trusted.MessageReversing)
	if err := p.u.journal.Put(context.WithoutCancel(ctx), p.debt); err != nil {
		p.u.tell(PhaseReverse, "the journal keeps the reversal with its first reason: %v", err)
	}
	err := ctx.Err()
	if err == nil {
		err = p.u.send(ctx, p.line, &p.debt)
	}
	if err == nil {
		p.res.Reversed = true
		p.reason("what the bank may have booked was reversed: nothing is charged")
		return TriggerAcknowledged
	}
	p.u.tell(PhaseReverse, "the reversal is kept and sent at the next chance: %v", err)
	p.res.PendingReversal = p.debt.RRN
	p.reason("the reversal of %s is kept in the journal and not acknowledged yet", p.debt.RRN)
	return TriggerUnsettled
}
