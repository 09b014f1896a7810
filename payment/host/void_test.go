package host

import (
	"context"
	"errors"
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
)

func (r *rig) voidOrder(id, original string, minor int64) error {
	return r.s.CreateOrder(context.Background(), Order{ID: id, Type: trade.Void, Original: original, Amount: r.eur(minor), Merchant: "M1"})
}

// void makes the 0400 of a void order for a sale.
func (u *unit) void(order string, sale *acquirer.Message) *acquirer.Message {
	u.r.t.Helper()
	m, err := sale.Reversal(acquirer.ReasonCancelled)
	if err != nil {
		u.r.t.Fatal(err)
	}
	m.MTI, m.Order = "0400", order
	return m
}

func TestVoid(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 1234)
	m := u.sale("o1", 1234, testPIN)
	resp := u.want("sale", m, codeApproved)
	if err := r.voidOrder("v1", "o1", 1234); !errors.Is(err, ErrOrder) {
		t.Errorf("void of a pending order: got %v, want ErrOrder", err)
	}
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	u.want("reversal without a void order", u.reversal(m), codeInvalid)
	if err := r.voidOrder("v1", "o1", 1233); !errors.Is(err, ErrOrder) {
		t.Errorf("void of a part: got %v, want ErrOrder", err)
	}
	if err := r.voidOrder("v1", "o1", 1234); err != nil {
		t.Fatal(err)
	}
	if err := r.voidOrder("v2", "o1", 1234); err != nil {
		t.Fatal(err)
	}
	less := u.void("v1", m)
	less.Amount.Minor--
	u.want("another amount", less, codeAmount)
	timeout := u.void("v1", m)
	timeout.Reason = acquirer.ReasonTimeout
	u.want("another reason", timeout, codeInvalid)
	u.want("order that is no void", u.void("o9", m), codeNoOriginal)
	r.booked("not yet", 1234, 0, 1234)
	v := u.void("v1", m)
	u.want("void", v, codeApproved)
	r.booked("voided", 0, 0, 0)
	r.state("voided", "o1", trade.Voided)
	r.state("voided", "v1", trade.Paid)
	u.want("repeat", u.repeat(v), codeApproved)
	u.want("another void of the same", u.void("v2", m), codeInvalid)
	u.want("completion repeated", u.repeat(u.completion(m, resp.AuthCode)), codeApproved)
	r.booked("once only", 0, 0, 0)
	u.want("sale of the voided order", u.sale("o1", 1234, testPIN), codeDuplicate)
}

// TestVoidAndRefund: what was given back in part can't be voided, by that void for
// good, and what was voided can't be given back.
func TestVoidAndRefund(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 1000)
	m := u.sale("o1", 1000, testPIN)
	u.want("completion", u.completion(m, u.want("sale", m, codeApproved).AuthCode), codeApproved)
	for _, err := range []error{r.voidOrder("v1", "o1", 1000), r.refundOrder("r1", "o1", 400)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	refund := u.refund("r1", 400)
	u.want("refund", refund, codeApproved)
	u.want("void of what is refunded", u.void("v1", m), codeInvalid)
	u.want("reversal of the refund", u.reversal(refund), codeApproved)
	u.want("a late copy of the void that was refused", u.void("v1", m), codeInvalid)
	r.state("refused", "v1", trade.Refused)
	r.booked("it stands", 1000, 0, 1000)
	if err := r.voidOrder("v2", "o1", 1000); err != nil {
		t.Fatal(err)
	}
	u.want("another void", u.void("v2", m), codeApproved)
	u.want("refund of what is voided", u.refund("r1", 400), codeInvalid)
	r.booked("voided", 0, 0, 0)
	r.state("voided", "r1", trade.Open)
}
