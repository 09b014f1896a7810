package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// authorize carries the payment from the ARQC to its ending. From the moment
// in which the reversal stands in the journal it returns a Result only.
func (p *run) authorize(ctx context.Context) (Result, error) {
	m, err := p.request(ctx)
	if err != nil {
		return Result{}, err
	}
	defer m.Wipe()
	out, err := p.u.seal(ctx, m)
	if err != nil {
		return Result{}, err
	}
	defer out.key.Wipe()
	// What the channel needs is there before the reversal is written: a
	// server that can't be reached leaves no debt.
	if err := p.line.open(ctx); err != nil {
		return p.abandon(ctx, err)
	}
	e := p.debt(m)
	if err := p.u.journal.Put(ctx, e); err != nil {
		return p.abandon(ctx, err)
	}
	p.u.tell(PhaseOnline, "the reversal stands in the journal: reference %s", m.RRN)
	p.notify(ctx, trusted.MessageAuthorizing)
	resp, err := p.u.exchange(ctx, p.line, out, fmt.Sprintf("authorization request %s, %s, with the card's ARQC", m.MTI, p.trade.Amount))
	if err != nil {
		return p.noAnswer(ctx, e, err), nil
	}
	defer resp.Wipe()
	p.res.ResponseCode, p.res.AuthCode = resp.ResponseCode, resp.AuthCode
	code, _ := acquirer.LookupResponse(resp.ResponseCode)
	p.u.tell(PhaseOnline, "the server answers %s: %s", resp.ResponseCode, code.Merchant)
	answer := hostResponse(resp)
	// A sale of less than the cardholder confirmed is not the sale.
	partial := code.Class == acquirer.ClassPartial
	answer.Decline = partial
	o, cerr := p.complete(ctx, answer)
	if partial {
		return p.refusedPartial(ctx, e, o), nil
	}
	if !code.Approved() {
		return p.declinedByHost(ctx, e, o, code.Merchant, cerr), nil
	}
	if cerr != nil || o.Decision != emv.Approved {
		return p.refusedByCard(ctx, e, o, cerr), nil
	}
	return p.approved(ctx, e, o, resp), nil
}

// abandon ends a payment whose request never left. The card is told, as far as
// it still listens, that the bank could not be reached.
func (p *run) abandon(ctx context.Context, err error) (Result, error) {
	if _, cerr := p.complete(ctx, emv.HostResponse{Unable: true}); cerr != nil {
		p.u.tell(PhaseComplete, "the card was not completed: %v", cerr)
	}
	return Result{}, err
}

// request makes the 0200 or 0100 of a card's ARQC.
func (p *run) request(ctx context.Context) (*acquirer.Message, error) {
	n, err := p.u.c.Storage.Next(ctx, "stan")
	if err != nil {
		return nil, fmt.Errorf("payment: STAN counter: %w", err)
	}
	a := p.emv.Authorize()
	now := p.u.c.Now()
	stan := fmt.Sprintf("%06d", (n-1)%999999+1)
	tid, mid := p.u.c.Device.Identity()
	amount := p.trade.Amount
	m := &acquirer.Message{
		MTI:              p.kind.mti,
		PAN:              a.PAN.Clone(),
		ProcessingCode:   p.kind.processing,
		Amount:           &amount,
		TransmissionTime: now.UTC(),
		STAN:             stan,
		LocalTime:        now,
		Expiry:           a.Expiry,
		EntryMode:        "051",
		PSN:              a.PSN,
		ConditionCode:    "00",
		Track2:           a.Track2.Clone(),
		RRN:              acquirer.RRN(now.UTC(), stan),
		TerminalID:       tid,
		MerchantID:       mid,
		ICC:              a.Field55(),
		Order:            p.order.ID,
	}
	if p.trade.Cashback.Minor != 0 {
		m.Other = []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountCashback, Amount: p.trade.Cashback}}
	}
	if b := p.u.pin.block; b != nil {
		m.PINBlock, m.PINFormat, m.PINKSN = b.Block, b.Format, b.KSN
	}
	p.res.STAN, p.res.RRN = stan, m.RRN
	p.res.MaskedPAN, p.res.Entry = a.PAN.Masked(), "chip"
	return m, nil
}

// debt is the reversal of a request.
func (p *run) debt(m *acquirer.Message) journal.Entry {
	return journal.Entry{
		Order:            p.order.ID,
		Type:             string(p.trade.Type),
		State:            journal.Reversal,
		STAN:             m.STAN,
		RRN:              m.RRN,
		MTI:              m.MTI,
		TransmissionTime: m.TransmissionTime,
		ProcessingCode:   m.ProcessingCode,
		Amount:           *m.Amount,
		EntryMode:        m.EntryMode,
		Reason:           string(acquirer.ReasonTimeout),
	}
}

// complete runs the second half of the card's transaction.
func (p *run) complete(ctx context.Context, r emv.HostResponse) (emv.Outcome, error) {
	began := p.u.c.Now()
	o, err := p.emv.Complete(ctx, r)
	p.timing.Card += p.u.c.Now().Sub(began)
	if err != nil {
		o = p.emv.Outcome()
	}
	return o, err
}

