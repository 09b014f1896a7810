package sqlledger

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/payunit/payunit/payment/host/ledger"
)

// putBatch writes a batch: its totals and its last settlement as JSON, which no
// query looks into.
var putBatch = upsert("batches", "terminal, currency, content", "terminal, currency")

// Batch returns a terminal's batch in a currency.
func (t *tx) Batch(terminal, currency string) (ledger.Batch, error) {
	b := ledger.Batch{Terminal: terminal, Currency: currency}
	var content string
	err := t.row("batch", "SELECT content FROM batches WHERE terminal = ? AND currency = ?", []any{terminal, currency}, &content)
	if errors.Is(err, ledger.ErrNotFound) {
		return b, nil
	}
	if err != nil {
		return ledger.Batch{}, err
	}
	if err := json.Unmarshal([]byte(content), &b); err != nil {
		return ledger.Batch{}, fmt.Errorf("sqlledger: batch of terminal %s: %w", terminal, err)
	}
	return b, nil
}

// PutBatch writes a batch.
func (t *tx) PutBatch(b ledger.Batch) error {
	if err := b.Check(); err != nil {
		return err
	}
	b.Last.Time = moment(micros(b.Last.Time))
	content, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("sqlledger: batch of terminal %s: %w", b.Terminal, err)
	}
	return t.exec("writing a batch", putBatch, b.Terminal, b.Currency, string(content))
}
