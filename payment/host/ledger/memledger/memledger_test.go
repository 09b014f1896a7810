package memledger

import (
	"errors"
	"testing"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
)

// store is one ledger, which every process of a test shares.
type store struct{ l *Ledger }

func (s store) Open(*testing.T) ledger.Ledger { return s.l }

func TestContract(t *testing.T) {
	ledgertest.Run(t, func(*testing.T) ledgertest.Store { return store{New()} })
}

// Every write and the commit of an update fail, one after the other: it leaves
// nothing, unless it was the commit whose answer was lost.
func TestFaults(t *testing.T) {
	fault := errors.New("fault")
	for _, kept := range []bool{false, true} {
		for n := 1; ; n++ {
			l := New()
			left, committing := n, false
			hit := func() error {
				if left--; left == 0 {
					return fault
				}
				return nil
			}
			l.Faults = Faults{
				Write:  func(string) error { return hit() },
				Commit: func() (bool, error) { err := hit(); committing = err != nil; return kept, err },
			}
			err := l.Update(t.Context(), func(tx ledger.Tx) error {
				if _, err := tx.Next("n"); err != nil {
					return err
				}
				return tx.PutCard(ledger.Card{Ref: "c"})
			})
			if err == nil {
				if n != 4 {
					t.Errorf("%d faults, want 3", n-1)
				}
				break
			}
			if !errors.Is(err, fault) {
				t.Errorf("fault %d: got %v", n, err)
			}
			err = l.View(t.Context(), func(tx ledger.Tx) error { _, err := tx.Card("c"); return err })
			if there := err == nil; there != (kept && committing) {
				t.Errorf("fault %d, kept %t: the card is there: %t", n, kept, there)
			}
		}
	}
}
