package payment_test

import (
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
)

// TestTip: a tip is asked for before the card, shown, authorised, booked and
// printed as one amount with the payment's.
func TestTip(t *testing.T) {
	for _, c := range []struct {
		name      string
		percent   int
		tip       int64
		script    func(*rigConfig)
		intercept func(host.Point) error
		err       bool
		outcome   payment.Outcome
		code      string
		total     int64
		reversed  bool
	}{
		{name: "within", percent: 20, tip: 246, outcome: payment.Approved, code: "00", total: 1480},
		{name: "none given", percent: 20, outcome: payment.Approved, code: "00", total: 1234},
		{name: "none allowed", percent: 0, tip: 100, outcome: payment.Approved, code: "00", total: 1234},
		{name: "over the share", percent: 20, tip: 247, err: true},
		{name: "negative", percent: 20, tip: -1, err: true},
		{name: "all of it", percent: 100, tip: 1234, outcome: payment.Approved, code: "00", total: 2468},
		{name: "more than all of it", percent: 400, tip: 1235, err: true},
		{name: "too much for the card", percent: 20, tip: 200, script: func(c *rigConfig) { c.profile = "low-balance" }, outcome: payment.Declined, code: "51"},
		{name: "answer lost", percent: 20, tip: 100, intercept: cuts(host.StageCommitted, 1), outcome: payment.Approved, code: "00", total: 1334},
		{name: "reversed", percent: 20, tip: 100, intercept: cuts(host.StageCommitted, 2), outcome: payment.Declined, reversed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.tips, w.intercept = c.percent, c.intercept
			rc := plain()
			rc.script.Tip = c.tip
			if c.script != nil {
				c.script(&rc)
			}
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if (err != nil) != c.err {
				t.Fatal(err)
			}
			if got.Outcome != c.outcome || got.ResponseCode != c.code || got.Reversed != c.reversed {
				t.Errorf("%s, code %q, reversed %v: %v", got.Outcome, got.ResponseCode, got.Reversed, got.Reasons)
			}
			if b := w.merchantBalance(); b != c.total {
				t.Errorf("the merchant has %d, want %d", b, c.total)
			}
			if a := w.audit(); a.Pending != 0 {
				t.Errorf("%d pending", a.Pending)
			}
			if c.outcome != payment.Approved {
				return
			}
			given := c.total > 1234
			if got.Minor != c.total || (got.Tip != "") != given || strings.Contains(got.Receipt, "OF WHICH TIP") != given {
				t.Errorf("%d with a tip of %q:\n%s", got.Minor, got.Tip, got.Receipt)
			}
			if shown := r.holder.Confirmed(); len(shown) != 1 || shown[0].Amount.Minor != c.total || shown[0].Tip.Minor != c.total-1234 {
				t.Errorf("the cardholder agreed to %+v", shown)
			}
			// A void undoes all of it; the settlement agrees.
			if err := w.server.CreateOrder(w.ctx, host.Order{ID: "V-1", Type: trade.Void, Amount: euros(t, c.total), Merchant: testMerchant, Original: "A-1"}); err != nil {
				t.Fatal(err)
			}
			if v, err := r.unit.Pay(t.Context(), payment.Order{ID: "V-1"}); err != nil || v.Outcome != payment.Approved || w.merchantBalance() != 0 {
				t.Errorf("void: %+v, %v, balance %d", v, err, w.merchantBalance())
			}
			s, err := r.unit.CloseBatch(t.Context())
			if err != nil || len(s.Currencies) != 1 || !s.Currencies[0].Agreed {
				t.Errorf("settlement %+v, %v", s, err)
			}
		})
	}
}

// TestTipIsNotRefunded: a refund gives back what was ordered, at most.
func TestTipIsNotRefunded(t *testing.T) {
	w := newWorld(t)
	w.tips = 20
	rc := plain()
	rc.script.Tip = 200
	r := w.rig(rc)
	w.order("A-1", 1234)
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Minor != 1434 {
		t.Fatalf("%+v, %v", got, err)
	}
	refund := host.Order{ID: "R-1", Type: trade.Refund, Amount: euros(t, 1235), Merchant: testMerchant, Original: "A-1"}
	if err := w.server.CreateOrder(w.ctx, refund); err == nil {
		t.Error("more was to be refunded than was ordered")
	}
	refund.Amount = euros(t, 1234)
	if err := w.server.CreateOrder(w.ctx, refund); err != nil {
		t.Fatal(err)
	}
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "R-1"}); err != nil || got.Outcome != payment.Approved || w.merchantBalance() != 200 {
		t.Errorf("%+v, %v, balance %d", got, err, w.merchantBalance())
	}
}

// TestTipJudgedAtTheServer: what the order allowed when it was sent may have
// changed, and a unit's word is not enough.
func TestTipJudgedAtTheServer(t *testing.T) {
	w := newWorld(t)
	w.tips = 20
	rc := plain()
	rc.script.Tip = 200
	rc.observe = func(e payment.Event) {
		if e.State == payment.StateReading {
			w.mu.Lock()
			w.tips = 10
			w.mu.Unlock()
		}
	}
	r := w.rig(rc)
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || got.Outcome != payment.Declined || got.ResponseCode != "13" || w.merchantBalance() != 0 || w.state("A-1") != trade.Open {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestTipGoesOnline: what a card would approve by itself goes to the bank with a
// tip, which the bank has to see.
func TestTipGoesOnline(t *testing.T) {
	for tip, code := range map[int64]string{0: "Y1", 100: "00"} {
		w := newWorld(t)
		w.tips = 20
		rc := withoutPIN()
		rc.script.Tip = tip
		r := w.rig(rc)
		w.order("A-1", 1234)
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
		if err != nil || got.Outcome != payment.Approved || got.ResponseCode != code || w.merchantBalance() != 1234+tip {
			t.Errorf("tip %d: %+v, %v, balance %d", tip, got, err, w.merchantBalance())
		}
		if a := w.audit(); a.Pending != 0 {
			t.Errorf("%d pending", a.Pending)
		}
	}
}
