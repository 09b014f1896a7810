package host

import (
	"context"
	"errors"
	"fmt"

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

// routeIncrement has the acquirer above decide about an increment. Nothing is
// written down before its answer: the unit asks until it has one, and the
// acquirer takes each order once. What it is still to be told of the
// pre-authorisation goes before.
func (s *Server) routeIncrement(ctx context.Context, w *work) (reply, error) {
	var r reply
	var hold *ledger.Outgoing
	err := s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		hold = nil
		_, err := s.sender(tx, w)
		if err != nil {
			return err
		}
		var a ledger.Authorisation
		if a, _, r, err = s.raise(ctx, tx, w); err != nil || r.code != "" {
			return err
		}
		owed, err := tx.Outgoing(outgoingID("hold", a.Key))
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		hold = &owed
		return err
	})
	if err != nil {
		return reply{}, err
	}
	if hold != nil {
		if done, refused, err := s.forward(ctx, *hold); err != nil || !done && !refused {
			s.tell(w.terminal.ID, w.m.Order, "the acquirer has not acknowledged what an increment is of, which is asked again: %v", err)
			return reply{}, errUnderWay
		}
	}
	if r.code == "" {
		up := w.m.Clone()
		defer up.Wipe()
		up.MAC, up.MACKSN = nil, nil
		answer, err := s.exchange(ctx, up)
		if err != nil {
			s.tell(w.terminal.ID, w.m.Order, "the acquirer gave no answer to an increment, which is asked again: %v", err)
			return reply{}, errUnderWay
		}
		defer answer.Wipe()
		if answer.ResponseCode != codeApproved {
			r = reply{code: answer.ResponseCode, said: "the acquirer: " + answer.ResponseCode}
		}
	}
	refused := r
	err = s.c.Ledger.Update(context.WithoutCancel(ctx), func(tx ledger.Tx) (err error) {
		if refused.code == "" {
			r, err = s.book(ctx, tx, w)
			return err
		}
		t, err := s.sender(tx, w)
		if err != nil {
			return err
		}
		// Another copy of the request may have been answered meanwhile.
		_, o, now, err := s.raise(ctx, tx, w)
		switch {
		case err != nil:
			return err
		case now.code == codeApproved:
			r = now
		default:
			if r, err = refuseIncrement(tx, o, refused); err != nil {
				return err
			}
		}
		return tx.PutTerminal(t)
	})
	return r, err
}
