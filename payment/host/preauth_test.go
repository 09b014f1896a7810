package host

import (
	"context"
	"errors"
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
)

func (r *rig) place(id string, t trade.Type, original string, minor int64) error {
	return r.s.CreateOrder(context.Background(), Order{ID: id, Type: t, Original: original, Amount: r.eur(minor), Merchant: "M1"})
}

// held makes a pre-authorisation and the card's last word to it, and returns its
// 0100.
func (u *unit) held(order string, minor int64) *acquirer.Message {
	u.r.t.Helper()
	if err := u.r.place(order, trade.Preauth, "", minor); err != nil {
		u.r.t.Fatal(err)
	}
	m := u.sale(order, minor, testPIN)
	m.MTI = "0100"
	resp := u.want("pre-authorisation", m, codeApproved)
	a := u.completion(m, resp.AuthCode)
	a.MTI = "0120"
	u.want("the card's last word", a, codeApproved)
	u.want("the card's last word repeated", u.repeat(a), codeApproved)
	u.r.state("held", order, trade.Held)
	return m
}

// capture makes the 0220 of a completion order.
func (u *unit) capture(order string, preauth *acquirer.Message, minor int64) *acquirer.Message {
	u.r.t.Helper()
	m, err := preauth.Completion("", nil)
	if err != nil {
		u.r.t.Fatal(err)
	}
	a := u.r.eur(minor)
	m.Order, m.Amount = order, &a
	return m
}

func TestPreauth(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	m := u.held("p1", 1000)
	r.booked("held", 1000, 1000, 0)
	u.want("reversal of what is held", u.reversal(m), codeInvalid)
	u.want("completion without an order", u.completion(m, "123456"), codeInvalid)
	if err := r.place("c1", trade.Completion, "p1", 1001); !errors.Is(err, ErrOrder) {
		t.Errorf("completion of more than is held: got %v, want ErrOrder", err)
	}
	if err := errors.Join(r.place("c1", trade.Completion, "p1", 700), r.place("c2", trade.Completion, "p1", 100)); err != nil {
		t.Fatal(err)
	}
	u.want("another amount than the order's", u.capture("c1", m, 701), codeAmount)
	c := u.capture("c1", m, 700)
	u.want("completion", c, codeApproved)
	r.booked("completed", 700, 0, 700)
	u.want("repeat", u.repeat(c), codeApproved)
	u.want("another completion", u.capture("c2", m, 100), codeInvalid)
	r.state("completed", "p1", trade.Paid)
	r.state("completed", "c1", trade.Paid)
	r.state("not completed", "c2", trade.Refused)
	r.booked("once", 700, 0, 700)
	if err := r.refundOrder("r1", "c1", 701); !errors.Is(err, ErrOrder) {
		t.Errorf("refund of more than was taken: %v", err)
	}
	if err := r.refundOrder("r1", "c1", 200); err != nil {
		t.Fatal(err)
	}
	f := u.refund("r1", 200)
	u.want("refund's completion", u.completion(f, u.want("refund", f, codeApproved).AuthCode), codeApproved)
	r.booked("refunded", 500, 0, 500)
	r.state("refunded", "r1", trade.Paid)
}

// TestPreauthVoided: a void lets go of what is held.
func TestPreauthVoided(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	m := u.held("p1", 1000)
	if err := errors.Join(r.place("v1", trade.Void, "p1", 1000), r.place("c1", trade.Completion, "p1", 1000)); err != nil {
		t.Fatal(err)
	}
	u.want("void", u.void("v1", m), codeApproved)
	r.booked("let go", 0, 0, 0)
	r.state("let go", "p1", trade.Voided)
	u.want("completion of what was let go", u.capture("c1", m, 1000), codeInvalid)
	r.booked("still", 0, 0, 0)
}

// TestPreauthOnly: only a pre-authorisation is held, and it is asked for with an
// 0100.
func TestPreauthOnly(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 1000)
	if err := r.place("p1", trade.Preauth, "", 1000); err != nil {
		t.Fatal(err)
	}
	u.want("0200 for a pre-authorisation", u.sale("p1", 1000, testPIN), codeUnsupported)
	m := u.sale("o1", 1000, testPIN)
	m.MTI = "0100"
	u.want("0100 for a sale", m, codeUnsupported)
	m = u.sale("o1", 1000, testPIN)
	resp := u.want("sale", m, codeApproved)
	a := u.completion(m, resp.AuthCode)
	a.MTI = "0120"
	u.want("0120 for a sale", a, codeUnsupported)
	p := u.sale("p1", 1000, testPIN)
	p.MTI = "0100"
	resp = u.want("pre-authorisation", p, codeApproved)
	u.want("0220 for a pre-authorisation", u.completion(p, resp.AuthCode), codeInvalid)
	u.want("reversal", u.reversal(p), codeApproved)
	r.booked("the sale only", 1000, 1000, 0)
	r.state("reversed", "p1", trade.Open)
}

func TestCashback(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	o := Order{ID: "o1", Type: trade.Cashback, Amount: r.eur(1500), Cashback: r.eur(500), Merchant: "M1"}
	if err := r.s.CreateOrder(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	ask := func(inCard, inMessage int64) *acquirer.Message {
		m := u.sale("o1", 1500, testPIN)
		m.ProcessingCode, m.ICC = acquirer.ProcessingCashback, u.card.iccWith(t, 0x09, 1500, inCard, true)
		m.Other = []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountCashback, Amount: r.eur(inMessage)}}
		return m
	}
	u.want("other cash in the card's cryptogram", ask(400, 500), codeAmount)
	u.want("other cash in the message", ask(500, 400), codeAmount)
	u.want("a sale for it", u.sale("o1", 1500, testPIN), codeUnsupported)
	r.booked("nothing yet", 0, 0, 0)
	m := ask(500, 500)
	resp := u.want("cashback", m, codeApproved)
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	r.booked("paid", 1500, 0, 1500)
	r.state("paid", "o1", trade.Paid)
}
