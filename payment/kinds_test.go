package payment_test

import (
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
)

func (w *world) place(o host.Order) {
	w.t.Helper()
	o.Merchant = testMerchant
	if err := w.server.CreateOrder(w.ctx, o); err != nil {
		w.t.Fatal(err)
	}
}

// TestPreauthAndCompletion: the card is read once, and the merchant takes a part
// of what it holds.
func TestPreauthAndCompletion(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.place(host.Order{ID: "P-1", Type: trade.Preauth, Amount: euros(t, 10000)})
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "P-1"})
	if err != nil || got.Outcome != payment.Approved || got.Type != trade.Preauth || got.CryptogramType != "TC" {
		t.Fatalf("pre-authorisation: %+v, %v", got, err)
	}
	if s := w.state("P-1"); s != trade.Held {
		t.Errorf("order is %s", s)
	}
	w.place(host.Order{ID: "C-1", Type: trade.Completion, Original: "P-1", Amount: euros(t, 7500)})
	c, err := r.unit.Pay(t.Context(), payment.Order{ID: "C-1"})
	if err != nil || c.Outcome != payment.Approved || c.Minor != 7500 || c.RRN != got.RRN || c.AuthCode != got.AuthCode {
		t.Fatalf("completion: %+v, %v", c, err)
	}
	if a, b := w.state("P-1"), w.state("C-1"); a != trade.Paid || b != trade.Paid {
		t.Errorf("pre-authorisation is %s, its completion %s", a, b)
	}
	if a := w.audit(); a.Pending != 0 || a.Entries != 3 {
		t.Errorf("ledger %+v", a)
	}
	if confirmed := r.holder.Confirmed(); len(confirmed) != 2 || confirmed[1].Amount.Minor != 7500 {
		t.Errorf("confirmed %v", confirmed)
	}
}

// TestPreauthAnswerLost: a pre-authorisation that was not heard of is reversed.
func TestPreauthAnswerLost(t *testing.T) {
	w := newWorld(t)
	w.intercept = cuts(host.StageCommitted, 2)
	r := w.rig(plain())
	w.place(host.Order{ID: "P-1", Type: trade.Preauth, Amount: euros(t, 10000)})
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "P-1"})
	if err != nil || got.Outcome != payment.Declined || !got.Reversed {
		t.Fatalf("pre-authorisation: %+v, %v", got, err)
	}
	if s := w.state("P-1"); s != trade.Open {
		t.Errorf("order is %s", s)
	}
	w.audit()
}

// TestCashback: the cash is confirmed, in the cryptogram and on the receipt.
func TestCashback(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.place(host.Order{ID: "A-1", Type: trade.Cashback, Amount: euros(t, 3000), Cashback: euros(t, 2000)})
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outcome != payment.Approved || got.Type != trade.Cashback || !strings.Contains(got.Receipt, "20.00 EUR") {
		t.Errorf("cashback: %+v", got)
	}
	if c := r.holder.Confirmed(); len(c) != 1 || c[0].Cashback.Minor != 2000 || c[0].Amount.Minor != 3000 {
		t.Errorf("confirmed %v", c)
	}
	if a := w.audit(); a.Pending != 0 || a.Authorisations != 1 {
		t.Errorf("ledger %+v", a)
	}
}
