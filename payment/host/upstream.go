package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/acquirer/link"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// Upstream is the acquirer above the server: who decides where the server has no
// issuer. A *link.Client is one.
type Upstream interface {
	// Exchange sends a request and returns its answer, which the caller wipes.
	// An error that wraps link.ErrNotSent says that the request did not leave;
	// after any other it may have been carried out.
	Exchange(ctx context.Context, m *acquirer.Message) (*acquirer.Message, error)
}

var _ Upstream = (*link.Client)(nil)

// The acquirer above as an account: what it owes for the cards that it
// approved.
const upstreamAccount = "upstream"

// codeUnavailable: the acquirer above could not be reached, or did not answer.
const codeUnavailable = "91"

var errUnderWay = &trade.Error{Code: trade.CodeBusy, Text: "the request is under way"}

// route has the acquirer above decide about a request. Three steps, each durable
// before the next: that it is asked, with the reversal that is owed from then on;
// the question; and what its answer was. Whatever happens between them ends in
// that reversal.
func (s *Server) route(ctx context.Context, w *work) (reply, error) {
	var r reply
	var asked bool
	err := s.c.Ledger.Update(ctx, func(tx ledger.Tx) (err error) {
		r, asked, err = s.ask(tx, w)
		return err
	})
	if err != nil || !asked {
		return r, err
	}
	if err := s.c.Intercept(Point{Stage: StageAsked, MTI: w.m.MTI, Terminal: w.terminal.ID, Order: w.m.Order}); err != nil {
		return reply{}, fmt.Errorf("host: cut before the acquirer was asked: %w", err)
	}
	up := w.m.Clone()
	defer up.Wipe()
	up.MAC, up.MACKSN = nil, nil
	var answer *acquirer.Message
	if err = s.translate(ctx, w, up); err != nil {
		s.tell(w.terminal.ID, w.m.Order, "not sent to the acquirer: %v", err)
		err = fmt.Errorf("%w: %w", link.ErrNotSent, err)
	} else {
		answer, err = s.exchange(ctx, up)
	}
	if answer != nil {
		defer answer.Wipe()
	}
	// The answer is written down also when nobody waits for it any more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.c.Limits.Handle)
	defer cancel()
	uerr := s.c.Ledger.Update(ctx, func(tx ledger.Tx) (err2 error) {
		r, err2 = s.answered(tx, w, answer, err)
		return err2
	})
	return r, uerr
}

func (s *Server) exchange(ctx context.Context, m *acquirer.Message) (*acquirer.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Limits.Upstream)
	defer cancel()
	if s.c.AcquirerID != "" {
		m.AcquirerID = s.c.AcquirerID
	}
	answer, err := s.c.Upstream.Exchange(ctx, m)
	switch {
	case errors.Is(err, link.ErrNotSent):
		s.counters.count(`payunit_above_total{result="not sent"}`)
		return nil, err
	case err != nil:
		s.counters.count(`payunit_above_total{result="no answer"}`)
		return nil, err
	}
	s.counters.count(`payunit_above_total{result="answered"}`)
	if err := acquirer.Matches(m, answer); err != nil {
		answer.Wipe()
		return nil, fmt.Errorf("host: the acquirer's answer: %w", err)
	}
	return answer, nil
}

