package payment_test

import (
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
)

// ask places an order that asks a question.
func (w *world) ask(id string, kind trade.Type) {
	w.t.Helper()
	if err := w.server.CreateOrder(w.ctx, host.Order{ID: id, Type: kind, Amount: euros(w.t, 0), Merchant: testMerchant}); err != nil {
		w.t.Fatal(err)
	}
}

// TestInquiries: a balance and a card verification go online with the card and
// the PIN, and move no money. The balance is on the cardholder's copy alone.
func TestInquiries(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.order("A-1", 1234)
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
		t.Fatalf("sale: %+v, %v", got, err)
	}
	before := w.audit()
	w.ask("B-1", trade.Balance)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "B-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outcome != payment.Approved || got.Balance != "9987.66" || got.Amount != "0.00" || got.CryptogramType != "TC" {
		t.Errorf("balance: %+v", got)
	}
	if !strings.Contains(got.Receipt, "9987.66 EUR") || strings.Contains(got.MerchantReceipt, "9987.66") {
		t.Errorf("receipts:\n%s\n%s", got.Receipt, got.MerchantReceipt)
	}
	again, err := r.unit.Pay(t.Context(), payment.Order{ID: "B-1"})
	if err != nil || !again.Repeated || again.Balance != got.Balance {
		t.Errorf("again: %+v, %v", again, err)
	}
	w.ask("V-1", trade.Verification)
	got, err = r.unit.Pay(t.Context(), payment.Order{ID: "V-1"})
	if err != nil || got.Outcome != payment.Approved || got.Balance != "" || got.Type != trade.Verification {
		t.Errorf("verification: %+v, %v", got, err)
	}
	if a := w.audit(); a.Entries != before.Entries || a.Pending != 0 {
		t.Errorf("money moved: %+v, before %+v", a, before)
	}
	if rep, err := r.unit.Recover(t.Context()); err != nil || len(rep.Settled)+len(rep.Pending) != 0 {
		t.Errorf("something is owed: %+v, %v", rep, err)
	}
	if err := w.server.CreateOrder(w.ctx, host.Order{ID: "B-2", Type: trade.Balance, Amount: euros(t, 1), Merchant: testMerchant}); err == nil {
		t.Error("a balance inquiry of an amount was taken")
	}
}
