package payment_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

func partials(c *host.Config) { c.PartialApprovals = true }

// TestPartialAgreed: the account covers a part, the cardholder sees it and
// agrees, and that part is paid, settled, and can be given back; no more.
func TestPartialAgreed(t *testing.T) {
	w := newWorld(t, partials)
	c := plain()
	c.profile = "low-balance"
	r := w.rig(c)
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outcome != payment.Approved || got.Amount != "1.00" || got.Asked != "12.34" || got.ResponseCode != "10" || got.CryptogramType != "TC" {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(got.Receipt, "SALE                            1.00 EUR") || !strings.Contains(got.Receipt, "Approved for a part of the amount") {
		t.Errorf("receipt:\n%s", got.Receipt)
	}
	if seen := r.holder.Confirmed(); len(seen) != 2 || seen[1].Kind != trusted.KindPartial || seen[1].Amount.Minor != 100 {
		t.Errorf("confirmed %v", seen)
	}
	if s := w.state("A-1"); s != trade.Paid {
		t.Errorf("order is %s", s)
	}
	if a := w.audit(); a.Pending != 0 {
		t.Errorf("ledger %+v", a)
	}
	again, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || !again.Repeated || again.Amount != "1.00" {
		t.Errorf("again: %+v, %v", again, err)
	}
	if err := w.server.CreateOrder(w.ctx, host.Order{ID: "R-0", Type: trade.Refund, Original: "A-1", Amount: euros(t, 101), Merchant: testMerchant}); err == nil {
		t.Error("more than was paid can be given back")
	}
	s, err := r.unit.CloseBatch(t.Context())
	if err != nil || len(s.Currencies) != 1 || !s.Currencies[0].Agreed || s.Currencies[0].Server.Debits.Minor != 100 {
		t.Errorf("settlement: %+v, %v", s, err)
	}
	w.void("V-1", "A-1", 100)
	if v, err := r.unit.Pay(t.Context(), payment.Order{ID: "V-1"}); err != nil || v.Outcome != payment.Approved {
		t.Errorf("void: %+v, %v", v, err)
	}
	w.audit()
}

// choosy agrees to the first trade that is shown, and to no other.
type choosy struct {
	trusted.UI
	shown *int
}

func (c choosy) Confirm(ctx context.Context, s trusted.Confirmation) error {
	if *c.shown++; *c.shown > 1 {
		return trusted.ErrCancelled
	}
	return c.UI.Confirm(ctx, s)
}

// TestPartialRefused: the part is not agreed to, or its answer is lost, or the
// card does not go along: nothing is charged, and the order is open.
func TestPartialRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter func(*rigConfig, *world)
	}{
		{"the cardholder says no", func(c *rigConfig, w *world) { c.ui = choosy{w.rig(plain()).holder, new(int)} }},
		{"the answer is lost twice", func(_ *rigConfig, w *world) {
			n := 0
			w.intercept = func(p host.Point) error {
				if n++; p.Stage == host.StageCommitted && p.MTI[:3] == "020" {
					return errCut
				}
				return nil
			}
		}},
		{"the card is gone", func(c *rigConfig, _ *world) { c.faults = "remove@second-gac" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, partials)
			rc := plain()
			rc.profile = "low-balance"
			c.alter(&rc, w)
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if err != nil || got.Outcome != payment.Declined || !got.Reversed {
				t.Errorf("%s %v %q, %v", got.Outcome, got.Reversed, fmt.Sprint(got.Reasons), err)
			}
			if s := w.state("A-1"); s != trade.Open {
				t.Errorf("order is %s", s)
			}
			if a := w.audit(); a.Pending != 0 {
				t.Errorf("ledger %+v", a)
			}
			if rep, err := r.unit.Recover(t.Context()); err != nil || len(rep.Settled)+len(rep.Pending) != 0 {
				t.Errorf("something is owed: %+v, %v", rep, err)
			}
		})
	}
}
