package host

import (
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// partial reports whether a part of an order's amount may be approved.
func (s *Server) partial(o ledger.Order) bool {
	return s.c.PartialApprovals && o.Type == string(trade.Sale)
}

// asPaid returns an order with the amount that was approved for it, where that is
// a part of its own, or more by a tip or by what raised it.
func asPaid(tx ledger.Tx, o ledger.Order) (ledger.Order, error) {
	if o.Type != string(trade.Sale) && o.Type != string(trade.Preauth) || o.Authorisation.IsZero() {
		return o, nil
	}
	a, err := tx.Authorisation(o.Authorisation)
	if err != nil {
		return o, err
	}
	o.Amount = a.Amount
	return o, nil
}

// taken reports whether an advice or a reversal is of what was authorised: a
// reversal of the part that was approved, or of the whole by a terminal that did
// not get the answer; the advice that holds a pre-authorisation, also when it is
// repeated after that was raised.
func taken(tx ledger.Tx, w *work, a *ledger.Authorisation) (bool, error) {
	if *w.m.Amount == a.Amount {
		return true, nil
	}
	if hold := w.m.MTI[:3] == "012"; !hold && (a.ResponseCode != codePartial || w.m.MTI[1] != '4') {
		return false, nil
	}
	o, err := tx.Order(a.Order)
	return err == nil && o.Amount == *w.m.Amount, err
}
