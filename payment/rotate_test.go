package payment_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
)

// TestRotatedKeysPay: a unit pays under new keys as it did under the old ones,
// which are worth nothing any more.
func TestRotatedKeysPay(t *testing.T) {
	for _, format := range []uint8{4, 0} {
		w, c := newWorld(t), plain()
		c.pinFormat = format
		r := w.rig(c)
		state := filepath.Join(r.dir, "vault")
		old, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"A-1", "A-2", "A-3"} {
			w.order(id, 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: id})
			if err != nil || got.Outcome != payment.Approved {
				t.Fatalf("format %d, %s: %s, %v", format, id, got.Outcome, err)
			}
			if rep, err := r.unit.Recover(t.Context()); err != nil || len(rep.Pending) != 0 {
				t.Errorf("Recover: %+v, %v", rep, err)
			}
			if err := r.rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.vault.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(state, old, 0o600); err != nil {
			t.Fatal(err)
		}
		c.dir = r.dir
		w.order("B-1", 500)
		if got, err := w.rig(c).unit.Pay(t.Context(), payment.Order{ID: "B-1"}); err == nil && got.Outcome == payment.Approved || w.state("B-1") == trade.Paid {
			t.Errorf("format %d: paid under keys that were replaced", format)
		}
		w.audit()
	}
}