// ask is the first step. False: the reply is known without asking.
func (s *Server) ask(tx ledger.Tx, w *work) (reply, bool, error) {
	m := w.m
	t, err := s.sender(tx, w)
	if err != nil {
		return reply{}, false, err
	}
	done := func(r reply) (reply, bool, error) { return r, false, tx.PutTerminal(t) }
	k, ok := keyOf(w, m.STAN)
	if !ok {
		return done(reply{code: codeFormat, said: "refused: STAN or RRN is missing"})
	}
	content := s.content(m)
	old, err := tx.Authorisation(k)
	switch {
	case err == nil && old.State == ledger.AuthAsked && same(old.Content, content):
		return reply{}, false, errUnderWay
	case err == nil:
		return done(repeated(old, content))
	case !errors.Is(err, ledger.ErrNotFound):
		return reply{}, false, err
	}
	a := ledger.Authorisation{
		Key: k, Transmitted: m.TransmissionTime, Order: m.Order, Amount: *m.Amount, Content: content, Account: upstreamAccount,
		State: ledger.AuthAsked, Created: w.now, Changed: w.now,
	}
	order, refused, err := s.judge(tx, w, &t)
	if err != nil {
		return reply{}, false, err
	}
	if refused.code == "" {
		if a.Card, err = s.cardOf(m); err != nil {
			refused = reply{code: codeFormat, said: "refused: no account number"}
		} else if same, err := sameCard(tx, order, a.Card); err != nil {
			return reply{}, false, err
		} else if !same {
			refused = reply{code: codeInvalid, said: "refused: another card paid the original"}
		}
	}
	if refused.code != "" {
		a.State, a.Account, a.ResponseCode = ledger.AuthDeclined, "", refused.code
		if err := tx.PutAuthorisation(a); err != nil {
			return reply{}, false, err
		}
		return done(refused)
	}
	if !trade.Type(order.Type).Inquiry() && !offline(m) {
		rev, err := m.Reversal(acquirer.ReasonTimeout)
		if err != nil {
			return reply{}, false, fmt.Errorf("host: reversal of a request: %w", err)
		}
		if err := s.owe(tx, w, "reversal", k, rev, w.now.Add(2*s.c.Limits.Upstream)); err != nil {
			return reply{}, false, err
		}
		order.State, order.Authorisation = ledger.OrderPending, k
		if err := tx.PutOrder(order); err != nil {
			return reply{}, false, err
		}
		if err := tx.PutAuthorisation(a); err != nil {
			return reply{}, false, err
		}
	}
	return reply{}, true, tx.PutTerminal(t)
}

// cardOf is a card's reference where no issuer is asked: a digest of its number.
func (s *Server) cardOf(m *acquirer.Message) (string, error) {
	pan, err := panOf(m)
	if err != nil {
		return "", err
	}
	defer pan.Wipe()
	// In a buffer of its own, with room: append to the number would leave a copy.
	b := append(append(make([]byte, 0, 32), pan.Reveal()...), m.PSN...)
	defer clear(b)
	return hex.EncodeToString(s.c.Registry.keyed("card", b)[:16]), nil
}

// answered is the last step.
func (s *Server) answered(tx ledger.Tx, w *work, answer *acquirer.Message, failure error) (reply, error) {
	k, _ := keyOf(w, w.m.STAN)
	o, err := tx.Order(w.m.Order)
	if err != nil {
		return reply{}, err
	}
	// A question, and what the card has approved already, leave nothing behind
	// before they are answered: the one is asked again, the other is kept by
	// its unit.
	inquiry := trade.Type(o.Type).Inquiry()
	light := inquiry || offline(w.m)
	if failure != nil && offline(w.m) {
		return reply{}, errUnderWay
	}
	a, err := tx.Authorisation(k)
	switch {
	case light && errors.Is(err, ledger.ErrNotFound):
		a = ledger.Authorisation{
			Key: k, Transmitted: w.m.TransmissionTime, Order: w.m.Order, Amount: *w.m.Amount, Content: s.content(w.m), Account: upstreamAccount, Created: w.now,
		}
		if a.Card, err = s.cardOf(w.m); err != nil {
			return reply{}, err
		}
	case err != nil:
		return reply{}, err
	case light:
		return repeated(a, s.content(w.m)), nil
	case a.State != ledger.AuthAsked:
		// The terminal, or the time, has reversed it meanwhile, and the
		// reversal is owed already.
		return reply{code: codeInvalid, said: "refused: it was " + string(a.State) + " before the acquirer answered"}, nil
	}
	a.Changed = w.now
	r := reply{code: codeUnavailable, said: "the acquirer gave no answer"}
	a.State = ledger.AuthDeclined
	id := outgoingID("reversal", k)
	switch {
	case errors.Is(failure, link.ErrNotSent):
		r.said = "the acquirer can't be reached"
		if err = tx.DeleteOutgoing(id); err != nil {
			break
		}
		var ok bool
		var why string
		if ok, why, err = s.standIn(tx, w, o, &a); ok {
			r = reply{code: codeApproved, authCode: a.AuthCode, said: "approved in place of the acquirer, which can't be reached"}
			a.State = ledger.AuthApproved
			s.counters.count(`payunit_above_total{result="stood in"}`)
		} else if why != "" {
			r.said += ": " + why
		}
	case failure == nil && answer.ResponseCode == codeApproved:
		r = reply{code: codeApproved, authCode: answer.AuthCode, icc: bytes.Clone(answer.ICC), other: answer.Other, said: "the acquirer: approved"}
		a.State = ledger.AuthApproved
		err = tx.DeleteOutgoing(id)
	case failure == nil && !s.takes(answer.ResponseCode):
		r = reply{code: answer.ResponseCode, icc: bytes.Clone(answer.ICC), said: "the acquirer: " + answer.ResponseCode}
		err = tx.DeleteOutgoing(id)
	case light:
	default:
		// What may be booked there, for the whole amount or a part, is taken
		// back at once.
		a.State = ledger.AuthReversed
		err = s.due(tx, w, id)
	}
	if err != nil {
		return reply{}, err
	}
	if inquiry && a.State == ledger.AuthApproved {
		a.State = ledger.AuthAnswered
	}
	a.ResponseCode, a.AuthCode, a.ICC = r.code, r.authCode, r.icc
	switch {
	case inquiry:
		return r, tx.PutAuthorisation(a)
	case a.State == ledger.AuthApproved:
		err = bookRequest(tx, w, &a, o)
		if err == nil && offline(w.m) {
			err = s.stands(tx, w, &a)
		}
	case light:
	default:
		o.State, o.Authorisation = ledger.OrderOpen, ledger.Key{}
		err = tx.PutOrder(o)
	}
	if err != nil {
		return reply{}, err
	}
	return r, tx.PutAuthorisation(a)
}

