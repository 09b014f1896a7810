package host

import (
	"errors"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// judgeOriginal says why an order can't refer to its original, "" when it can or
// has none.
func judgeOriginal(tx ledger.Tx, o ledger.Order) (why string, err error) {
	switch trade.Type(o.Type) {
	case trade.Refund:
		_, why, err = refundable(tx, o)
		return why, err
	case trade.Void, trade.Completion, trade.Incremental:
	default:
		return "", nil
	}
	original, err := tx.Order(o.Original)
	if err == nil {
		original, err = asPaid(tx, original)
	}
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && original.Merchant != o.Merchant:
		return "the merchant has no order of the original's name", nil
	case err != nil:
		return "", err
	case o.Type == string(trade.Void):
		return voidable(o, original), nil
	case o.Type == string(trade.Incremental):
		return raisable(o, original), nil
	}
	return capturable(o, original), nil
}

// originalOf tells a unit which request a void, a completion or an incremental is about. Only
// the terminal that sent it knows it by its numbers.
func originalOf(tx ledger.Tx, t ledger.Terminal, o ledger.Order) (*trade.Original, error) {
	why, err := judgeOriginal(tx, o)
	if err != nil {
		return nil, err
	}
	if why != "" {
		return nil, &trade.Error{Code: trade.CodeRefused, Text: "not possible: " + why}
	}
	paid, err := tx.Order(o.Original)
	if err != nil {
		return nil, err
	}
	a, err := tx.Authorisation(paid.Authorisation)
	if err != nil {
		return nil, err
	}
	if a.Key.Terminal != t.ID {
		return nil, &trade.Error{Code: trade.CodeRefused, Text: "another terminal made the payment; it has to be this one"}
	}
	k, _ := kindOf(trade.Type(paid.Type))
	return &trade.Original{
		MTI: k.mti, ProcessingCode: k.processing, STAN: a.Key.STAN, RRN: a.Key.RRN, Transmitted: a.Transmitted, AuthCode: a.AuthCode, Order: paid.ID,
	}, nil
}

// about returns the void, completion or incremental order that a message names for an
// authorisation made for another order; false when it names none.
func about(tx ledger.Tx, w *work, a *ledger.Authorisation, t trade.Type) (ledger.Order, bool, error) {
	o, err := tx.Order(w.m.Order)
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.Order{}, false, nil
	}
	if err != nil {
		return ledger.Order{}, false, err
	}
	return o, o.Type == string(t) && o.Original == a.Order && o.Merchant == w.terminal.MerchantID, nil
}
