package ledger

import (
	"fmt"
	"time"
)

// Batch is what a terminal's payments in one currency come to since its last
// settlement, as the server booked them.
type Batch struct {
	Terminal string
	// Currency is the currency's ISO 4217 letters.
	Currency string
	// Number counts the settlements that went before.
	Number uint64
	Totals Totals
	// Settled is what the batches that were closed came to. Counted says that it
	// and Totals have every payment of the terminal in the currency: Audit
	// recomputes both then. A batch that an earlier version began has no Settled.
	Settled Totals
	Counted bool
	// Last is the last settlement that was asked for, zero before the first.
	Last Settlement
}

// Totals are what the payments of a batch come to. Debits are taken from
// cardholders, credits are given to them; reversals take one or the other back
// after it was completed.
type Totals struct {
	Debits, DebitReversals, Credits, CreditReversals Total
}

// Total is a number of transactions and their sum in minor units.
type Total struct {
	Count, Minor uint64
}

// Add counts an amount.
func (t *Total) Add(minor int64) {
	t.Count++
	t.Minor += uint64(minor)
}

// Plus is the sum of two totals.
func (t Totals) Plus(o Totals) Totals {
	for _, x := range [...]struct {
		to *Total
		by Total
	}{{&t.Debits, o.Debits}, {&t.DebitReversals, o.DebitReversals}, {&t.Credits, o.Credits}, {&t.CreditReversals, o.CreditReversals}} {
		x.to.Count += x.by.Count
		x.to.Minor += x.by.Minor
	}
	return t
}

// Transactions is the number of transactions.
func (t Totals) Transactions() uint64 {
	return t.Debits.Count + t.DebitReversals.Count + t.Credits.Count + t.CreditReversals.Count
}

// Net is what the merchant is owed, in minor units.
func (t Totals) Net() int64 {
	return int64(t.Debits.Minor) - int64(t.DebitReversals.Minor) - int64(t.Credits.Minor) + int64(t.CreditReversals.Minor)
}

// Settlement is a terminal's request for settlement with its answer.
type Settlement struct {
	// STAN, RRN and Final identify the request; Final is set for one after the
	// terminal has sent its transactions.
	STAN, RRN string
	Final     bool
	Code      string
	// Claimed is what the terminal says, Booked what the server booked.
	Claimed, Booked Totals
	// Uploaded is how many transactions the terminal sent one by one.
	Uploaded uint64
	Time     time.Time
}

// Check says whether a batch can be written. Errors wrap ErrInvalid.
func (b *Batch) Check() error {
	if b.Terminal == "" || len(b.Currency) != 3 {
		return fmt.Errorf("%w: batch without terminal or currency", ErrInvalid)
	}
	return nil
}
