package payment_test

import (
	"errors"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
)

func (w *world) void(id, original string, minor int64) {
	w.t.Helper()
	err := w.server.CreateOrder(w.ctx, host.Order{ID: id, Type: trade.Void, Original: original, Amount: euros(w.t, minor), Merchant: testMerchant})
	if err != nil {
		w.t.Fatal(err)
	}
}

// voidCut cuts the channel of every 0400 after it was booked, until it is told
// to stop.
func voidCut(p host.Point) error {
	if p.Stage == host.StageCommitted && p.MTI[:3] == "040" {
		return errors.New("cut")
	}
	return nil
}

// TestVoid: without a card, once, and only by the unit that made the payment.
func TestVoid(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.order("A-1", 1234)
	sale, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || sale.Outcome != payment.Approved {
		t.Fatalf("sale: %+v, %v", sale, err)
	}
	w.void("V-1", "A-1", 1234)
	other := w.rig(plain())
	if _, err := other.unit.Pay(t.Context(), payment.Order{ID: "V-1"}); !errors.Is(err, payment.ErrServer) {
		t.Errorf("another unit: %v", err)
	}
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "V-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outcome != payment.Approved || got.Type != trade.Void || got.RRN != sale.RRN || got.Minor != 1234 {
		t.Errorf("void: %+v", got)
	}
	if a, v := w.state("A-1"), w.state("V-1"); a != trade.Voided || v != trade.Paid {
		t.Errorf("order is %s, its void %s", a, v)
	}
	if a := w.audit(); a.Pending != 0 || a.Entries != 4 {
		t.Errorf("ledger %+v", a)
	}
	again, err := r.unit.Pay(t.Context(), payment.Order{ID: "V-1"})
	if err != nil || !again.Repeated || again.Outcome != payment.Approved {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := other.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); !errors.Is(err, payment.ErrVoided) {
		t.Errorf("paying what was voided: %v", err)
	}
}

// TestVoidAnswerLost: the outcome is unknown until the void was sent again.
func TestVoidAnswerLost(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.order("A-1", 1234)
	if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil {
		t.Fatal(err)
	}
	w.void("V-1", "A-1", 1234)
	set := func(f func(host.Point) error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.intercept = f
	}
	set(voidCut)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "V-1"})
	if err != nil || got.Outcome != payment.Unknown || got.PendingReversal == "" {
		t.Fatalf("answer lost: %+v, %v", got, err)
	}
	set(nil)
	rep, err := r.unit.Recover(t.Context())
	if err != nil || len(rep.Settled) != 1 || rep.Settled[0].Outcome != payment.Approved || len(rep.Pending) != 0 {
		t.Fatalf("recover: %+v, %v", rep, err)
	}
	if a := w.audit(); a.Pending != 0 || a.Entries != 4 {
		t.Errorf("ledger %+v", a)
	}
}

// TestVoidRefused: a void that came too late is declined, and nothing is owed.
func TestVoidRefused(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.order("A-1", 1234)
	if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil {
		t.Fatal(err)
	}
	w.void("V-1", "A-1", 1234)
	w.refund("R-1", "A-1", 100)
	// The refund comes between the void's trade and its request.
	w.mu.Lock()
	w.intercept = func(p host.Point) error {
		if p.Stage == host.StageVerified && p.MTI[:3] == "040" {
			return errors.New("cut")
		}
		return nil
	}
	w.mu.Unlock()
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "V-1"}); err != nil || got.Outcome != payment.Unknown {
		t.Fatalf("void: %+v, %v", got, err)
	}
	w.mu.Lock()
	w.intercept = nil
	w.mu.Unlock()
	if got, err := w.rig(plain()).unit.Pay(t.Context(), payment.Order{ID: "R-1"}); err != nil || got.Outcome != payment.Approved {
		t.Fatalf("refund: %+v, %v", got, err)
	}
	rep, err := r.unit.Recover(t.Context())
	if err != nil || len(rep.Settled) != 1 || rep.Settled[0].Outcome != payment.Declined || rep.Settled[0].ResponseCode != "12" || len(rep.Pending) != 0 {
		t.Errorf("recover: %+v, %v", rep, err)
	}
	if rep, err = r.unit.Recover(t.Context()); err != nil || len(rep.Settled) != 0 {
		t.Errorf("recover again: %+v, %v", rep, err)
	}
	w.audit()
}
