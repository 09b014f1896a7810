package host

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// capturable says why a completion can't take its original, "" when it can.
func capturable(o, original ledger.Order) string {
	switch {
	case original.Type != string(trade.Preauth):
		return "the original is no pre-authorisation"
	case original.State != ledger.OrderHeld:
		return "the original is not held"
	case original.Amount.Currency != o.Amount.Currency:
		return "the original is in " + original.Amount.Currency.Code()
	case o.Amount.Minor > original.Amount.Minor:
		return "more than is held"
	}
	return ""
}

// hold carries out an 0120: the card has approved a pre-authorisation too, and
// the amount stays ready.
func (s *Server) hold(ctx context.Context, tx ledger.Tx, w *work) (reply, error) {
	a, found, r, err := s.original(ctx, tx, w)
	switch {
	case err != nil || r.code != "":
		return r, err
	case !found:
		return reply{code: codeNoOriginal, said: "refused: there is no such request"}, nil
	case a.Completion != nil || a.State == ledger.AuthHeld || a.State == ledger.AuthCompleted || a.State == ledger.AuthVoided:
		return reply{code: codeApproved, authCode: a.AuthCode, said: "repeated: the amount was held"}, nil
	case a.State != ledger.AuthApproved:
		return reply{code: codeInvalid, said: "refused: the request was " + string(a.State)}, nil
	}
	o, err := pendingOrder(tx, &a)
	if err != nil {
		return reply{}, err
	}
	if o.Type != string(trade.Preauth) {
		return reply{code: codeUnsupported, said: "refused: the order is a " + o.Type}, nil
	}
	o.State = ledger.OrderHeld
	if err := tx.PutOrder(o); err != nil {
		return reply{}, err
	}
	if err := s.pass(tx, w, &a, "hold"); err != nil {
		return reply{}, err
	}
	a.State, a.Changed, a.Completion = ledger.AuthHeld, w.now, lastWord(w.m.ICC)
	return reply{code: codeApproved, authCode: a.AuthCode, said: "held: the amount stays ready"}, tx.PutAuthorisation(a)
}

// capture carries out the 0220 of a completion order: the merchant gets its
// amount of what is held, and the card the rest back, once.
func (s *Server) capture(tx ledger.Tx, w *work, a ledger.Authorisation, o ledger.Order) (reply, error) {
	if a.State == ledger.AuthCompleted && o.State == ledger.OrderPaid && o.Authorisation == a.Key {
		return reply{code: codeApproved, authCode: a.AuthCode, said: "repeated: completed before"}, nil
	}
	if code, refused := o.State.Refused(); refused {
		return reply{code: code, said: "refused: as it was before"}, nil
	}
	if *w.m.Amount != o.Amount {
		return reply{code: codeAmount, said: "refused: the amount is not the order's"}, nil
	}
	held, err := tx.Order(o.Original)
	if err != nil {
		return reply{}, err
	}
	placed := held.Amount
	if held, err = asPaid(tx, held); err != nil {
		return reply{}, err
	}
	why := capturable(o, held)
	if why != "" || a.State != ledger.AuthHeld || held.Authorisation != a.Key || o.State != ledger.OrderOpen {
		return refuseFollowUp(tx, w, o, "the request was "+string(a.State)+" "+why)
	}
	from, to := way(held, &a)
	e, err := entry(ledger.KindComplete, &a, w, pendingAccount(held.Merchant), to, "completed by the merchant")
	if err != nil {
		return reply{}, err
	}
	if rest := a.Amount.Minor - o.Amount.Minor; rest > 0 {
		e.Postings[1].Amount = o.Amount
		e.Postings = append(e.Postings, ledger.Posting{Account: from, Amount: money.New(rest, o.Amount.Currency)})
	}
	if err := uncount(tx, held, &a, 0, a.Amount.Minor-o.Amount.Minor); err != nil {
		return reply{}, err
	}
	if _, err := tx.Post(e); err != nil {
		return reply{}, fmt.Errorf("host: completing a pre-authorisation: %w", err)
	}
	held.State, held.Amount = ledger.OrderPaid, placed
	if err := tx.PutOrder(held); err != nil {
		return reply{}, err
	}
	o.State, o.Authorisation = ledger.OrderPaid, a.Key
	if err := tx.PutOrder(o); err != nil {
		return reply{}, err
	}
	if err := count(tx, a.Key.Terminal, o, debits); err != nil {
		return reply{}, err
	}
	if err := s.pass(tx, w, &a, "completion"); err != nil {
		return reply{}, err
	}
	a.State, a.Changed = ledger.AuthCompleted, w.now
	return reply{code: codeApproved, authCode: a.AuthCode, said: "completed: " + o.Amount.String() + " of what was held"}, tx.PutAuthorisation(a)
}
