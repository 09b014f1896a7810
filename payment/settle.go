package payment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
)

// errReply: an answer came, and it is not the answer to what was asked.
var errReply = errors.New("payment: reply does not belong to the request")

// Recover settles what earlier payments owe: it sends their reversals and
// completions until each is acknowledged. It is to be called when the app
// starts; Pay does it too before it asks for anything new. What could not be
// settled is in Report.Pending and stays owed; what the server has refused five
// times is in Report.Refused, and not sent any more. Errors: ErrBusy, those of the
// storage, or one that wraps ctx.Err().
func (u *Unit) Recover(ctx context.Context) (Report, error) {
	if err := u.busy.take(BusyError{Doing: "recover", Since: u.c.Now()}); err != nil {
		return Report{}, err
	}
	defer u.busy.release()
	l := u.newLine()
	defer l.close()
	r, err := u.settle(ctx, l)
	if errors.Is(err, ErrOwed) && ctx.Err() == nil {
		return r, nil
	}
	return r, err
}

// settle sends every debt. It goes on after one that the server does not take,
// and ends with ErrOwed when any is left.
func (u *Unit) settle(ctx context.Context, l *line) (Report, error) {
	rep := Report{Settled: []Result{}, Pending: []string{}, Refused: []RefusedDebt{}}
	entries, err := u.journal.Pending(ctx)
	if err != nil {
		return rep, err
	}
	defer func() {
		for i := range entries {
			entries[i].Wipe()
		}
	}()
	var last error
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return rep, fmt.Errorf("payment: settling: %w", err)
		}
		u.tell(PhaseRecover, "order %s owes a %s, reference %s", e.Order, e.State, e.RRN)
		err := u.send(ctx, l, &e)
		if no := (*refused)(nil); errors.As(err, &no) {
			rep.Settled = append(rep.Settled, no.result(e))
			continue
		}
		if errors.Is(err, ErrRefused) {
			u.tell(PhaseRecover, "%v", err)
			continue
		}
		if err != nil {
			u.tell(PhaseRecover, "order %s still owes it: %v", e.Order, err)
			rep.Pending = append(rep.Pending, e.Order)
			last = err
			continue
		}
		r, err := settled(e)
		if err != nil {
			return rep, err
		}
		u.tell(PhaseRecover, "order %s is settled: %s", e.Order, ending(r))
		rep.Settled = append(rep.Settled, r)
	}
	if rep.Refused, err = u.refused(ctx); err != nil {
		return rep, err
	}
	if last != nil {
		return rep, fmt.Errorf("%w: %d of %d: %w", ErrOwed, len(rep.Pending), len(entries), last)
	}
	return rep, nil
}

// settled is how a payment stands after its debt was acknowledged.
func settled(e journal.Entry) (Result, error) {
	if e.State == journal.Completion || e.State == journal.Advice {
		return stored(e.Result)
	}
	if _, _, ok := words(e.State); ok {
		return followedUp(e), nil
	}
	r := Result{
		Outcome: Declined, Order: e.Order, Type: trade.Type(e.Type), STAN: e.STAN, RRN: e.RRN, Reversed: true,
		Reasons: []string{"what the bank may have booked was reversed: nothing is charged"},
		Time:    e.TransmissionTime,
	}
	r.setAmount(e.Amount)
	return r, nil
}

// send pays one debt: a reversal or a completion, repeated under the same STAN
// and RRN until it is acknowledged. A repeat is marked by its MTI.
func (u *Unit) send(ctx context.Context, l *line, e *journal.Entry) error {
	m, err := u.advice(*e)
	if err != nil {
		return err
	}
	defer m.Wipe()
	phase, what := PhaseReverse, "reversal"
	if e.State == journal.Completion {
		phase, what = PhaseComplete, "completion"
	}
	_, _, follows := words(e.State)
	if follows {
		what = e.Type
	}
	// The channel first: it may bring new keys, under which the message goes then.
	if err := l.open(ctx); err != nil {
		return err
	}
	out, err := u.seal(ctx, m)
	if err != nil {
		return err
	}
	defer out.key.Wipe()
	if e.State == journal.Increment && l.payment != e.Order {
		// It asks for a new amount, and the server for evidence.
		defer func(p string) { l.payment = p }(l.payment)
		l.payment = e.Order
	}
	e.Attempts++
	if err := u.journal.Put(ctx, *e); err != nil {
		return err
	}
	u.tell(phase, "send the %s %s of reference %s", what, m.MTI, e.RRN)
	resp, err := u.exchange(ctx, l, out, what+" "+m.MTI)
	if lost(ctx, err) {
		resp, err = u.inquire(ctx, l, m, err)
	}
	if err != nil {
		return err
	}
	defer resp.Wipe()
	code, _ := u.c.Dialect.Response(resp.ResponseCode)
	text, ok := code.Merchant, code.Approved()
	if !ok && follows {
		// A no is an answer: nothing is owed.
		u.tell(phase, "the server refuses the %s: %s", what, text)
		if err := u.journal.Settle(context.WithoutCancel(ctx), e.Order, nil); err != nil {
			return err
		}
		return &refused{code: resp.ResponseCode, text: text}
	}
	if !ok {
		code.Code = resp.ResponseCode
		if err := u.noted(ctx, e, code); err != nil {
			return err
		}
		if e.Refused {
			return &RefusedError{u.refusedDebt(*e)}
		}
		return fmt.Errorf("%w: the %s was answered with %s (%s)", ErrServer, what, resp.ResponseCode, text)
	}
	u.tell(phase, "the server acknowledges the %s", what)
	var keep json.RawMessage
	if e.State == journal.Completion || follows {
		keep = e.Result
	}
	// In the batch before the debt is gone: sent again, it is counted once.
	if err := u.book(context.WithoutCancel(ctx), *e); err != nil {
		return err
	}
	return u.journal.Settle(context.WithoutCancel(ctx), e.Order, keep)
}

