package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// increments reports whether a request is to hold more for an earlier one.
func increments(m *acquirer.Message) bool { return m.MTI[:3] == "010" && m.Original != nil }

// raisable says why an incremental can't raise its original, "" when it can. The
// original's amount is what is held by now.
func raisable(o, original ledger.Order) string {
	switch {
	case original.Type != string(trade.Preauth):
		return "the original is no pre-authorisation"
	case original.State != ledger.OrderHeld:
		return "the original is not held"
	case original.Amount.Currency != o.Amount.Currency:
		return "the original is in " + original.Amount.Currency.Code()
	case o.Amount.Minor > money.MaxMinor-original.Amount.Minor:
		return "more than a message can say would be held"
	}
	return ""
}

// raise looks whether the 0100 of an incremental order can be carried out. The
// reply's code is empty when it can.
func (s *Server) raise(ctx context.Context, tx ledger.Tx, w *work) (a ledger.Authorisation, o ledger.Order, r reply, err error) {
	a, found, r, err := s.original(ctx, tx, w)
	switch {
	case err != nil || r.code != "":
		return a, o, r, err
	case !found:
		return a, o, reply{code: codeNoOriginal, said: "refused: there is no such request"}, nil
	case w.m.Order == "" || w.m.Order == a.Order:
		return a, o, reply{code: codeInvalid, said: "refused: what is held more has an order of its own"}, nil
	}
	o, _, err = about(tx, w, &a, trade.Incremental)
	switch {
	case err != nil:
		return a, o, r, err
	case o.State == ledger.OrderPaid && o.Authorisation == a.Key:
		return a, o, reply{code: codeApproved, authCode: a.AuthCode, said: "repeated: it is held already"}, nil
	case *w.m.Amount != o.Amount:
		return a, o, reply{code: codeAmount, said: "refused: the amount is not the order's"}, nil
	}
	if code, refused := o.State.Refused(); refused {
		return a, o, reply{code: code, said: "refused: as it was before"}, nil
	}
	held, err := tx.Order(o.Original)
	if err == nil {
		held, err = asPaid(tx, held)
	}
	if err != nil {
		return a, o, r, err
	}
	why := raisable(o, held)
	if why != "" || a.State != ledger.AuthHeld || held.Authorisation != a.Key || o.State != ledger.OrderOpen {
		return a, o, reply{code: codeInvalid, said: "refused: the request was " + string(a.State) + " " + why}, nil
	}
	return a, o, reply{}, nil
}

// refuseIncrement makes the refusal of an incremental order last, where it was one of the
// order: a copy of the request that comes late would otherwise be taken where its
// terminal was told that it is refused.
func refuseIncrement(tx ledger.Tx, o ledger.Order, r reply) (reply, error) {
	if o.Type != string(trade.Incremental) || o.State != ledger.OrderOpen || r.code == codeAmount {
		return r, nil
	}
	o.State = ledger.OrderRefused(r.code)
	return r, tx.PutOrder(o)
}

// increment carries out the 0100 of an incremental order: the card's account
// holds its amount more, once. An order that is refused stays so.
func (s *Server) increment(ctx context.Context, tx ledger.Tx, w *work) (reply, error) {
	a, o, r, err := s.raise(ctx, tx, w)
	if err != nil {
		return r, err
	}
	if r.code != "" {
		return refuseIncrement(tx, o, r)
	}
	whole, err := a.Amount.Add(o.Amount)
	if err != nil {
		return reply{}, fmt.Errorf("host: raising a pre-authorisation: %w", err)
	}
	if s.c.Upstream == nil {
		d, err := s.c.Issuer.Raise(ctx, tx, a.Card, a.Created, o.Amount, whole)
		if err != nil {
			return reply{}, err
		}
		if !d.Approved() {
			return refuseIncrement(tx, o, reply{code: d.Code, said: "issuer: " + d.Reason})
		}
	}
	more := a
	more.Amount = o.Amount
	e, err := entry(ledger.KindIncrement, &more, w, a.Account, pendingAccount(o.Merchant), "held more for the merchant")
	if err != nil {
		return reply{}, err
	}
	e.Key = ledger.IncrementKey(a.Key, o.ID)
	if _, err := tx.Post(e); err != nil {
		return reply{}, fmt.Errorf("host: raising a pre-authorisation: %w", err)
	}
	o.State, o.Authorisation = ledger.OrderPaid, a.Key
	if err := tx.PutOrder(o); err != nil {
		return reply{}, err
	}
	a.Amount, a.Changed = whole, w.now
	return reply{code: codeApproved, authCode: a.AuthCode, said: "held more: " + whole.String() + " by now"}, tx.PutAuthorisation(a)
}

// raiseID names what an increment owes the acquirer above.
func raiseID(k ledger.Key, order string) string { return "increment/" + k.String() + "/" + order }

