package sqlledger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"modernc.org/sqlite"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger/sqltest"
	"github.com/payunit/payunit/payment/money"
)

// deposit is an update of several statements whose whole effect is seen in one
// balance.
func deposit(t testing.TB, key string) func(tx ledger.Tx) error {
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return func(tx ledger.Tx) error {
		if _, err := tx.Next("deposits"); err != nil {
			return err
		}
		_, err := tx.Post(ledger.Entry{Key: key, Kind: ledger.KindOpening, Cause: "test", Postings: []ledger.Posting{
			{Account: "a", Amount: money.New(-1, eur)}, {Account: "b", Amount: money.New(1, eur)},
		}})
		return err
	}
}

func deposited(t *testing.T, l ledger.Ledger) (n int64) {
	t.Helper()
	if err := l.View(t.Context(), func(tx ledger.Tx) (err error) { n, err = tx.Balance("b", "EUR"); return err }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Every statement of an update fails once, before and after it was carried
// out. What the database then holds is what it held before, unless it was the
// commit whose answer was lost; and the update can be repeated.
func TestEveryStatementFails(t *testing.T) {
	for _, mode := range []sqltest.Mode{sqltest.Before, sqltest.After} {
		for n := 1; ; n++ {
			s := newStore(t).(store)
			var f sqltest.Faults
			db := sqltest.Open(&sqlite.Driver{}, string(s), &f)
			l, err := Open(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Update(t.Context(), deposit(t, "first")); err != nil {
				t.Fatal(err)
			}
			f.Arm(n, mode)
			err = l.Update(t.Context(), deposit(t, "second"))
			failed := f.Failed()
			if failed == "" {
				if err != nil || n < 10 {
					t.Fatalf("mode %d: no fault in statement %d: %v", mode, n, err)
				}
				t.Logf("mode %d: %d statements", mode, n-1)
				_ = l.Close()
				_ = db.Close()
				break
			}
			if !errors.Is(err, sqltest.ErrFault) {
				t.Errorf("mode %d, statement %d (%s): got %v, want the fault", mode, n, failed, err)
			}
			want := int64(1)
			if mode == sqltest.After && failed == "COMMIT" {
				want = 2
			}
			// The process is gone; another one reads what is on disk.
			after := copyFiles(t, s).Open(t)
			if got := deposited(t, after); got != want {
				t.Errorf("mode %d, statement %d (%s): %d deposits, want %d", mode, n, failed, got, want)
			}
			ledgertest.Clean(t, after)
			if err := after.Update(t.Context(), deposit(t, "second")); err != nil {
				t.Error(err)
			}
			if got := deposited(t, after); got != 2 {
				t.Errorf("mode %d, statement %d (%s): %d deposits after the repeat, want 2", mode, n, failed, got)
			}
			// The same process goes on when its database comes back.
			f.Arm(0, mode)
			if err := l.Update(t.Context(), deposit(t, "second")); err != nil {
				t.Errorf("mode %d, statement %d (%s): repeat in the same process: %v", mode, n, failed, err)
			}
			if got := deposited(t, l); got != 2 {
				t.Errorf("mode %d, statement %d (%s): %d deposits after the repeat in the same process, want 2", mode, n, failed, got)
			}
			_ = l.Close()
			_ = db.Close()
		}
	}
}

const childEnv = "PAYUNIT_SQLLEDGER_TEST_CHILD"

// TestKilled kills a process that deposits as fast as it can, some times, with
// a signal that it can't catch. What it said was deposited, is.
func TestKilled(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		l := store(path).Open(t)
		for i := 0; ; i++ {
			if err := l.Update(t.Context(), deposit(t, fmt.Sprintf("%d/%d", os.Getpid(), i))); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stdout.WriteString("+"); err != nil {
				os.Exit(1)
			}
		}
	}
	s := newStore(t).(store)
	acknowledged := int64(0)
	for round := 1; round <= 5; round++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), childEnv+"="+string(s))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed at another moment of its work each time.
		buf := make([]byte, 1)
		for range 7 * round {
			if _, err := out.Read(buf); err != nil || buf[0] != '+' {
				t.Fatalf("round %d: the process says %s, %v", round, strconv.Quote(string(buf)), err)
			}
			acknowledged++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := out.Read(buf)
			acknowledged += int64(n)
			if err != nil {
				break
			}
		}
		_ = cmd.Wait()
		l := s.Open(t)
		got := deposited(t, l)
		if got < acknowledged || got > acknowledged+1 {
			t.Errorf("round %d: %d deposits, %d acknowledged", round, got, acknowledged)
		}
		ledgertest.Clean(t, l)
		acknowledged = got
	}
}
