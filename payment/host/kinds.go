package host

import (
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// kind is what a type of trade is on the wire and in the card.
type kind struct {
	// mti and processing are the request's; transaction is tag 9C, the first
	// two digits of the processing code (EMV 4.4 Book 3, Annex A).
	mti, processing string
	transaction     byte
	// original: the order refers to another one.
	original bool
	// card: a card is read, and a request made.
	card bool
	// inquiry: it asks a question; nothing is booked.
	inquiry bool
}

// kindOf says what an order's type is; false for a type that is not known.
func kindOf(t trade.Type) (kind, bool) {
	switch t {
	case trade.Sale:
		return kind{mti: "0200", processing: acquirer.ProcessingSale, card: true}, true
	case trade.Cashback:
		return kind{mti: "0200", processing: acquirer.ProcessingCashback, transaction: 0x09, card: true}, true
	case trade.Refund:
		return kind{mti: "0200", processing: acquirer.ProcessingRefund, transaction: 0x20, card: true, original: true}, true
	case trade.Preauth:
		return kind{mti: "0100", processing: acquirer.ProcessingSale, card: true}, true
	case trade.Balance:
		return kind{mti: "0100", processing: acquirer.ProcessingBalance, transaction: 0x31, card: true, inquiry: true}, true
	case trade.Verification:
		return kind{mti: "0100", processing: acquirer.ProcessingVerification, transaction: 0x38, card: true, inquiry: true}, true
	case trade.Completion, trade.Void, trade.Incremental:
		return kind{original: true}, true
	}
	return kind{}, false
}

// way is how the money of an order goes: from one account, through the pending
// account, to the other.
func way(o ledger.Order, a *ledger.Authorisation) (from, to string) {
	if o.Type == string(trade.Refund) {
		return merchantAccount(o.Merchant), a.Account
	}
	return a.Account, merchantAccount(o.Merchant)
}
