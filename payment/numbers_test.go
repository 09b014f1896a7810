package payment_test

import (
	"testing"
	"time"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/journal"
)

// TestNumbersNeverRepeat: STAN and RRN of a terminal are given once, whatever
// interrupts it: a crash in each state, and a clock that was set back.
func TestNumbersNeverRepeat(t *testing.T) {
	w := newWorld(t)
	r := w.rig(plain())
	stans, rrns := map[string]string{}, map[string]string{}
	note := func(id, stan, rrn string) {
		t.Helper()
		if len(stan) != 6 || len(rrn) != 12 {
			t.Fatalf("%s: STAN %q, RRN %q", id, stan, rrn)
		}
		if other, twice := stans[stan]; twice && other != id {
			t.Errorf("STAN %s for %s and %s", stan, other, id)
		}
		if other, twice := rrns[rrn]; twice && other != id {
			t.Errorf("RRN %s for %s and %s", rrn, other, id)
		}
		stans[stan], rrns[rrn] = id, id
	}
	for i, s := range []payment.State{
		payment.StatePreparing, payment.StateRequesting, payment.StateCompleting, payment.StateRecording, payment.StateAdvising, "",
	} {
		l := &levers{}
		c := plain()
		l.fit(w, &c)
		l.back = time.Duration(i) * 25 * time.Hour
		id := "A-" + string(s)
		c.observe = func(e payment.Event) {
			if e.State == s && s != "" && !e.Final {
				l.set(func(l *levers) { l.storage, l.gone = errDied, true })
				l.sever()
			}
		}
		u := w.open(c, r.vault)
		w.order(id, 100)
		if got, err := u.unit.Pay(w.ctx, payment.Order{ID: id}); err == nil {
			note(id, got.STAN, got.RRN)
		}
		entries, err := journal.New(r.vault).Pending(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			note(e.Order, e.STAN, e.RRN)
		}
		u = w.open(plain(), r.vault)
		if rep, err := u.unit.Recover(w.ctx); err != nil || len(rep.Pending) > 0 {
			t.Fatalf("%+v, %v", rep, err)
		}
		if got, err := u.unit.Pay(w.ctx, payment.Order{ID: id}); err != nil || got.Outcome != payment.Approved {
			t.Fatalf("%+v, %v", got, err)
		} else if !got.Repeated {
			note(id+" again", got.STAN, got.RRN)
		}
	}
	if len(stans) < 9 {
		t.Errorf("only %d numbers were given", len(stans))
	}
}
