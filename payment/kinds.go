package payment

import (
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
)

// transactionType is tag 9C of a trade: the first two digits of its processing
// code (EMV 4.4 Book 3, Annex A).
func transactionType(t trade.Type) byte {
	if t == trade.Refund {
		return 0x20
	}
	return 0x00
}

// processingCode is DE 3 of a trade.
func processingCode(t trade.Type) string {
	if t == trade.Refund {
		return acquirer.ProcessingRefund
	}
	return acquirer.ProcessingSale
}
