package host

import (
	"errors"
	"fmt"
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// increment makes the 0100 of an incremental order.
func (u *unit) increment(order string, preauth *acquirer.Message, minor int64) *acquirer.Message {
	u.r.t.Helper()
	m := u.capture(order, preauth, minor)
	m.MTI = "0100"
	return m
}

// TestIncremental: what is held is raised once for each order, and the completion
// may take all of it.
func TestIncremental(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	m := u.held("p1", 1000)
	for _, o := range []struct {
		id    string
		minor int64
	}{{"i1", 500}, {"i2", 250}, {"i3", 1}} {
		if err := r.place(o.id, trade.Incremental, "p1", o.minor); err != nil {
			t.Fatal(err)
		}
	}
	u.want("another amount than the order's", u.increment("i1", m, 501), codeAmount)
	u.want("without an order of its own", u.increment("p1", m, 1000), codeInvalid)
	u.want("of an order that there is not", u.increment("i9", m, 500), codeNoOriginal)
	other := u.increment("i1", m, 500)
	other.Original.STAN, other.RRN = "999999", "999999999999"
	u.want("of a request that there is not", other, codeNoOriginal)
	r.booked("not yet", 1000, 1000, 0)

	first := u.increment("i1", m, 500)
	u.want("increment", first, codeApproved)
	u.want("repeat", u.repeat(first), codeApproved)
	u.want("again under the first type", u.increment("i1", m, 500), codeApproved)
	r.booked("raised once", 1500, 1500, 0)
	u.want("the next", u.increment("i2", m, 250), codeApproved)
	again := u.completion(m, "")
	again.MTI = "0121"
	u.want("the advice that held it, once more", again, codeApproved)
	r.booked("raised twice", 1750, 1750, 0)
	r.state("raised", "p1", trade.Held)
	r.state("raised", "i1", trade.Paid)

	if err := r.place("c1", trade.Completion, "p1", 1751); !errors.Is(err, ErrOrder) {
		t.Errorf("completion of more than is held: got %v, want ErrOrder", err)
	}
	if err := r.place("v1", trade.Void, "p1", 1000); !errors.Is(err, ErrOrder) {
		t.Errorf("void of a part: got %v, want ErrOrder", err)
	}
	if err := errors.Join(r.place("c1", trade.Completion, "p1", 1700), r.place("v1", trade.Void, "p1", 1750)); err != nil {
		t.Fatal(err)
	}
	u.want("completion", u.capture("c1", m, 1700), codeApproved)
	r.booked("completed", 1700, 0, 1700)
	u.want("after the completion", u.increment("i3", m, 1), codeInvalid)
	u.want("repeat after the completion", u.repeat(first), codeApproved)
	u.want("void after the completion", u.void("v1", m), codeAmount)
	r.state("never", "i3", trade.Refused)
	r.booked("in the end", 1700, 0, 1700)
	if err := r.place("i4", trade.Incremental, "p1", 1); !errors.Is(err, ErrOrder) {
		t.Errorf("an order for what is completed: got %v, want ErrOrder", err)
	}
}

// TestIncrementalVoided: a void lets go of the whole, and nothing is held more
// after it.
func TestIncrementalVoided(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	m := u.held("p1", 1000)
	if err := errors.Join(r.place("i1", trade.Incremental, "p1", 500), r.place("i2", trade.Incremental, "p1", 500)); err != nil {
		t.Fatal(err)
	}
	u.want("increment", u.increment("i1", m, 500), codeApproved)
	if err := r.place("v1", trade.Void, "p1", 1500); err != nil {
		t.Fatal(err)
	}
	v := u.void("v1", m)
	whole := r.eur(1500)
	v.Amount = &whole
	u.want("void", v, codeApproved)
	r.booked("let go", 0, 0, 0)
	r.state("let go", "p1", trade.Voided)
	u.want("after the void", u.increment("i2", m, 500), codeInvalid)
	r.booked("still", 0, 0, 0)
}

// TestIncrementalRefused: the balance covers it or nothing is held more; and only
// a pre-authorisation that is held can be raised.
func TestIncrementalRefused(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	m := u.held("p1", 1000)
	r.order("o1", 1000)
	if err := r.place("i0", trade.Incremental, "o1", 500); !errors.Is(err, ErrOrder) {
		t.Errorf("of a sale: got %v, want ErrOrder", err)
	}
	if err := r.place("i0", trade.Incremental, "", 500); !errors.Is(err, ErrOrder) {
		t.Errorf("of nothing: got %v, want ErrOrder", err)
	}
	if err := r.place("i0", trade.Incremental, "p1", money.MaxMinor); !errors.Is(err, ErrOrder) {
		t.Errorf("of more than a message can say: got %v, want ErrOrder", err)
	}
	much := int64(99_999_999)
	if err := r.place("i1", trade.Incremental, "p1", much); err != nil {
		t.Fatal(err)
	}
	u.want("more than there is", u.increment("i1", m, much), issuer.CodeFunds)
	r.state("refused", "i1", trade.Refused)
	r.booked("as it was", 1000, 1000, 0)
}

// TestIncrementalRefusedForGood: a copy of a request that was refused is refused
// whenever it comes, and so is the order when its terminal asks again.
func TestIncrementalRefusedForGood(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	m := u.held("p1", 1000)
	if err := errors.Join(r.place("i1", trade.Incremental, "p1", opening-1), r.place("i2", trade.Incremental, "p1", 10)); err != nil {
		t.Fatal(err)
	}
	u.want("of another amount", u.increment("i2", m, 11), codeAmount)
	late := u.increment("i1", m, opening-1)
	u.want("more than there is", u.increment("i1", m, opening-1), issuer.CodeFunds)
	r.state("refused", "i1", trade.Refused)
	if err := r.place("v1", trade.Void, "p1", 1000); err != nil {
		t.Fatal(err)
	}
	more := u.held("p2", 1)
	u.want("void", u.void("v1", m), codeApproved)
	u.want("a late copy", late, issuer.CodeFunds)
	if err := r.place("i1", trade.Incremental, "p1", opening-1); err != nil {
		t.Errorf("the same order again: %v", err)
	}
	r.booked("what is held", 1, 1, 0)
	if err := r.place("i3", trade.Incremental, "p2", opening); err != nil {
		t.Fatal(err)
	}
	u.want("more than there is again", u.increment("i3", more, opening), issuer.CodeFunds)
	var got trade.Trade
	if err := u.ask(trade.KindTradeRequest, trade.TradeRequest{Order: "i3"}, &got); err != nil || got.State != trade.Open || got.Original == nil {
		t.Errorf("its trade: %+v, %v", got, err)
	}
	if err := u.ask(trade.KindCancel, trade.Cancel{Order: "i3", Reason: "cardholder"}, &struct{}{}); err != nil {
		t.Errorf("cancelled: %v", err)
	}
	r.state("another amount was said, and no more", "i2", trade.Open)
}

// TestIncrementalAbove: the acquirer holds what was asked of it, in its order,
// whatever answers were lost; and a void lets go of all of it.
func TestIncrementalAbove(t *testing.T) {
	c := newChain(t)
	u := c.enrol(1, 4)
	m := u.held("p1", 1000)
	if err := errors.Join(c.place("i1", trade.Incremental, "p1", 500), c.place("i2", trade.Incremental, "p1", opening), c.place("v1", trade.Void, "p1", 1000)); err != nil {
		t.Fatal(err)
	}
	c.fate = func(m *acquirer.Message) fate {
		if m.MTI[:3] == "012" {
			return answerLost
		}
		return arrives
	}
	if _, err := u.send(u.increment("i1", m, 500)); code(err) != trade.CodeBusy {
		t.Errorf("before the acquirer acknowledged what it is of: %v", err)
	}
	c.fate = func(m *acquirer.Message) fate {
		if m.MTI[:3] == "010" {
			return answerLost
		}
		return arrives
	}
	if _, err := u.send(u.increment("i1", m, 500)); code(err) != trade.CodeBusy {
		t.Errorf("an answer that is lost: %v", err)
	}
	c.up.booked("above, raised", 1500, 1500, 0)
	c.booked("here", 0, 1000, 0)
	c.fate = nil
	late := u.increment("i2", m, opening)
	u.want("more than there is", u.increment("i2", m, opening), issuer.CodeFunds)
	c.state("refused", "i2", trade.Refused)
	u.want("a late copy", late, issuer.CodeFunds)
	u.want("void", u.void("v1", m), codeApproved)
	u.want("asked again after the void", u.increment("i1", m, 500), codeInvalid)
	c.settled("in the end", 0, 0, 0)
}

// TestIncrementalWrittenFirst: an increment whose answer is lost is asked again by
// the server itself, though its terminal is silent: as much is held here as above.
// A void that comes in between goes above after it, and lets go of all.
func TestIncrementalWrittenFirst(t *testing.T) {
	for _, voided := range []bool{false, true} {
		c := newChain(t)
		u := c.enrol(1, 4)
		m := u.held("p1", 1000)
		c.forward()
		if err := errors.Join(c.place("i1", trade.Incremental, "p1", 500), c.place("v1", trade.Void, "p1", 1000)); err != nil {
			t.Fatal(err)
		}
		var told []string
		c.fate = func(m *acquirer.Message) fate {
			told = append(told, m.MTI)
			if m.MTI == "0100" {
				return answerLost
			}
			return arrives
		}
		if _, err := u.send(u.increment("i1", m, 500)); code(err) != trade.CodeBusy {
			t.Fatalf("an answer that is lost: %v", err)
		}
		c.up.booked("above, raised", 1500, 1500, 0)
		if owed := len(c.outbox()); owed != 1 {
			t.Fatalf("%d messages are written down", owed)
		}
		if voided {
			u.want("void", u.void("v1", m), codeApproved)
		}
		c.later(3)
		want := "[0100 0101]"
		if voided {
			want = "[0100 0101 0400]"
		}
		if got := fmt.Sprint(told); got != want {
			t.Errorf("voided %v: sent %s, want %s", voided, got, want)
		}
		if voided {
			c.state("let go", "i1", trade.Refused)
			c.settled("voided", 0, 0, 0)
			continue
		}
		c.state("held more", "i1", trade.Paid)
		c.settled("raised", 1500, 1500, 0)
		u.want("its terminal asks again", u.increment("i1", m, 500), codeApproved)
	}
}
