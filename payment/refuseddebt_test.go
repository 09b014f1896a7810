package payment_test

import (
	"errors"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// standAs makes the requests for an order stand in a state at the server, whatever
// they were.
func (w *world) standAs(order string, s ledger.AuthState) {
	w.t.Helper()
	err := w.ledger.Update(w.ctx, func(tx ledger.Tx) error {
		var list []ledger.Authorisation
		err := tx.EachAuthorisation(func(a ledger.Authorisation) error {
			if a.Order == order {
				list = append(list, a)
			}
			return nil
		})
		for _, a := range list {
			if err == nil {
				a.State = s
				err = tx.PutAuthorisation(a)
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestRefusedCompletion: a completion that the server refuses again and again is
// given up after five times: later payments go on, it is told wherever the journal
// is, its order is not charged again, and it can be sent once more.
func TestRefusedCompletion(t *testing.T) {
	w := newWorld(t)
	c := plain()
	c.observe = func(e payment.Event) {
		if e.State == payment.StateAdvising {
			w.standAs("A-1", ledger.AuthReversed)
		}
	}
	r := w.rig(c)
	w.order("A-1", 1234)
	w.order("A-2", 100)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || got.Outcome != payment.Approved {
		t.Fatalf("%+v, %v", got, err)
	}
	c.observe = nil
	r = w.open(c, r.vault)
	for n := 2; n < 5; n++ {
		if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-2"}); !errors.Is(err, payment.ErrOwed) {
			t.Fatalf("refused %d times: %v", n, err)
		}
	}
	if list, err := r.unit.Refused(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("refused for good too early: %v, %v", list, err)
	}
	next, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-2"})
	if err != nil || next.Outcome != payment.Approved {
		t.Fatalf("after the fifth time: %+v, %v", next, err)
	}
	want := payment.RefusedDebt{
		Order: "A-1", Owes: "completion", RRN: got.RRN, STAN: got.STAN, Amount: "12.34", Minor: 1234, Currency: "EUR", ResponseCode: "12", Refusals: 5,
	}
	check := func(what string, list []payment.RefusedDebt, err error) {
		t.Helper()
		if err != nil || len(list) != 1 || list[0].Text == "" {
			t.Fatalf("%s: %+v, %v", what, list, err)
		}
		d := list[0]
		d.Text, d.Time = "", want.Time
		if d != want {
			t.Errorf("%s: %+v, want %+v", what, d, want)
		}
	}
	list, err := r.unit.Refused(t.Context())
	check("the unit's list", list, err)
	rep, err := r.unit.Recover(t.Context())
	check("a recovery", rep.Refused, err)
	if len(rep.Pending) != 0 || len(rep.Settled) != 0 {
		t.Errorf("a recovery: %+v", rep)
	}
	s, err := r.unit.CloseBatch(t.Context())
	check("a settlement", s.Refused, err)
	var refused *payment.RefusedError
	if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); !errors.As(err, &refused) || !errors.Is(err, payment.ErrRefused) || refused.Debt.RRN != got.RRN {
		t.Errorf("the order again: %v", err)
	}
	if err := r.unit.SendAgain(t.Context(), "A-2"); !errors.Is(err, payment.ErrOrder) {
		t.Errorf("an order that owes nothing is sent again: %v", err)
	}
	// People have seen to it.
	w.standAs("A-1", ledger.AuthApproved)
	if err := r.unit.SendAgain(t.Context(), "A-1"); err != nil {
		t.Fatal(err)
	}
	if rep, err := r.unit.Recover(t.Context()); err != nil || len(rep.Settled) != 1 || len(rep.Refused) != 0 {
		t.Errorf("sent again: %+v, %v", rep, err)
	}
	if again, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || !again.Repeated || again.RRN != got.RRN {
		t.Errorf("the order at last: %+v, %v", again, err)
	}
	if s := w.state("A-1"); s != trade.Paid {
		t.Errorf("the order is %s", s)
	}
	if a := w.audit(); a.Pending != 0 || a.Entries != 5 {
		t.Errorf("ledger %+v", a)
	}
}
