package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// linePrefix is before the terminal ids of messages that came over a line: they
// are another server's terminals.
const linePrefix = "line:"

// Acquire answers an ISO 8583 request of another payment server, whose acquirer
// this one is: it decides, and books, as for a unit's message. There is no order
// for it here; one is made of the request. Its terminal's keys are this server's
// base keys', as far as the PIN block goes. Nil: no answer, since what the
// message did is not known to be durable.
//
// The line has to be an authenticated one: see link.Host. Acquire is for one lower
// server: two of them may have terminals of the same ids, and each has a Lower.
func (s *Server) Acquire(ctx context.Context, m *acquirer.Message) *acquirer.Message {
	return s.acquireFrom(ctx, s.unnamed(), m)
}

func (s *Server) acquireFrom(ctx context.Context, l *Lower, m *acquirer.Message) *acquirer.Message {
	began := s.c.Now()
	if len(m.MTI) != 4 {
		return s.lineAnswer(m, reply{code: codeFormat})
	}
	if m.MTI[1] == '8' {
		return l.management(ctx, m)
	}
	w := &work{m: m.Clone(), now: began, terminal: l.terminal(m, l.identity(acquirerOf(m)))}
	defer w.wipe()
	if m.Amount == nil {
		return s.lineAnswer(m, reply{code: codeFormat, said: "refused: no amount"})
	}
	if m.PINBlock != nil {
		l.decipher(ctx, w)
	}
	var r reply
	order, amount := w.m.Order, w.m.Amount
	err := s.c.Ledger.Update(ctx, func(tx ledger.Tx) (err error) {
		// As it came: the transaction may be run once more, and the name of an
		// order is made of the name in the message.
		w.m.Order, w.m.Amount = order, amount
		if err = l.known(tx, w); err != nil {
			return err
		}
		r, err = s.acquire(ctx, tx, w)
		return err
	})
	if err != nil {
		s.tell(w.terminal.ID, "", "message of a line failed: %v", err)
		return nil
	}
	s.counters.message("line "+m.MTI, r.code, s.c.Now().Sub(began))
	s.c.Observe(Event{Terminal: w.terminal.ID, Code: r.code, Took: s.c.Now().Sub(began), Text: fmt.Sprintf("%s %s: %s", m.MTI, m.STAN, r.said)})
	return s.lineAnswer(m, r)
}

func (s *Server) lineAnswer(m *acquirer.Message, r reply) *acquirer.Message {
	out, err := m.Response(r.code)
	if err != nil {
		s.tell(linePrefix+m.TerminalID, "", "answering a line: %v", err)
		return nil
	}
	out.AuthCode, out.ICC, out.Other = r.authCode, bytes.Clone(r.icc), r.other
	return out
}

// decipher reads the PIN block of another server's terminal.
func (l *Lower) decipher(ctx context.Context, w *work) {
	s := l.s
	w.pinBad = true
	pan, err := panOf(w.m)
	if err != nil {
		return
	}
	defer pan.Wipe()
	if _, zoned := zoneNumber(w.m.PINKSN); zoned {
		if l.c.Zone == nil {
			return
		}
		pin, err := l.c.Zone.openPIN(ctx, w.m, pan)
		if err != nil {
			s.tell(w.terminal.ID, "", "a PIN block of a line: %v", err)
			return
		}
		w.pin, w.pinCounter, w.pinBad = pin, 1, false
		return
	}
	if len(w.m.PINKSN) < 4 {
		return
	}
	keys, ok := s.generations.named[hex.EncodeToString(w.m.PINKSN[:4])]
	if !ok || keys.format != w.m.PINFormat {
		return
	}
	k, err := keys.pin.host.Transaction(w.m.PINKSN)
	if err != nil {
		return
	}
	defer k.Wipe()
	pin, err := k.DecryptPIN(w.m.PINBlock, pan)
	if err != nil {
		return
	}
	// The other server takes a key once; here a request is told by its numbers.
	w.pin, w.pinCounter, w.pinBad = pin, 1, false
}

