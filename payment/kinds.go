package payment

import (
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
)

// kind is what a type of trade is on the wire and in the card.
type kind struct {
	// mti and processing are the request's (ISO 8583 MTI and DE 3).
	mti, processing string
	// transaction is tag 9C: the first two digits of the processing code (EMV
	// 4.4 Book 3, Annex A).
	transaction byte
	// condition is DE 25; "" is "00", a normal presentment.
	condition string
	// inquiry: it asks a question; nothing is charged, and nothing owed.
	inquiry bool
	// follows: it is about an earlier payment of this unit, and needs no card.
	follows bool
}

// tradeKind says what a type of trade is; false for one that this version does not
// make.
func tradeKind(t trade.Type) (kind, bool) {
	switch t {
	case trade.Sale:
		return kind{mti: "0200", processing: acquirer.ProcessingSale}, true
	case trade.Cashback:
		return kind{mti: "0200", processing: acquirer.ProcessingCashback, transaction: 0x09}, true
	case trade.Refund:
		return kind{mti: "0200", processing: acquirer.ProcessingRefund, transaction: 0x20}, true
	case trade.Preauth:
		return kind{mti: "0100", processing: acquirer.ProcessingSale, condition: acquirer.ConditionPreauth}, true
	case trade.Balance:
		return kind{mti: "0100", processing: acquirer.ProcessingBalance, transaction: 0x31, inquiry: true}, true
	case trade.Verification:
		return kind{mti: "0100", processing: acquirer.ProcessingVerification, transaction: 0x38, inquiry: true}, true
	case trade.Void, trade.Completion, trade.Incremental:
		return kind{follows: true}, true
	}
	return kind{}, false
}
