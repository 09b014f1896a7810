package host

import (
	"strings"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// standing reports whether an order is in the state that its authorisation was
// brought to by the card's last word: paid, or held for a pre-authorisation.
func standing(o ledger.Order) bool {
	if o.Type == string(trade.Preauth) {
		return o.State == ledger.OrderHeld
	}
	return o.State == ledger.OrderPaid
}

// voidable says why a void's original can't be undone by it, "" when it can.
func voidable(o, original ledger.Order) string {
	switch {
	case original.Type != string(trade.Sale) && original.Type != string(trade.Cashback) && original.Type != string(trade.Preauth):
		return "the original is no sale and no pre-authorisation"
	case !standing(original):
		return "the original is not paid"
	case original.Refunded != 0:
		return "a part of the original was given back"
	case original.Amount != o.Amount:
		return "a void is of the whole original"
	}
	return ""
}

// refuseFollowUp refuses a void or a completion, and makes that last: its terminal is
// told no, and a copy of the message that comes when the reason is gone, because a
// refund was reversed, or more is held, may not be taken. One of another server's is
// sent until it is taken, or given up there: it is judged each time.
func refuseFollowUp(tx ledger.Tx, w *work, o ledger.Order, why string) (reply, error) {
	r := reply{code: codeInvalid, said: "refused: " + why}
	if o.State != ledger.OrderOpen || strings.HasPrefix(w.terminal.ID, linePrefix) {
		return r, nil
	}
	o.State = ledger.OrderRefused(r.code)
	return r, tx.PutOrder(o)
}

// void carries out the 0400 of a void order: what was completed is booked back,
// once.
func (s *Server) void(tx ledger.Tx, w *work, a ledger.Authorisation, o ledger.Order) (reply, error) {
	if a.State == ledger.AuthVoided && o.State == ledger.OrderPaid && o.Authorisation == a.Key {
		return reply{code: codeApproved, said: "repeated: voided before"}, nil
	}
	if code, refused := o.State.Refused(); refused {
		return reply{code: code, said: "refused: as it was before"}, nil
	}
	if w.m.Reason != acquirer.ReasonCancelled || o.State != ledger.OrderOpen {
		return reply{code: codeInvalid, said: "refused: the void is " + string(o.State)}, nil
	}
	if a.State != ledger.AuthCompleted && a.State != ledger.AuthHeld {
		return refuseFollowUp(tx, w, o, "the request was "+string(a.State))
	}
	paid, err := tx.Order(o.Original)
	if err != nil {
		return reply{}, err
	}
	whole := paid.Amount
	if paid, err = asPaid(tx, paid); err != nil {
		return reply{}, err
	}
	if why := voidable(o, paid); why != "" || paid.Authorisation != a.Key {
		return refuseFollowUp(tx, w, o, why)
	}
	from, to := way(paid, &a)
	if a.State == ledger.AuthHeld {
		to = pendingAccount(paid.Merchant)
	}
	e, err := entry(ledger.KindVoid, &a, w, to, from, "voided by the merchant")
	if err != nil {
		return reply{}, err
	}
	if _, err := tx.Post(e); err != nil {
		return reply{}, err
	}
	if err := uncount(tx, paid, &a, 1, a.Amount.Minor); err != nil {
		return reply{}, err
	}
	paid.State, paid.Amount = ledger.OrderVoided, whole
	if err := tx.PutOrder(paid); err != nil {
		return reply{}, err
	}
	o.State, o.Authorisation = ledger.OrderPaid, a.Key
	if err := tx.PutOrder(o); err != nil {
		return reply{}, err
	}
	if a.State == ledger.AuthCompleted {
		if err := count(tx, a.Key.Terminal, o, debitReversals); err != nil {
			return reply{}, err
		}
	}
	if err := s.pass(tx, w, &a, "void"); err != nil {
		return reply{}, err
	}
	a.State, a.Changed = ledger.AuthVoided, w.now
	return reply{code: codeApproved, said: "voided: the payment was taken back"}, tx.PutAuthorisation(a)
}
