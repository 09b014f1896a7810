package payment_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/channel/relay/hostile"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
)

// patience is how long a unit waits for an answer that the app holds back.
const patience = 10 * time.Second

// TestHostileApp lets the app do something to each frame of a payment in turn.
// Whatever it does, the payment is right or there is none.
func TestHostileApp(t *testing.T) {
	flip := func(at func(n int) int) func(hostile.Frame) hostile.Verdict {
		return func(f hostile.Frame) hostile.Verdict {
			f.Bytes[at(len(f.Bytes))] ^= 0x10
			return hostile.Pass(f)
		}
	}
	for name, do := range map[string]func(hostile.Frame) hostile.Verdict{
		"drop":         hostile.Drop,
		"cut":          hostile.Cut,
		"repeat":       func(f hostile.Frame) hostile.Verdict { return hostile.Verdict{Out: [][]byte{f.Bytes, f.Bytes}} },
		"alter type":   flip(func(int) int { return 0 }),
		"alter flags":  flip(func(int) int { return 1 }),
		"alter length": flip(func(int) int { return 3 }),
		"alter first":  flip(func(n int) int { return min(4, n-1) }),
		"alter middle": flip(func(n int) int { return n / 2 }),
		"alter last":   flip(func(n int) int { return n - 1 }),
		"cut half": func(f hostile.Frame) hostile.Verdict {
			return hostile.Verdict{Out: [][]byte{f.Bytes[:len(f.Bytes)/2]}, Cut: true}
		},
		"refuse in the server's name": func(f hostile.Frame) hostile.Verdict {
			return hostile.Verdict{Out: [][]byte{{4, 0, 0, 0}}, Cut: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				met := false
				synctest.Test(t, func(t *testing.T) { met = hostilePayment(t, n, do) })
				if !met {
					if n < 8 {
						t.Fatalf("only %d frames", n)
					}
					return
				}
				if t.Failed() {
					t.Fatalf("at frame %d", n)
				}
			}
		})
	}
}

// hostilePayment does something to the n-th frame of the first connection, both
// directions counted together; false when there is none.
func hostilePayment(t *testing.T, n int, do func(hostile.Frame) hostile.Verdict) bool {
	w := newWorld(t)
	c := plain()
	seen := 0
	var met atomic.Bool
	link := hostile.New(w, func(f hostile.Frame) hostile.Verdict {
		if seen++; seen == n+1 {
			met.Store(true)
			return do(f)
		}
		return hostile.Pass(f)
	})
	c.link = link
	c.limits = payment.Limits{Connect: patience, Reply: patience}
	r := w.rig(c)
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err == nil && got.Minor != 1234 && got.Outcome != "" {
		t.Errorf("another amount: %+v", got)
	}
	for _, f := range r.holder.Confirmed() {
		if f.Amount.Minor != 1234 {
			t.Errorf("the cardholder saw %s", f.Amount)
		}
	}
	c.link, c.limits = nil, payment.Limits{}
	w.settled(w.open(c, r.vault), "A-1", got, err)
	return met.Load()
}

// TestOlderSessionReplayed answers a second unit's payment with what an earlier
// payment's server said.
func TestOlderSessionReplayed(t *testing.T) {
	w := newWorld(t)
	var recorded [][]byte
	first := hostile.New(w, func(f hostile.Frame) hostile.Verdict {
		if !f.Up {
			recorded = append(recorded, f.Bytes)
		}
		return hostile.Pass(f)
	})
	c := plain()
	c.link = first
	r := w.rig(c)
	w.order("A-1", 1234)
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
		t.Fatalf("%+v %v", got, err)
	}
	w.order("A-2", 5000)
	down := 0
	c.link = hostile.New(w, func(f hostile.Frame) hostile.Verdict {
		if f.Up {
			return hostile.Pass(f)
		}
		if down++; down > len(recorded) {
			return hostile.Cut(f)
		}
		return hostile.Verdict{Out: [][]byte{recorded[down-1]}}
	})
	c.limits = payment.Limits{Connect: patience, Reply: patience}
	if got, err := w.open(c, r.vault).unit.Pay(t.Context(), payment.Order{ID: "A-2"}); err == nil {
		t.Errorf("an old session was taken: %+v", got)
	}
	if s := w.state("A-2"); s != trade.Open {
		t.Errorf("order is %s", s)
	}
	w.audit()
}

// TestRelaySizesTellNothing: the app sees the same sizes whether a PIN was
// entered or not.
func TestRelaySizesTellNothing(t *testing.T) {
	sizes := func(profile string) string {
		w := newWorld(t)
		link := hostile.New(w, hostile.Pass)
		c := plain()
		c.profile = profile
		c.link = link
		r := w.rig(c)
		w.order("A-1", 1234)
		if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
			t.Fatalf("%s: %+v %v", profile, got, err)
		}
		var s string
		for _, f := range link.Seen() {
			s += fmt.Sprintf("%v %d\n", f.Up, len(f.Bytes))
		}
		return s
	}
	if with, without := sizes("default"), sizes("nocvm"); with != without {
		t.Errorf("with a PIN:\n%s\nwithout:\n%s", with, without)
	}
}
