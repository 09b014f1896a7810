package host

import (
	"errors"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// refundable looks whether o is a refund that its original has room for, and
// returns the original. why is not empty when it is not; orders without an
// original have room.
func refundable(tx ledger.Tx, o ledger.Order) (original ledger.Order, why string, err error) {
	if o.Original == "" {
		return ledger.Order{}, "", nil
	}
	original, err = tx.Order(o.Original)
	if err == nil {
		ordered := original.Amount
		original, err = asPaid(tx, original)
		if original.Amount.Minor > ordered.Minor && original.Amount.Currency == ordered.Currency {
			original.Amount = ordered // a tip is not given back
		}
	}
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && original.Merchant != o.Merchant:
		return ledger.Order{}, "the merchant has no order of the original's name", nil
	case err != nil:
		return ledger.Order{}, "", err
	case original.Type != string(trade.Sale) && original.Type != string(trade.Completion):
		return original, "the original is neither a sale nor a completion", nil
	case original.State != ledger.OrderPaid:
		return original, "the original is not paid", nil
	case original.Amount.Currency != o.Amount.Currency:
		return original, "the original was paid in " + original.Amount.Currency.Code(), nil
	case o.Amount.Minor > original.Amount.Minor-original.Refunded:
		return original, "more than is left of the original", nil
	}
	return original, "", nil
}

// refunded counts a refund towards its original, or no longer when sign is -1.
func refunded(tx ledger.Tx, o ledger.Order, sign int64) error {
	if o.Original == "" {
		return nil
	}
	original, err := tx.Order(o.Original)
	if err != nil {
		return err
	}
	original.Refunded += sign * o.Amount.Minor
	return tx.PutOrder(original)
}

// sameCard looks whether a refund goes to the card that paid.
func sameCard(tx ledger.Tx, o ledger.Order, card string) (bool, error) {
	if o.Original == "" {
		return true, nil
	}
	original, err := tx.Order(o.Original)
	if err != nil {
		return false, err
	}
	paid, err := tx.Authorisation(original.Authorisation)
	return err == nil && paid.Card == card, err
}