func hostResponse(m *acquirer.Message) emv.HostResponse {
	iad, scripts := acquirer.IssuerData(m.ICC)
	return emv.HostResponse{ARC: m.ResponseCode, IssuerAuthenticationData: iad, Scripts: scripts}
}

// noAnswer ends a payment to whose request no answer came that can be trusted.
func (p *run) noAnswer(ctx context.Context, e journal.Entry, cause error) Result {
	p.u.tell(PhaseOnline, "no answer that counts: %v", cause)
	p.reason("the server's answer did not arrive: %s", kindOf(cause))
	o, err := p.complete(ctx, emv.HostResponse{Unable: true})
	if err != nil {
		p.reason("the card was not completed: %s", kindOf(err))
	}
	return p.reverse(ctx, e, o)
}

// declinedByHost ends a payment that the server refused: nothing was booked.
func (p *run) declinedByHost(ctx context.Context, e journal.Entry, o emv.Outcome, text string, cerr error) Result {
	p.reason("the bank declined: %s", text)
	if cerr != nil {
		p.reason("the card was not completed: %s", kindOf(cerr))
	}
	if err := p.u.journal.Settle(ctx, e.Order, nil); err != nil {
		// A reversal too many is answered by the server and changes nothing.
		p.u.tell(PhaseComplete, "the journal keeps a reversal that is not needed: %v", err)
	}
	return p.finish(ctx, Declined, o)
}

// refusedPartial takes back what the server booked of a part of the amount.
func (p *run) refusedPartial(ctx context.Context, e journal.Entry, o emv.Outcome) Result {
	e.Reason = string(acquirer.ReasonCancelled)
	p.reason("the bank approved a part of the amount only, which this unit does not take")
	return p.reverse(ctx, e, o)
}

// refusedByCard ends a payment that the server booked and the card did not
// complete.
func (p *run) refusedByCard(ctx context.Context, e journal.Entry, o emv.Outcome, cerr error) Result {
	e.Reason = string(acquirer.ReasonDevice)
	if cerr != nil {
		p.reason("the card did not complete the payment that the bank approved: %s", kindOf(cerr))
	} else {
		p.reason("the card declined what the bank approved")
	}
	return p.reverse(ctx, e, o)
}

// approved turns the debt from a reversal into a completion, the point after
// which the payment stands, and tells the server.
func (p *run) approved(ctx context.Context, e journal.Entry, o emv.Outcome, resp *acquirer.Message) Result {
	// The cardholder may go now, but not before the payment is safe from a
	// crash: the caller's cancellation comes too late to undo it.
	ctx = context.WithoutCancel(ctx)
	pending := e
	e.State, e.AuthCode, e.ICC, e.Reason = journal.Completion, resp.AuthCode, p.emv.Authorize().Completion55(), ""
	r := p.result(Approved, o)
	body, err := json.Marshal(r)
	if err == nil {
		e.Result = body
		err = p.u.journal.Put(ctx, e)
	}
	if err != nil {
		p.u.tell(PhaseComplete, "the approval could not be written down, it is taken back: %v", err)
		p.reason("the approval could not be written to storage")
		pending.Reason = string(acquirer.ReasonMalfunction)
		return p.reverse(ctx, pending, o)
	}
	if err := p.u.send(ctx, p.line, &e); err != nil {
		p.u.tell(PhaseComplete, "the completion is kept and sent at the next chance: %v", err)
	}
	return p.announce(ctx, r)
}

// reverse takes the request back at once where the server can be reached, else
// leaves it to Recover.
func (p *run) reverse(ctx context.Context, e journal.Entry, o emv.Outcome) Result {
	p.notify(ctx, trusted.MessageReversing)
	if err := p.u.journal.Put(context.WithoutCancel(ctx), e); err != nil {
		p.u.tell(PhaseReverse, "the journal keeps the reversal with its first reason: %v", err)
	}
	err := ctx.Err()
	if err == nil {
		err = p.u.send(ctx, p.line, &e)
	}
	if err == nil {
		p.res.Reversed = true
		p.reason("what the bank may have booked was reversed: nothing is charged")
		return p.finish(ctx, Declined, o)
	}
	p.u.tell(PhaseReverse, "the reversal is kept and sent at the next chance: %v", err)
	p.res.PendingReversal = e.RRN
	p.reason("the reversal of %s is kept in the journal and not acknowledged yet", e.RRN)
	return p.finish(ctx, Unknown, o)
}

// kindOf names a failure without the details that a person at the till has no
// use for; the event holds them.
func kindOf(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "time ran out"
	case errors.Is(err, context.Canceled):
		return "the payment was cancelled by the app"
	case errors.Is(err, errReply):
		return "the answer does not belong to the request"
	}
	var said *trade.Error
	if errors.As(err, &said) {
		return "the server says " + string(said.Code)
	}
	return cardOrLine(err)
}
