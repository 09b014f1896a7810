package sqlledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"modernc.org/sqlite"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger/sqltest"
	"github.com/payunit/payunit/payment/money"
)

// together has n updates wait while another one runs, so that they are carried
// out as one batch, and returns what each caller got: an error, or a panic as
// one.
func together(t *testing.T, l *Ledger, n int, fn func(i int) func(ledger.Tx) error) []error {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	err := l.Update(t.Context(), func(ledger.Tx) error {
		for i := range n {
			wg.Go(func() {
				defer func() {
					if v := recover(); v != nil {
						errs[i] = fmt.Errorf("panic: %v", v)
					}
				}()
				errs[i] = l.Update(context.Background(), fn(i))
			})
		}
		for waiting := 0; waiting < n; runtime.Gosched() {
			l.mu.Lock()
			waiting = len(l.queue)
			l.mu.Unlock()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return errs
}

// What a job of a batch says rests on what others of the batch wrote: it is not
// said when that can't be committed.
func TestBatchNotCommitted(t *testing.T) {
	l := newStore(t).(store).Open(t).(*Ledger)
	paid := errors.New("paid already")
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	errs := together(t, l, 3, func(int) func(ledger.Tx) error {
		return func(x ledger.Tx) error {
			// Whoever comes first writes, whoever comes then finds it there, and
			// the last one has the commit fail.
			switch _, err := x.Order("o1"); {
			case errors.Is(err, ledger.ErrNotFound):
				return x.PutOrder(ledger.Order{ID: "o1", Amount: money.New(100, eur), State: ledger.OrderOpen})
			case err != nil:
				return err
			}
			if seen++; seen == 1 {
				return paid
			}
			s := x.(*tx)
			if err := s.s.exec(s.ctx, "PRAGMA defer_foreign_keys = ON"); err != nil {
				return err
			}
			return s.exec("booking", putPosting, 999, 0, "test", "EUR", 1)
		}
	})
	failed := 0
	for i, err := range errs {
		if errors.Is(err, paid) {
			t.Errorf("%d says %v, of what was not committed", i, err)
		}
		if err != nil {
			failed++
		}
	}
	if failed != len(errs) {
		t.Errorf("%d of %d failed", failed, len(errs))
	}
	if err := l.View(t.Context(), func(x ledger.Tx) error { _, err := x.Order("o1"); return err }); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("the order: %v", err)
	}
}

// Of a batch, those that fail leave nothing, and the others are there.
func TestBatch(t *testing.T) {
	l := newStore(t).(store).Open(t).(*Ledger)
	stop := errors.New("stop")
	errs := together(t, l, 12, func(i int) func(ledger.Tx) error {
		return func(tx ledger.Tx) error {
			if err := deposit(t, fmt.Sprint(i))(tx); err != nil {
				return err
			}
			switch i % 4 {
			case 1:
				return stop
			case 2:
				panic(i)
			case 3:
				// A statement that fails, and whose error is not passed on.
				_ = tx.PutTerminal(ledger.Terminal{ID: "T1", Number: 1, DeviceKey: []byte{1}})
				_ = tx.PutTerminal(ledger.Terminal{ID: "T2", Number: 1, DeviceKey: []byte{2}})
			}
			return nil
		}
	})
	for i, err := range errs {
		good := false
		switch i % 4 {
		case 0:
			good = err == nil
		case 1:
			good = errors.Is(err, stop)
		case 2:
			good = err != nil && err.Error() == fmt.Sprint("panic: ", i)
		case 3:
			good = err != nil && !errors.Is(err, stop)
		}
		if !good {
			t.Errorf("update %d: got %v", i, err)
		}
	}
	if got := deposited(t, l); got != 3 {
		t.Errorf("%d deposits, want 3", got)
	}
	if r := ledgertest.Clean(t, l); r.Entries != 3 {
		t.Errorf("%d entries, want 3", r.Entries)
	}
}

// The commit of a batch fails: every caller is told, and nothing is there.
func TestBatchCommitFails(t *testing.T) {
	for _, mode := range []sqltest.Mode{sqltest.Before, sqltest.After} {
		s := newStore(t).(store)
		var f sqltest.Faults
		db := sqltest.Open(&sqlite.Driver{}, string(s), &f)
		l, err := Open(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		const n = 5
		errs := together(t, l, n, func(i int) func(ledger.Tx) error {
			return func(tx ledger.Tx) error {
				f.ArmOn("COMMIT", mode)
				return deposit(t, fmt.Sprint(i))(tx)
			}
		})
		if f.Failed() != "COMMIT" {
			t.Fatalf("mode %d: the fault hit %q", mode, f.Failed())
		}
		for i, err := range errs {
			if !errors.Is(err, sqltest.ErrFault) {
				t.Errorf("mode %d, update %d: got %v, want the fault", mode, i, err)
			}
		}
		want := int64(0)
		if mode == sqltest.After {
			want = n
		}
		if got := deposited(t, l); got != want {
			t.Errorf("mode %d: %d deposits, want %d", mode, got, want)
		}
		ledgertest.Clean(t, l)
		_ = l.Close()
		_ = db.Close()
	}
}

// An update whose caller went away while it waited is not carried out.
func TestBatchWithout(t *testing.T) {
	l := newStore(t).(store).Open(t).(*Ledger)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	err := l.Update(t.Context(), func(ledger.Tx) error {
		go func() { gone <- l.Update(ctx, deposit(t, "gone")) }()
		for waiting := 0; waiting < 1; runtime.Gosched() {
			l.mu.Lock()
			waiting = len(l.queue)
			l.mu.Unlock()
		}
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Update(t.Context(), deposit(t, "stays")); err != nil {
		t.Fatal(err)
	}
	if got := deposited(t, l); got != 1 {
		t.Errorf("%d deposits, want 1", got)
	}
}

// What a batch knows of the book is forgotten with an update that is taken back:
// the balance that it wrote, and the place of its entry.
func TestBatchForgets(t *testing.T) {
	l := newStore(t).(store).Open(t).(*Ledger)
	stop := errors.New("stop")
	errs := together(t, l, 9, func(i int) func(ledger.Tx) error {
		return func(tx ledger.Tx) error {
			before, err := tx.Balance("b", "EUR")
			if err != nil {
				return err
			}
			if err := deposit(t, fmt.Sprint(i))(tx); err != nil {
				return err
			}
			after, err := tx.Balance("b", "EUR")
			if after != before+1 {
				t.Errorf("update %d: balance %d, then %d", i, before, after)
			}
			if i%3 == 1 {
				return stop
			}
			return err
		}
	})
	failed := 0
	for _, err := range errs {
		if errors.Is(err, stop) {
			failed++
		} else if err != nil {
			t.Error(err)
		}
	}
	if got := deposited(t, l); got != int64(9-failed) || failed != 3 {
		t.Errorf("%d deposits, %d updates failed", got, failed)
	}
	ledgertest.Clean(t, l)
}

// Of a batch whose updates succeed, or fail before they write, none needs a
// savepoint, and each balance is written once.
func TestBatchOfStatements(t *testing.T) {
	s := newStore(t).(store)
	var f sqltest.Faults
	db := sqltest.Open(&sqlite.Driver{}, string(s), &f)
	l, err := Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	count := func(n, fail int, after bool) int {
		t.Helper()
		f.Arm(0, sqltest.Before)
		errs := together(t, l, n, func(i int) func(ledger.Tx) error {
			return func(tx ledger.Tx) error {
				if i < fail && !after {
					return stop
				}
				err := deposit(t, fmt.Sprintf("%d/%d/%v/%d", n, fail, after, i))(tx)
				if i < fail {
					return stop
				}
				return err
			}
		})
		for i, err := range errs {
			if i < fail && !errors.Is(err, stop) || i >= fail && err != nil {
				t.Errorf("update %d: got %v", i, err)
			}
		}
		return f.Count()
	}
	count(1, 0, false)
	// A number takes two, an entry with its postings two.
	const each = 4
	few, more := count(4, 0, false), count(8, 0, false)
	if more-few != 4*each {
		t.Errorf("8 updates take %d statements, 4 take %d: want %d more", more, few, 4*each)
	}
	if got := count(8, 4, false); got != few {
		t.Errorf("8 updates of which 4 fail before they write take %d statements, want %d", got, few)
	}
	if got := count(8, 4, true); got <= more {
		t.Errorf("8 updates of which 4 fail after they wrote take %d statements", got)
	}
	if got := deposited(t, l); got != 1+4+8+4+4 {
		t.Errorf("%d deposits", got)
	}
	ledgertest.Clean(t, l)
	_ = l.Close()
	_ = db.Close()
}
