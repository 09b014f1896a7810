package host

import (
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// uncount takes a payment that came to nothing, or with payments zero the rest of
// one, out of its card's velocity. A refund was not counted,
// nor what the acquirer above approved.
func uncount(tx ledger.Tx, o ledger.Order, a *ledger.Authorisation, payments int, minor int64) error {
	if o.Type == string(trade.Refund) || a.Account == upstreamAccount {
		return nil
	}
	return issuer.GiveBack(tx, a.Card, a.Created, payments, minor)
}
