package host

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
)

// tipped is a sale with a tip in it.
func (u *unit) tipped(order string, minor, extra int64) *acquirer.Message {
	m := u.sale(order, minor+extra, "")
	m.Other = []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountTip, Amount: u.r.eur(extra)}}
	return m
}

// TestStandInTip: the acquirer above takes no tip that its issuer has not seen,
// so that none is approved in its place.
func TestStandInTip(t *testing.T) {
	c := newStandIn(t)
	c.s.c.TipPercent = func(string, string) int { return 20 }
	c.s.c.StandIn.Limit = c.eur(1000)
	u := c.enrol(1, 4)
	u.want("a tip", u.tipped("o0", 500, 50), codeUnavailable)
	c.state("refused", "o0", trade.Open)
	c.settled("nothing", 0, 0, 0)
	m := u.tipped("o0", 500, 50)
	u.want("where the acquirer is there", m, codeApproved)
	u.want("its completion", u.completion(m, "000000"), codeApproved)
	c.settled("paid", 550, 0, 550)
}

// TestPartsOfALine: what another server's message says of a tip or of cash is
// refused, not left unanswered, when it is no part of the amount.
func TestPartsOfALine(t *testing.T) {
	c := newChain(t)
	u := c.enrol(1, 4)
	for i, f := range []struct {
		processing string
		parts      []acquirer.OtherAmount
		code       string
	}{
		{acquirer.ProcessingSale, nil, codeApproved},
		{acquirer.ProcessingSale, []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountTip, Amount: c.eur(250)}}, codeApproved},
		{acquirer.ProcessingSale, []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountTip, Amount: c.eur(251)}}, codeAmount},
		{acquirer.ProcessingSale, []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountTip, Amount: c.eur(501)}}, codeAmount},
		{acquirer.ProcessingCashback, []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountCashback, Amount: c.eur(501)}}, codeAmount},
		{acquirer.ProcessingCashback, []acquirer.OtherAmount{{Account: "00", Type: acquirer.AmountCashback, Amount: c.eur(500)}, {Account: "00", Type: acquirer.AmountTip, Amount: c.eur(1)}}, codeAmount},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			m := u.sale("", 500, "")
			m.ProcessingCode, m.Other = f.processing, f.parts
			answer := c.up.s.Acquire(t.Context(), m)
			if answer == nil {
				t.Fatal("no answer")
			}
			if answer.ResponseCode != f.code {
				t.Errorf("answered %s, want %s", answer.ResponseCode, f.code)
			}
		})
	}
}

// TestContentOfARequest: the digest that is kept of a request tells another card,
// and nothing of a card verification value, printed or on the stripe.
func TestContentOfARequest(t *testing.T) {
	r := newRig(t)
	track := func(last byte, pan byte) secret.Track2 {
		v, err := secret.Track2FromTag([]byte{0x47, 0x61, 0x73, 0x90, 0x01, 0x01, 0x00, pan, 0xD3, 0x11, 0x21, 0x01, 0x12, 0x34, last, 0x5F})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	m := func(cvv2 string, track secret.Track2) []byte {
		a := r.eur(500)
		m := &acquirer.Message{MTI: "0200", Amount: &a, Track2: track}
		if cvv2 != "" {
			m.CVV2 = secret.CopyBytes([]byte(cvv2))
		}
		return r.s.content(m)
	}
	base := m("123", track(0x56, 0x10))
	for _, c := range []struct {
		name string
		got  []byte
		same bool
	}{
		{"another printed value", m("124", track(0x56, 0x10)), true},
		{"no printed value", m("", track(0x56, 0x10)), true},
		{"another value on the stripe", m("123", track(0x57, 0x10)), true},
		{"another card", m("123", track(0x56, 0x28)), false},
	} {
		if bytes.Equal(base, c.got) != c.same {
			t.Errorf("%s: the digest is the same: %v, want %v", c.name, !c.same, c.same)
		}
	}
}
