package payment_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted/vault"
)

// preauth makes a pre-authorisation of 100.00, P-1.
func (w *world) preauth(r *rig) payment.Result {
	w.t.Helper()
	w.place(host.Order{ID: "P-1", Type: trade.Preauth, Amount: euros(w.t, 10000)})
	got, err := r.unit.Pay(w.ctx, payment.Order{ID: "P-1"})
	if err != nil || got.Outcome != payment.Approved {
		w.t.Fatalf("pre-authorisation: %+v, %v", got, err)
	}
	return got
}

// raise places an order that adds to what P-1 holds.
func (w *world) raise(id string, minor int64) {
	w.t.Helper()
	w.place(host.Order{ID: id, Type: trade.Incremental, Original: "P-1", Amount: euros(w.t, minor)})
}

// complete takes an amount of what P-1 holds.
func (w *world) complete(r *rig, id string, minor int64) {
	w.t.Helper()
	w.place(host.Order{ID: id, Type: trade.Completion, Original: "P-1", Amount: euros(w.t, minor)})
	if got, err := r.unit.Pay(w.ctx, payment.Order{ID: id}); err != nil || got.Outcome != payment.Approved {
		w.t.Fatalf("completion: %+v, %v", got, err)
	}
}

// TestIncremental: without a card, once, only by the unit that read it, and the
// completion may take the whole.
func TestIncremental(t *testing.T) {
	w := onSQLite(t)
	r := w.rig(plain())
	first := w.preauth(r)
	w.raise("I-1", 2500)
	if _, err := w.rig(plain()).unit.Pay(t.Context(), payment.Order{ID: "I-1"}); !errors.Is(err, payment.ErrServer) {
		t.Errorf("another unit: %v", err)
	}
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "I-1"})
	if err != nil || got.Outcome != payment.Approved || got.Type != trade.Incremental || got.Minor != 2500 || got.RRN != first.RRN || got.AuthCode != first.AuthCode {
		t.Fatalf("increment: %+v, %v", got, err)
	}
	for _, u := range []*payment.Unit{r.unit, w.open(plain(), r.vault).unit} {
		if again, err := u.Pay(t.Context(), payment.Order{ID: "I-1"}); err != nil || !again.Repeated || again.Minor != 2500 {
			t.Errorf("again: %+v, %v", again, err)
		}
	}
	w.raise("I-2", 100)
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "I-2"}); err != nil || got.Outcome != payment.Approved {
		t.Errorf("the next: %+v, %v", got, err)
	}
	if a, b := w.state("P-1"), w.state("I-1"); a != trade.Held || b != trade.Paid {
		t.Errorf("pre-authorisation is %s, its increment %s", a, b)
	}
	if c := r.holder.Confirmed(); len(c) != 3 || c[1].Kind != string(trade.Incremental) || c[1].Amount.Minor != 2500 {
		t.Errorf("confirmed %v", c)
	}
	w.complete(r, "C-1", 12600)
	if a := w.audit(); a.Pending != 0 || a.Entries != 5 {
		t.Errorf("ledger %+v", a)
	}
	s, err := r.unit.CloseBatch(t.Context())
	if err != nil || len(s.Currencies) != 1 || !s.Currencies[0].Agreed || s.Currencies[0].Server.Debits != (payment.Total{Count: 1, Minor: 12600}) {
		t.Errorf("settlement %+v, %v", s, err)
	}
}

// TestIncrementalAnswerLost: asked again, over the same unit or one that was
// started anew, it is held once.
func TestIncrementalAnswerLost(t *testing.T) {
	for _, stage := range []host.Stage{host.StageVerified, host.StageCommitted} {
		w := newWorld(t)
		r := w.rig(plain())
		w.preauth(r)
		w.raise("I-1", 2500)
		set := func(f func(host.Point) error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.intercept = f
		}
		set(func(p host.Point) error {
			if p.Stage == stage && p.MTI[:3] == "010" {
				return errCut
			}
			return nil
		})
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "I-1"})
		if err != nil || got.Outcome != payment.Unknown || got.PendingReversal == "" {
			t.Fatalf("%v, answer lost: %+v, %v", stage, got, err)
		}
		set(nil)
		r = w.open(plain(), r.vault)
		rep, err := r.unit.Recover(t.Context())
		if err != nil || len(rep.Settled) != 1 || rep.Settled[0].Outcome != payment.Approved || rep.Settled[0].Type != trade.Incremental || len(rep.Pending) != 0 {
			t.Fatalf("%v, recover: %+v, %v", stage, rep, err)
		}
		w.complete(r, "C-1", 12500)
		if a := w.audit(); a.Pending != 0 || a.Entries != 4 {
			t.Errorf("%v, ledger %+v", stage, a)
		}
	}
}

