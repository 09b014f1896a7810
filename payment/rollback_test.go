package payment_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
)

// TestOlderFolder puts back an older copy of a unit's sealed folder, which
// nothing on the device notices: the server does, by the key serial numbers that
// it has seen. No order is charged twice, and none under a key that was used.
func TestOlderFolder(t *testing.T) {
	w := newWorld(t)
	c := plain()
	r := w.rig(c)
	state := filepath.Join(r.dir, "vault")
	w.order("A-1", 1234)
	w.order("A-2", 500)
	w.order("A-3", 700)
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
		t.Fatal(got.Outcome, err)
	}
	old, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-2"}); err != nil || got.Outcome != payment.Approved {
		t.Fatal(got.Outcome, err)
	}
	if err := r.vault.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, old, 0o600); err != nil {
		t.Fatal(err)
	}
	c.dir = r.dir
	r = w.rig(c)
	// The unit begins with a key, and with numbers, that it used for A-2.
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-3"})
	if err != nil || got.Outcome != payment.Unknown {
		t.Errorf("paying under a used key: %s, %v, want unknown", got.Outcome, err)
	}
	for range 3 {
		rep, err := r.unit.Recover(t.Context())
		if err != nil || len(rep.Settled) != 0 || len(rep.Pending) != 1 {
			t.Errorf("Recover: %+v, %v, want the payment still pending", rep, err)
		}
	}
	if again, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-3"}); err == nil {
		t.Errorf("the unit went on after the server refused it: %s", again.Outcome)
	}
	for order, want := range map[string]trade.State{"A-1": trade.Paid, "A-2": trade.Paid} {
		if s := w.state(order); s != want {
			t.Errorf("order %s is %s, want %s", order, s, want)
		}
	}
	if s := w.state("A-3"); s == trade.Paid {
		t.Error("an order was paid under a used key")
	}
	w.audit()
}
