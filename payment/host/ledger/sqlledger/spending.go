package sqlledger

import (
	"errors"

	"github.com/payunit/payunit/payment/host/ledger"
)

const sqliteSpendings = `CREATE TABLE spendings (
		card TEXT NOT NULL,
		day INTEGER NOT NULL,
		payments INTEGER NOT NULL,
		minor INTEGER NOT NULL,
		PRIMARY KEY (card, day)
	) WITHOUT ROWID`

const postgresSpendings = `CREATE TABLE spendings (
		card TEXT COLLATE "C" NOT NULL,
		day BIGINT NOT NULL,
		payments BIGINT NOT NULL,
		minor BIGINT NOT NULL,
		PRIMARY KEY (card, day)
	)`

var putSpending = upsert("spendings", "card, day, payments, minor", "card, day")

// Spending returns a card's day.
func (t *tx) Spending(card string, day int64) (ledger.Spending, error) {
	s := ledger.Spending{Card: card, Day: day}
	err := t.row("card's day", "SELECT payments, minor FROM spendings WHERE card = ? AND day = ?", []any{card, day}, &s.Payments, &s.Minor)
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.Spending{Card: card, Day: day}, nil
	}
	return s, err
}

// PutSpending writes a card's day.
func (t *tx) PutSpending(s ledger.Spending) error {
	if err := s.Check(); err != nil {
		return err
	}
	return t.exec("writing a card's day", putSpending, s.Card, s.Day, s.Payments, s.Minor)
}

// SpentSince returns the sum of a card's days. PostgreSQL's sum of BIGINT is
// NUMERIC.
func (t *tx) SpentSince(card string, day int64) (ledger.Spending, error) {
	s := ledger.Spending{Card: card, Day: day}
	err := t.row("card's days", "SELECT CAST(COALESCE(SUM(payments), 0) AS BIGINT), CAST(COALESCE(SUM(minor), 0) AS BIGINT) FROM spendings WHERE card = ? AND day >= ?",
		[]any{card, day}, &s.Payments, &s.Minor)
	return s, err
}
