package host

import (
	"context"
	"errors"
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// paid makes a sale of an order and completes it.
func (u *unit) paid(order string, minor int64) {
	u.r.t.Helper()
	u.r.order(order, minor)
	m := u.sale(order, minor, testPIN)
	resp := u.want("sale", m, codeApproved)
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
}

// refund makes the 0200 for a refund's order.
func (u *unit) refund(order string, minor int64) *acquirer.Message {
	u.r.t.Helper()
	m := u.sale(order, minor, "")
	m.ProcessingCode, m.ICC = acquirer.ProcessingRefund, u.card.iccOf(u.r.t, 0x20, minor, false)
	return m
}

func (r *rig) refundOrder(id, original string, minor int64) error {
	return r.s.CreateOrder(context.Background(), Order{ID: id, Type: trade.Refund, Original: original, Amount: r.eur(minor), Merchant: "M1"})
}

func TestRefund(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	u.paid("o1", 1234)
	r.booked("paid", 1234, 0, 1234)
	if err := r.refundOrder("r1", "o1", 234); err != nil {
		t.Fatal(err)
	}
	m := u.refund("r1", 234)
	resp := u.want("refund", m, codeApproved)
	r.booked("refund booked", 1234, 234, 1000)
	r.state("refund booked", "r1", trade.Pending)
	if again := u.want("repeat", u.repeat(m), codeApproved); again.AuthCode != resp.AuthCode {
		t.Errorf("the repeat was answered with authorisation code %s, the first with %s", again.AuthCode, resp.AuthCode)
	}
	u.want("reversal", u.reversal(m), codeApproved)
	r.booked("refund reversed", 1234, 0, 1234)
	r.state("refund reversed", "r1", trade.Open)
	m = u.refund("r1", 234)
	resp = u.want("refund again", m, codeApproved)
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	r.booked("refund completed", 1000, 0, 1000)
	r.state("refund completed", "r1", trade.Paid)
	if err := r.refundOrder("r2", "o1", 1001); !errors.Is(err, ErrOrder) {
		t.Errorf("more than is left: got %v, want ErrOrder", err)
	}
}

// TestRefundsTogether: two orders that each fit, and not both.
func TestRefundsTogether(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	u.paid("o1", 1000)
	for _, id := range []string{"r1", "r2"} {
		if err := r.refundOrder(id, "o1", 600); err != nil {
			t.Fatal(err)
		}
	}
	first := u.refund("r1", 600)
	u.want("first", first, codeApproved)
	u.want("second", u.refund("r2", 600), codeInvalid)
	r.booked("one of two", 1000, 600, 400)
	u.want("reversal of the first", u.reversal(first), codeApproved)
	u.want("second, when there is room", u.refund("r2", 600), codeApproved)
	r.booked("the other of two", 1000, 600, 400)
	r.state("at the end", "r2", trade.Pending)
}

func TestRefundOrders(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	u.paid("o1", 1234)
	r.order("open", 500)
	jpy := r.eur(100)
	jpy.Currency = yen(t)
	for _, c := range []struct {
		name string
		o    Order
		want error
	}{
		{"no original", Order{ID: "r", Type: trade.Refund, Amount: r.eur(1), Merchant: "M1"}, ErrOrder},
		{"unknown original", Order{ID: "r", Type: trade.Refund, Original: "o9", Amount: r.eur(1), Merchant: "M1"}, ErrOrder},
		{"original not paid", Order{ID: "r", Type: trade.Refund, Original: "open", Amount: r.eur(1), Merchant: "M1"}, ErrOrder},
		{"another merchant's original", Order{ID: "r", Type: trade.Refund, Original: "o1", Amount: r.eur(1), Merchant: "M2"}, ErrOrder},
		{"another currency", Order{ID: "r", Type: trade.Refund, Original: "o1", Amount: jpy, Merchant: "M1"}, ErrOrder},
		{"more than was paid", Order{ID: "r", Type: trade.Refund, Original: "o1", Amount: r.eur(1235), Merchant: "M1"}, ErrOrder},
		{"of all", Order{ID: "r", Type: trade.Refund, Original: "o1", Amount: r.eur(1234), Merchant: "M1"}, nil},
		{"the same again", Order{ID: "r", Type: trade.Refund, Original: "o1", Amount: r.eur(1234), Merchant: "M1"}, nil},
		{"of a refund", Order{ID: "r2", Type: trade.Refund, Original: "r", Amount: r.eur(1), Merchant: "M1"}, ErrOrder},
	} {
		if err := r.s.CreateOrder(context.Background(), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	u.want("sale for a refund's order", u.sale("r", 1234, testPIN), codeUnsupported)
	m := u.refund("r", 1234)
	m.ICC = u.card.icc(t, 1234, false)
	u.want("the card's cryptogram is for a sale", m, codeAmount)
	r.booked("nothing", 1234, 0, 1234)
}

// TestRefundWithoutOriginal: only where the configuration says so.
func TestRefundWithoutOriginal(t *testing.T) {
	r := newRig(t)
	r.s.c.RefundsWithoutOriginal = true
	u := r.enrol(1, 4)
	if err := r.refundOrder("r1", "", 700); err != nil {
		t.Fatal(err)
	}
	m := u.refund("r1", 700)
	resp := u.want("refund", m, codeApproved)
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	r.booked("refund", -700, 0, -700)
	r.state("refund", "r1", trade.Paid)
}

func yen(t *testing.T) money.Currency {
	t.Helper()
	c, err := money.ByCode("JPY")
	if err != nil {
		t.Fatal(err)
	}
	return c
}