// local is a time as the clock at the terminal shows it: what follows a request
// says in DE 12 and 13 what the request said, which the journal keeps in UTC.
func (u *Unit) local(t time.Time) time.Time { return t.In(u.c.Now().Location()) }

// advice makes the message that pays a debt.
func (u *Unit) advice(e journal.Entry) (*acquirer.Message, error) {
	tid, mid := u.c.Device.Identity()
	amount := e.Amount
	m := &acquirer.Message{
		MTI:              "0420",
		ProcessingCode:   e.ProcessingCode,
		Amount:           &amount,
		TransmissionTime: e.TransmissionTime,
		STAN:             e.STAN,
		LocalTime:        u.local(e.TransmissionTime),
		EntryMode:        e.EntryMode,
		RRN:              e.RRN,
		AuthCode:         e.AuthCode,
		TerminalID:       tid,
		MerchantID:       mid,
		Order:            e.Order,
		Original:         &acquirer.Original{MTI: e.MTI, STAN: e.STAN, TransmissionTime: e.TransmissionTime},
	}
	switch e.State {
	case journal.Completion:
		m.MTI, m.ICC = "0220", e.ICC
		if e.Type == string(trade.Preauth) {
			m.MTI = "0120"
		}
	case journal.Capture:
		m.MTI = "0220"
	case journal.Increment:
		m.MTI = "0100"
	case journal.Advice:
		m.MTI, m.ICC, m.Original, m.ConditionCode = "0220", e.ICC, nil, "00"
		if e.Account != nil {
			m.PSN, m.Expiry = e.Account.PSN, e.Account.Expiry
			pan, err := secret.NewPAN(e.Account.PAN)
			if err != nil {
				return nil, fmt.Errorf("payment: account of an offline approval: %w", journal.ErrCorrupt)
			}
			m.PAN = pan
		}
	case journal.Void:
		m.MTI, m.Reason = "0400", acquirer.Reason(e.Reason)
	default:
		m.Reason, m.ICC = acquirer.Reason(e.Reason), e.ICC
	}
	if e.Attempts > 0 {
		m.MTI = m.MTI[:3] + "1"
	}
	return m, nil
}

// sealed is a request ready to go, with the key that its answer is checked by.
type sealed struct {
	message *acquirer.Message
	wire    []byte
	key     MessageKey
}

// wipe ends the use of the request and its key.
func (s *sealed) wipe() {
	if s.message != nil {
		s.message.Wipe()
	}
	if s.key != nil {
		s.key.Wipe()
	}
}

// seal takes a fresh message key and computes the request's MAC.
func (u *Unit) seal(ctx context.Context, m *acquirer.Message) (sealed, error) {
	k, err := u.c.Device.NextKey(ctx)
	if err != nil {
		return sealed{}, fmt.Errorf("payment: message key: %w", err)
	}
	m.MACKSN = k.KSN()
	wire, err := u.c.Dialect.Seal(m, k.MAC)
	if err != nil {
		k.Wipe()
		return sealed{}, fmt.Errorf("payment: packing the %s: %w", m.MTI, err)
	}
	return sealed{m, wire, k}, nil
}

// exchange sends a sealed request and returns its answer: one whose MAC and
// fields say that it is. Whatever else comes is an error, and the request may
// have been carried out.
func (u *Unit) exchange(ctx context.Context, l *line, s sealed, what string) (*acquirer.Message, error) {
	began := u.c.Now()
	u.tell(PhaseOnline, "send the %s", what)
	defer clear(s.wire)
	e, err := l.call(ctx, trade.KindFinancial, s.wire)
	if err != nil {
		return nil, err
	}
	if e.Kind != trade.KindFinancialReply {
		return nil, fmt.Errorf("%w: message of kind %d", errReply, e.Kind)
	}
	resp, err := u.c.Dialect.Open(e.Body, func(m *acquirer.Message, data, mac []byte) error {
		if !bytes.Equal(m.MACKSN, s.message.MACKSN) {
			return errReply
		}
		return s.key.VerifyMAC(data, mac)
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errReply, err)
	}
	if err := acquirer.Matches(s.message, resp); err != nil {
		resp.Wipe()
		return nil, fmt.Errorf("%w: %w", errReply, err)
	}
	u.c.Observe(Event{Phase: PhaseOnline, Step: resp.MTI, Text: "answer " + resp.MTI + " verified: its MAC, and that it belongs to the request", Took: u.c.Now().Sub(began)})
	return resp, nil
}

// cardOrLine says on which side something failed.
func cardOrLine(err error) string {
	switch {
	case errors.Is(err, cardreader.ErrCardRemoved):
		return "the card was removed"
	case errors.Is(err, cardreader.ErrCardMute), errors.Is(err, cardreader.ErrProtocol), errors.Is(err, cardreader.ErrNoReader):
		return "the card does not answer"
	case errors.Is(err, ErrServer):
		return "the server is out of reach"
	}
	return "the link or the card failed"
}
