package host

import (
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// withBalance adds to the approval of a balance inquiry what the account holds:
// its balance as it is now, also to a repeat. Nothing else gets it.
func withBalance(tx ledger.Tx, w *work, a ledger.Authorisation, r reply) (reply, error) {
	if r.code != codeApproved || w.m.ProcessingCode != acquirer.ProcessingBalance {
		return r, nil
	}
	currency := w.m.Amount.Currency
	minor, err := tx.Balance(a.Account, currency.Code())
	if err != nil {
		return reply{}, err
	}
	r.other = []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountAvailableBalance, Amount: money.New(minor, currency)}}
	return r, nil
}