// routeIncrement has the acquirer above decide about an increment. That it is asked
// is written down first: whatever is lost after that, it is asked again until it has
// answered, and what follows of the pre-authorisation goes after it. What the
// acquirer is still to be told of the pre-authorisation goes before.
func (s *Server) routeIncrement(ctx context.Context, w *work) (reply, error) {
	var r reply
	var hold, more *ledger.Outgoing
	err := s.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
		hold, more = nil, nil
		t, err := s.sender(tx, w)
		if err != nil {
			return err
		}
		a, o, found, err := s.raise(ctx, tx, w)
		if r = found; err != nil {
			return err
		}
		if r.code != "" {
			if r, err = refuseIncrement(tx, o, r); err != nil {
				return err
			}
			return tx.PutTerminal(t)
		}
		owed, err := tx.Outgoing(outgoingID("hold", a.Key))
		switch {
		case err == nil && !owed.Refused:
			hold = &owed
			// Its key is not used up: the unit asks again.
			return nil
		case err != nil && !errors.Is(err, ledger.ErrNotFound):
			return err
		}
		id := raiseID(a.Key, o.ID)
		if owed, err = tx.Outgoing(id); errors.Is(err, ledger.ErrNotFound) {
			up := w.m.Clone()
			defer up.Wipe()
			up.MAC, up.MACKSN = nil, nil
			up.MTI = up.MTI[:3] + "0"
			if err := s.oweAs(tx, w, id, a.Key, up, w.now.Add(2*s.c.Limits.Upstream)); err != nil {
				return err
			}
			owed, err = tx.Outgoing(id)
		}
		if err != nil {
			return err
		}
		more = &owed
		return tx.PutTerminal(t)
	})
	if err != nil || hold == nil && more == nil {
		return r, err
	}
	if hold != nil {
		if done, refused, err := s.forward(ctx, *hold); err != nil || !done && !refused {
			s.tell(w.terminal.ID, w.m.Order, "the acquirer has not acknowledged what an increment is of, which is asked again: %v", err)
			return reply{}, errUnderWay
		}
		return s.routeIncrement(ctx, w)
	}
	if err := s.c.Intercept(Point{Stage: StageAsked, MTI: w.m.MTI, Terminal: w.terminal.ID, Order: w.m.Order}); err != nil {
		return reply{}, fmt.Errorf("host: cut before the acquirer was asked: %w", err)
	}
	r, done, err := s.askRaise(ctx, *more)
	if err == nil && !done {
		return reply{}, errUnderWay
	}
	return r, err
}

// askRaise asks the acquirer above about an increment that is written down, and
// writes its answer down; false where it gave none.
func (s *Server) askRaise(ctx context.Context, owed ledger.Outgoing) (reply, bool, error) {
	m, err := s.c.Dialect.Unpack(owed.Message)
	if err != nil {
		return reply{}, false, fmt.Errorf("host: message %s: %w", owed.ID, err)
	}
	defer m.Wipe()
	if owed.Attempts > 0 {
		if m.MTI, err = acquirer.RepeatMTI(m.MTI); err != nil {
			return reply{}, false, fmt.Errorf("host: message %s: %w", owed.ID, err)
		}
	}
	answer, failure := s.exchange(ctx, m)
	code := ""
	if failure == nil {
		code = answer.ResponseCode
		answer.Wipe()
	}
	known := code != ""
	if !known {
		s.tell(owed.Authorisation.Terminal, m.Order, "the acquirer gave no answer to an increment, which is asked again: %v", failure)
	}
	var r reply
	err = s.c.Ledger.Update(context.WithoutCancel(ctx), func(tx ledger.Tx) error {
		r = reply{}
		now, err := tx.Outgoing(owed.ID)
		gone := errors.Is(err, ledger.ErrNotFound)
		switch {
		case err != nil && !gone:
			return err
		case !known && gone:
			return nil
		case !known:
			now.Attempts++
			now.Due = s.c.Now().Add(min(time.Second<<min(now.Attempts, 12), forwardMost))
			return tx.PutOutgoing(now)
		case !gone:
			if err := tx.DeleteOutgoing(owed.ID); err != nil {
				return err
			}
		}
		t, err := tx.Terminal(owed.Authorisation.Terminal)
		if err != nil {
			return err
		}
		w := &work{m: m, terminal: &t, now: s.c.Now()}
		if code == codeApproved {
			r, err = s.increment(ctx, tx, w)
			return err
		}
		// Another copy of the request may have been answered meanwhile.
		_, o, found, err := s.raise(ctx, tx, w)
		if r = found; err != nil || r.code == codeApproved {
			return err
		}
		r, err = refuseIncrement(tx, o, reply{code: code, said: "the acquirer: " + code})
		return err
	})
	return r, known, err
}
