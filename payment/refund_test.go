package payment_test

import (
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
)

func (w *world) refund(id, original string, minor int64) {
	w.t.Helper()
	err := w.server.CreateOrder(w.ctx, host.Order{ID: id, Type: trade.Refund, Original: original, Amount: euros(w.t, minor), Merchant: testMerchant})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestRefund: the cardholder sees a refund, the card's cryptogram is for one, and
// the money goes back to the card that paid.
func TestRefund(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.order("A-1", 1234)
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
		t.Fatalf("sale: %+v, %v", got, err)
	}
	w.refund("R-1", "A-1", 234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "R-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outcome != payment.Approved || got.Type != trade.Refund || got.Amount != "2.34" || got.CryptogramType != "TC" || !strings.Contains(got.Receipt, "REFUND") {
		t.Errorf("refund: %+v", got)
	}
	c := r.holder.Confirmed()
	if len(c) != 2 || c[1].Kind != "refund" || c[1].Amount.Minor != 234 {
		t.Errorf("the cardholder confirmed %v", c)
	}
	if s := w.state("R-1"); s != trade.Paid {
		t.Errorf("order is %s", s)
	}
	if a := w.audit(); a.Pending != 0 || a.Authorisations != 2 || a.Entries != 5 {
		t.Errorf("ledger %+v", a)
	}
	again, err := r.unit.Pay(t.Context(), payment.Order{ID: "R-1"})
	if err != nil || !again.Repeated || again.RRN != got.RRN {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// TestRefundToAnotherCard: it is declined, and nothing is booked.
func TestRefundToAnotherCard(t *testing.T) {
	w := newWorld(t)
	w.order("A-1", 1234)
	if got, err := w.rig(plain()).unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
		t.Fatalf("sale: %+v, %v", got, err)
	}
	w.refund("R-1", "A-1", 1234)
	before := w.audit()
	c := plain()
	c.profile = "low-balance"
	got, err := w.rig(c).unit.Pay(t.Context(), payment.Order{ID: "R-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outcome != payment.Declined || got.ResponseCode != "12" || got.CryptogramType != "AAC" {
		t.Errorf("another card: %+v", got)
	}
	// The other card's own balance is opened when it is first seen.
	if a := w.audit(); a.Pending != 0 || a.Entries > before.Entries+1 {
		t.Errorf("ledger %+v, before %+v", a, before)
	}
	if s := w.state("R-1"); s != trade.Open {
		t.Errorf("order is %s", s)
	}
}

// TestRefundAnswerLost: the reversal takes the refund back, and the next one is
// booked.
func TestRefundAnswerLost(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.order("A-1", 1234)
	if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil {
		t.Fatal(err)
	}
	w.refund("R-1", "A-1", 1234)
	w.mu.Lock()
	w.intercept = cuts(host.StageCommitted, 2)
	w.mu.Unlock()
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "R-1"})
	if err != nil || got.Outcome != payment.Declined || !got.Reversed {
		t.Fatalf("answer lost: %+v, %v", got, err)
	}
	if s := w.state("R-1"); s != trade.Open {
		t.Errorf("order is %s", s)
	}
	got, err = r.unit.Pay(t.Context(), payment.Order{ID: "R-1"})
	if err != nil || got.Outcome != payment.Approved {
		t.Fatalf("the next: %+v, %v", got, err)
	}
	if a := w.audit(); a.Pending != 0 {
		t.Errorf("ledger %+v", a)
	}
}
