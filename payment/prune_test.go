package payment_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/payunit/payunit/payment"
)

// TestResultsArePruned: results of settled batches are kept for a time and up to a
// number; of an order whose result is forgotten the server says that it is paid, and
// nothing is charged. What is not settled is kept.
func TestResultsArePruned(t *testing.T) {
	w := newWorld(t)
	later := time.Duration(0)
	c := plain()
	c.now = func() time.Time { return now().Add(later) }
	r := w.rig(c)
	u := func(k payment.KeepLimits) *payment.Unit {
		config := r.config
		config.Keep = k
		unit, err := payment.New(config)
		if err != nil {
			t.Fatal(err)
		}
		return unit
	}
	day := payment.KeepLimits{Age: 24 * time.Hour, Count: 3}
	unit := u(day)
	first := map[string]payment.Result{}
	pay := func(n int) {
		t.Helper()
		id := fmt.Sprint("A-", n)
		w.order(id, 100)
		got, err := unit.Pay(t.Context(), payment.Order{ID: id})
		if err != nil || got.Outcome != payment.Approved {
			t.Fatalf("%s: %+v, %v", id, got, err)
		}
		first[id] = got
	}
	closes := func() {
		t.Helper()
		if s, err := unit.CloseBatch(t.Context()); err != nil || len(s.Currencies) > 0 && !s.Currencies[0].Agreed {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	again := func(what string, n int, known bool) {
		t.Helper()
		id := fmt.Sprint("A-", n)
		got, err := unit.Pay(t.Context(), payment.Order{ID: id})
		switch {
		case known && (err != nil || !got.Repeated || got.RRN != first[id].RRN):
			t.Errorf("%s: %s: %+v, %v", what, id, got, err)
		case !known && !errors.Is(err, payment.ErrAlreadyPaid):
			t.Errorf("%s: %s: %+v, %v; want ErrAlreadyPaid", what, id, got, err)
		}
	}
	for n := range 5 {
		later += time.Minute
		pay(n)
	}
	again("nothing is settled", 0, true)
	closes()
	for n := range 5 {
		again("three are kept", n, n >= 2)
	}
	later += 23 * time.Hour
	pay(5)
	again("a day is not over", 4, true)
	later += 2 * time.Hour
	closes()
	for n := range 5 {
		again("a day is over", n, false)
	}
	again("a day is not over", 5, true)
	names, err := r.vault.List(w.ctx, "result/")
	if err != nil || len(names) != 1 {
		t.Errorf("%d results are kept, %v", len(names), err)
	}
	if a := w.audit(); a.Authorisations != 6 || a.Pending != 0 {
		t.Errorf("ledger %+v", a)
	}
}