// acquire carries a line's message out inside its transaction.
func (s *Server) acquire(ctx context.Context, tx ledger.Tx, w *work) (reply, error) {
	m := w.m
	class := m.MTI[:3]
	if offline(m) || stoodIn(m) {
		class = "020"
	}
	switch class {
	case "010", "020":
		if increments(m) {
			break
		}
		k, ok := keyOf(w, m.STAN)
		if !ok {
			return reply{code: codeFormat, said: "refused: STAN or RRN is missing"}, nil
		}
		extra, out := tip(m), cash(m)
		if extra < 0 || extra > m.Amount.Minor-extra || out < 0 || out > m.Amount.Minor-extra {
			return reply{code: codeAmount, said: "refused: tip or cash are no part of the amount"}, nil
		}
		m.Order = k.String()
		if err := lineOrder(tx, w, ledger.Order{ID: m.Order, Type: string(lineType(m)), Amount: money.New(m.Amount.Minor-extra, m.Amount.Currency), Cashback: out}); err != nil {
			return reply{}, err
		}
		t := *w.terminal
		return s.request(ctx, tx, w, &t)
	case "012", "022", "040", "042":
	default:
		return reply{code: codeUnsupported, said: "refused: no such message type on a line"}, nil
	}
	if m.Original == nil {
		return reply{code: codeFormat, said: "refused: no original"}, nil
	}
	k, ok := keyOf(w, m.Original.STAN)
	if !ok {
		return reply{code: codeFormat, said: "refused: STAN or RRN of the original is missing"}, nil
	}
	named := m.Order
	if increments(m) && named == "" {
		return reply{code: codeFormat, said: "refused: what is held more has an order of its own"}, nil
	}
	m.Order = ""
	a, err := tx.Authorisation(k)
	if err == nil {
		err = s.lineFollowUp(tx, w, &a, named)
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return reply{}, err
	}
	switch m.MTI[:3] {
	case "010":
		return s.increment(ctx, tx, w)
	case "012":
		return s.hold(ctx, tx, w)
	case "022":
		return s.completion(ctx, tx, w)
	}
	return s.reversal(ctx, tx, w)
}

// lineFollowUp names the order that an advice or a reversal is for: that of its
// original, or, where a void, the completion or an increment of a
// pre-authorisation comes, one that is made of it; named is what its terminal
// calls it.
func (s *Server) lineFollowUp(tx ledger.Tx, w *work, a *ledger.Authorisation, named string) error {
	m := w.m
	m.Order = a.Order
	o, err := tx.Order(a.Order)
	if err != nil {
		return err
	}
	stands := a.State == ledger.AuthCompleted || a.State == ledger.AuthHeld || a.State == ledger.AuthVoided
	switch {
	case m.MTI[:3] == "040" && m.Reason == acquirer.ReasonCancelled && stands:
		// A void is of the whole. Where an answer to an increment was lost,
		// the other server knows of less.
		whole := a.Amount
		m.Order, m.Amount = m.Order+"/void", &whole
		return lineOrder(tx, w, ledger.Order{ID: m.Order, Type: string(trade.Void), Amount: a.Amount, Original: a.Order})
	case increments(m):
		// Several may raise one original: each has its terminal's name.
		h := sha256.Sum256([]byte(named))
		m.Order += "/increment/" + hex.EncodeToString(h[:8])
		return lineOrder(tx, w, ledger.Order{ID: m.Order, Type: string(trade.Incremental), Amount: *m.Amount, Original: a.Order})
	case m.MTI[:3] == "022" && o.Type == string(trade.Preauth) && stands:
		m.Order += "/completion"
		return lineOrder(tx, w, ledger.Order{ID: m.Order, Type: string(trade.Completion), Amount: *m.Amount, Original: a.Order})
	}
	return nil
}

// lineOrder writes an order unless it is there.
func lineOrder(tx ledger.Tx, w *work, o ledger.Order) error {
	_, err := tx.Order(o.ID)
	if !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	o.Merchant, o.State, o.Created = w.terminal.MerchantID, ledger.OrderOpen, w.now
	return tx.PutOrder(o)
}

// lineType is the type of trade that a request is.
func lineType(m *acquirer.Message) trade.Type {
	for _, t := range []trade.Type{trade.Sale, trade.Cashback, trade.Refund, trade.Preauth, trade.Balance, trade.Verification} {
		if asked(m, t) {
			return t
		}
	}
	return trade.Sale
}