// TestIncrementalCrash stops the unit's storage at each write of an increment,
// and starts the unit again: it is held once, or was never asked for.
func TestIncrementalCrash(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.preauth(r)
	held := int64(10000)
	for _, took := range []bool{false, true} {
		for n := 1; ; n++ {
			id := fmt.Sprintf("I-%v-%d", took, n)
			w.raise(id, 10)
			var d *dying
			c := plain()
			c.storage = func(v *vault.Vault) payment.Storage {
				d = &dying{Storage: v, left: n, took: took, err: errDied}
				return d
			}
			got, err := w.open(c, r.vault).unit.Pay(t.Context(), payment.Order{ID: id})
			if err != nil && !errors.Is(err, errDied) {
				t.Fatalf("write %d: %v", n, err)
			}
			r = w.open(plain(), r.vault)
			if rep, err := r.unit.Recover(t.Context()); err != nil || len(rep.Pending) != 0 {
				t.Fatalf("write %d: recover: %+v, %v", n, rep, err)
			}
			if s := w.state(id); got.Outcome == payment.Approved && s != trade.Paid {
				t.Errorf("write %d: approved, and the order is %s", n, s)
			}
			if again, err := r.unit.Pay(t.Context(), payment.Order{ID: id}); err != nil && !errors.Is(err, payment.ErrAlreadyPaid) || err == nil && again.Outcome != payment.Approved {
				t.Errorf("write %d: doing it now: %+v, %v", n, again, err)
			}
			held += 10
			if s := w.state(id); s != trade.Paid {
				t.Errorf("write %d: the order is %s", n, s)
			}
			w.audit()
			if !d.met {
				if n < 4 {
					t.Fatalf("only %d writes", n-1)
				}
				break
			}
		}
	}
	w.complete(r, "C-1", held)
	if a := w.audit(); a.Pending != 0 {
		t.Errorf("%d pending", a.Pending)
	}
}

// TestIncrementalRefused: what the bank or the server refuses is not held, and not
// owed.
func TestIncrementalRefused(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	w.preauth(r)
	w.raise("I-1", cardBalance)
	for range 2 {
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "I-1"})
		if err != nil || got.Outcome != payment.Declined || got.ResponseCode != "51" || got.Reversed {
			t.Errorf("more than the account has: %+v, %v", got, err)
		}
	}
	if rep, err := r.unit.Recover(t.Context()); err != nil || len(rep.Settled)+len(rep.Pending) != 0 {
		t.Errorf("recover: %+v, %v", rep, err)
	}
	w.raise("I-2", 100)
	w.order("A-1", 100)
	for _, o := range []host.Order{{ID: "I-3", Original: "A-1"}, {ID: "I-3", Original: "nothing"}, {ID: "I-3"}} {
		o.Type, o.Amount, o.Merchant = trade.Incremental, euros(t, 100), testMerchant
		if err := w.server.CreateOrder(t.Context(), o); !errors.Is(err, host.ErrOrder) {
			t.Errorf("of %q: %v", o.Original, err)
		}
	}
	w.void("V-1", "P-1", 10000)
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "V-1"}); err != nil || got.Outcome != payment.Approved {
		t.Fatalf("void: %+v, %v", got, err)
	}
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "I-2"}); !errors.Is(err, payment.ErrServer) {
		t.Errorf("after the void: %+v, %v", got, err)
	}
	if a := w.audit(); a.Pending != 0 || a.Entries != 3 {
		t.Errorf("ledger %+v", a)
	}
}
