package memledger

import (
	"errors"

	"github.com/payunit/payunit/payment/host/ledger"
)

// Batch returns a terminal's batch in a currency.
func (t *tx) Batch(terminal, currency string) (ledger.Batch, error) {
	b, err := get(t, t.l.batches, account{terminal, currency}, "batch")
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.Batch{Terminal: terminal, Currency: currency}, nil
	}
	return b, err
}

// PutBatch writes a batch.
func (t *tx) PutBatch(b ledger.Batch) error {
	if err := b.Check(); err != nil {
		return err
	}
	if err := t.writes("writing a batch"); err != nil {
		return err
	}
	b.Last.Time = moment(b.Last.Time)
	set(t, t.l.batches, account{b.Terminal, b.Currency}, b)
	return nil
}
