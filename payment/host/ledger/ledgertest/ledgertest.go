// Package ledgertest is the contract of a ledger as a test: an implementation
// calls Run with a way to make an empty ledger, and one to open it again.
package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// Store is where a ledger under test lives.
type Store interface {
	// Open opens the ledger, as a new process would, and closes it at the end
	// of the test. A second call opens the same one again while the first is
	// open.
	Open(t *testing.T) ledger.Ledger
}

// Run tests the ledgers of the stores that newStore makes; each is empty.
func Run(t *testing.T, newStore func(t *testing.T) Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s Store)
	}{
		{"orders", orders},
		{"terminals", terminals},
		{"activations", activations},
		{"sequences", sequences},
		{"authorisations", authorisations},
		{"cards", cards},
		{"spendings", spendings},
		{"scripts", scripts},
		{"working keys", workingKeys},
		{"outgoing messages", outbox},
		{"tickets", tickets},
		{"batches", batches},
		{"postings", postings},
		{"refused entries", refusedEntries},
		{"balance out of range", overflow},
		{"fields that are written again", rewrites},
		{"balances within a transaction", balancesWithin},
		{"rollback", rollback},
		{"panic", panics},
		{"view writes nothing", viewWrites},
		{"void transaction", voidTx},
		{"cancelled wait", cancelledWait},
		{"concurrent updates", concurrent},
		{"two at once", twoAtOnce},
		{"one update at a time", oneAtATime},
		{"audit", auditGood},
		{"audit of refunds", auditRefunds},
		{"audit of completions", auditCompletions},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newStore(t)) })
	}
}

var at = time.Date(2026, 3, 4, 5, 6, 7, 89000, time.UTC)

// diff compares records; currencies are values.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b money.Currency) bool { return a == b }))
}

func eur(t testing.TB, minor int64) money.Amount { return in(t, "EUR", minor) }

func in(t testing.TB, code string, minor int64) money.Amount {
	t.Helper()
	c, err := money.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

func update(t *testing.T, l ledger.Ledger, fn func(tx ledger.Tx) error) {
	t.Helper()
	if err := l.Update(t.Context(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t *testing.T, l ledger.Ledger, fn func(tx ledger.Tx) error) {
	t.Helper()
	if err := l.View(t.Context(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// Clean fails the test when an audit of l finds anything, and returns its
// report.
func Clean(t testing.TB, l ledger.Ledger) ledger.Report {
	t.Helper()
	r, err := ledger.Audit(context.Background(), l)
	if err != nil {
		t.Fatalf("Audit: %v", err)
	}
	for _, p := range r.Problems {
		t.Errorf("Audit: %s", p)
	}
	return r
}

// kept writes v, and reads it back in the same transaction, in the next and
// after the ledger was opened again.
func kept[T any](t *testing.T, s Store, v T, put func(ledger.Tx, T) error, get func(ledger.Tx) (T, error)) {
	t.Helper()
	l := s.Open(t)
	check := func(where string) func(tx ledger.Tx) error {
		return func(tx ledger.Tx) error {
			got, err := get(tx)
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			if d := diff(v, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", where, d)
			}
			return nil
		}
	}
	view(t, l, func(tx ledger.Tx) error {
		if _, err := get(tx); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("before it is written: got %v, want ErrNotFound", err)
		}
		return nil
	})
	update(t, l, func(tx ledger.Tx) error {
		if err := put(tx, v); err != nil {
			return err
		}
		return check("in the same transaction")(tx)
	})
	view(t, l, check("in the next transaction"))
	view(t, s.Open(t), check("in another process"))
}
