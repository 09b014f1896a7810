package payment_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
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

// changes counts the terminals' changes of keys.
func (w *world) changes() (n int) {
	for _, e := range w.told() {
		if strings.Contains(e, "has new keys") {
			n++
		}
	}
	return n
}

// TestServerRotates: once a terminal's keys were used so often, it changes them in
// the channel after the payment. The payment itself, asked after once or reversed,
// is under the old ones, and what it owes is paid under the new ones.
func TestServerRotates(t *testing.T) {
	for _, format := range []uint8{4, 0} {
		w, c := newWorld(t, func(hc *host.Config) { hc.KeyUses = 2 }), plain()
		c.pinFormat = format
		r := w.rig(c)
		pay := func(id string, cut func(host.Point) error, want payment.Outcome, changed int) {
			t.Helper()
			w.order(id, 1234)
			w.mu.Lock()
			w.intercept = cut
			w.mu.Unlock()
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: id})
			if err != nil || got.Outcome != want {
				t.Errorf("format %d, %s: %s, %v", format, id, got.Outcome, err)
			}
			if n := w.changes(); n != changed {
				t.Errorf("format %d, %s: keys changed %d times, want %d", format, id, n, changed)
			}
		}
		pay("A-1", nil, payment.Approved, 0)                                     // new keys, of which it uses two
		pay("A-2", cuts(host.StageCommitted, 1), payment.Approved, 0)            // told to change them; asks again
		pay("A-3", nil, payment.Approved, 1)                                     // changed
		pay("A-4", func(host.Point) error { return errCut }, payment.Unknown, 1) // told again; owes a reversal
		pay("A-5", cuts(host.StageVerified, 0), payment.Approved, 2)             // changed, and the reversal is under the new ones
		if s := w.state("A-4"); s != trade.Open {
			t.Errorf("A-4 is %s", s)
		}
		w.audit()
	}
}
