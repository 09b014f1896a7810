package host

import (
	"errors"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// voidable looks whether o is a void of a payment that stands whole, and returns
// that payment's order. why is not empty when it is not.
func voidable(tx ledger.Tx, o ledger.Order) (original ledger.Order, why string, err error) {
	original, err = tx.Order(o.Original)
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && original.Merchant != o.Merchant:
		return ledger.Order{}, "the merchant has no order of the original's name", nil
	case err != nil:
		return ledger.Order{}, "", err
	case original.Type != string(trade.Sale):
		return original, "the original is no sale", nil
	case original.State != ledger.OrderPaid:
		return original, "the original is not paid", nil
	case original.Refunded != 0:
		return original, "a part of the original was given back", nil
	case original.Amount != o.Amount:
		return original, "a void is of the whole original", nil
	}
	return original, "", nil
}

// originalOf tells a unit which request a void undoes. Only the terminal that
// sent it knows it by its numbers.
func originalOf(tx ledger.Tx, t ledger.Terminal, o ledger.Order) (*trade.Original, error) {
	paid, why, err := voidable(tx, o)
	if err != nil {
		return nil, err
	}
	if why != "" {
		return nil, &trade.Error{Code: trade.CodeRefused, Text: "the payment can't be voided: " + why}
	}
	a, err := tx.Authorisation(paid.Authorisation)
	if err != nil {
		return nil, err
	}
	if a.Key.Terminal != t.ID {
		return nil, &trade.Error{Code: trade.CodeRefused, Text: "another terminal made the payment; void it there, or refund it"}
	}
	return &trade.Original{STAN: a.Key.STAN, RRN: a.Key.RRN, Transmitted: a.Transmitted, AuthCode: a.AuthCode}, nil
}

// voidOf returns the void order that a message names, false when it names none
// for the authorisation.
func voidOf(tx ledger.Tx, w *work, a *ledger.Authorisation) (ledger.Order, bool, error) {
	o, err := tx.Order(w.m.Order)
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.Order{}, false, nil
	}
	if err != nil {
		return ledger.Order{}, false, err
	}
	return o, o.Type == string(trade.Void) && o.Original == a.Order && o.Merchant == w.terminal.MerchantID, nil
}

// void carries out the 0400 of a void order: what was completed is booked back,
// once.
func (s *Server) void(tx ledger.Tx, w *work, a ledger.Authorisation, o ledger.Order) (reply, error) {
	if a.State == ledger.AuthVoided && o.State == ledger.OrderPaid && o.Authorisation == a.Key {
		return reply{code: codeApproved, said: "repeated: voided before"}, nil
	}
	if w.m.Reason != acquirer.ReasonCancelled || a.State != ledger.AuthCompleted || o.State != ledger.OrderOpen {
		return reply{code: codeInvalid, said: "refused: the request was " + string(a.State) + ", the void is " + string(o.State)}, nil
	}
	paid, why, err := voidable(tx, o)
	if err != nil {
		return reply{}, err
	}
	if why != "" || paid.Authorisation != a.Key {
		return reply{code: codeInvalid, said: "refused: " + why}, nil
	}
	from, to := way(paid, &a)
	e, err := entry(ledger.KindVoid, &a, w, to, from, "voided by the merchant")
	if err != nil {
		return reply{}, err
	}
	if _, err := tx.Post(e); err != nil {
		return reply{}, err
	}
	paid.State = ledger.OrderVoided
	if err := tx.PutOrder(paid); err != nil {
		return reply{}, err
	}
	o.State, o.Authorisation = ledger.OrderPaid, a.Key
	if err := tx.PutOrder(o); err != nil {
		return reply{}, err
	}
	a.State, a.Changed = ledger.AuthVoided, w.now
	return reply{code: codeApproved, said: "voided: the payment was taken back"}, tx.PutAuthorisation(a)
}