// takes reports whether a response code says that money was taken.
func (s *Server) takes(code string) bool {
	r, ok := s.c.Dialect.Response(code)
	return !ok || r.Approved() || r.Class == acquirer.ClassPartial
}

func outgoingID(what string, k ledger.Key) string { return what + "/" + k.String() }

// owe writes down what the acquirer above is to be told.
func (s *Server) owe(tx ledger.Tx, w *work, what string, k ledger.Key, m *acquirer.Message, due time.Time) error {
	return s.oweAs(tx, w, outgoingID(what, k), k, m, due)
}

// oweAs is owe under a name of its own.
func (s *Server) oweAs(tx ledger.Tx, w *work, id string, k ledger.Key, m *acquirer.Message, due time.Time) error {
	b, err := s.c.Dialect.Pack(m)
	if err != nil {
		return fmt.Errorf("host: what the acquirer is owed: %w", err)
	}
	n, err := tx.Next("outgoing")
	if err != nil {
		return err
	}
	return tx.PutOutgoing(ledger.Outgoing{ID: id, Number: n, Authorisation: k, Message: b, Due: due, Created: w.now})
}

// due makes a message that waits one that is sent now.
func (s *Server) due(tx ledger.Tx, w *work, id string) error {
	o, err := tx.Outgoing(id)
	if err != nil {
		return err
	}
	o.Due = w.now
	return tx.PutOutgoing(o)
}

// giveUp opens the order of a request again whose answer is not known, and has
// its reversal sent.
func (s *Server) giveUp(tx ledger.Tx, w *work, a *ledger.Authorisation) error {
	o, err := pendingOrder(tx, a)
	if err != nil {
		return err
	}
	o.State, o.Authorisation = ledger.OrderOpen, ledger.Key{}
	if err := tx.PutOrder(o); err != nil {
		return err
	}
	return s.due(tx, w, outgoingID("reversal", a.Key))
}

// pass owes the acquirer above what a terminal's advice or reversal did here. It
// waits in the ledger, where nothing of a card is in clear: the request that it
// names says which card it is about.
func (s *Server) pass(tx ledger.Tx, w *work, a *ledger.Authorisation, what string) error {
	if s.c.Upstream == nil || offline(w.m) {
		return nil
	}
	m := w.m.Clone()
	defer m.Wipe()
	m.MAC, m.MACKSN = nil, nil
	m.PAN.Wipe()
	m.Track2.Wipe()
	m.CVV2.Wipe()
	clear(m.PINBlock)
	m.PAN, m.Track2, m.CVV2, m.Expiry, m.PINBlock, m.PINKSN, m.PINFormat = secret.PAN{}, secret.Track2{}, secret.Bytes{}, "", nil, nil, 0
	m.MTI = m.MTI[:3] + "0"
	m.ICC = lastWord(w.m.ICC)
	return s.owe(tx, w, what, a.Key, m, w.now)
}

// forwardSoon wakes Forward up.
func (s *Server) forwardSoon() {
	select {
	case s.owed <- struct{}{}:
	default:
	}
}
