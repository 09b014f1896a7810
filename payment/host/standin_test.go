package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// newStandIn is a chain whose lower server stands in, over a line that is down
// for requests.
func newStandIn(t *testing.T) *chained {
	c := newChain(t)
	c.s.c.StandIn = &StandIn{Limit: c.eur(500), Velocity: []issuer.Velocity{{Days: 1, Count: 3, Amount: 1200}}, Cards: []string{"400000", testPAN[:6]}}
	if err := c.s.c.StandIn.check(); err != nil {
		t.Fatal(err)
	}
	for n := range 9 {
		c.order(fmt.Sprintf("o%d", n), 500)
	}
	c.down()
	return c
}

func (c *chained) down() {
	c.fate = func(m *acquirer.Message) fate {
		if m.MTI[:2] == "02" || m.MTI[:2] == "01" || m.MTI[:2] == "04" {
			return notSent
		}
		return arrives
	}
}

// forward tries once to send what is owed.
func (c *chained) forward() (owed int) {
	c.t.Helper()
	owed, err := c.s.ForwardDue(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return owed
}

// TestStandIn: what was approved while the acquirer could not be asked is told to
// it afterwards, with what became of it.
func TestStandIn(t *testing.T) {
	c := newStandIn(t)
	u := c.enrol(1, 4)
	paid, back, open := u.sale("o0", 500, ""), u.sale("o1", 500, ""), u.sale("o2", 500, "")
	resp := u.want("a sale", paid, codeApproved)
	if len(resp.AuthCode) != 6 || len(resp.ICC) != 0 {
		t.Errorf("authorisation code %q, %d bytes for the card; want six digits and none", resp.AuthCode, len(resp.ICC))
	}
	if again := u.want("its repeat", u.repeat(paid), codeApproved); again.AuthCode != resp.AuthCode {
		t.Errorf("authorisation code %s, then %s", resp.AuthCode, again.AuthCode)
	}
	u.want("completion", u.completion(paid, resp.AuthCode), codeApproved)
	u.want("another", back, codeApproved)
	u.want("over the day's amount", u.sale("o3", 500, ""), codeUnavailable)
	u.want("reversal", u.reversal(back), codeApproved)
	u.want("room again", open, codeApproved)
	if got := c.balance(standInAccount); got != -1000 {
		t.Errorf("stood in for %d, want 1000", -got)
	}
	if owed := c.forward(); owed != 5 {
		t.Errorf("%d messages are owed, want three advices, a completion and a reversal", owed)
	}
	c.settled("told afterwards", 1000, 500, 500)
	c.state("paid", "o0", trade.Paid)
	c.state("reversed", "o1", trade.Open)
	u.want("completion afterwards", u.completion(open, "000000"), codeApproved)
	c.settled("all told", 1000, 0, 1000)
	if err := c.voidOrder("v0", "o0", 500); err != nil {
		t.Fatal(err)
	}
	u.want("void", u.void("v0", paid), codeApproved)
	c.settled("voided", 500, 0, 500)
}

// TestStandInAdviceRepeated: an advice whose answer is lost is booked once.
func TestStandInAdviceRepeated(t *testing.T) {
	c := newStandIn(t)
	u := c.enrol(1, 4)
	m := u.sale("o0", 500, "")
	u.want("completion", u.completion(m, u.want("sale", m, codeApproved).AuthCode), codeApproved)
	var seen []string
	c.fate = func(m *acquirer.Message) fate {
		seen = append(seen, m.MTI)
		if len(seen) == 1 {
			return answerLost
		}
		return arrives
	}
	for range 3 {
		c.forward()
		c.mu.Lock()
		c.now = c.now.Add(time.Hour)
		c.mu.Unlock()
	}
	if want := []string{"0120", "0121", "0220"}; !slices.Equal(seen, want) {
		t.Errorf("sent %v, want %v", seen, want)
	}
	c.settled("once", 500, 0, 500)
}

// TestStandInRefuses: what the server does not stand in for.
func TestStandInRefuses(t *testing.T) {
	replaced := func(t *testing.T, icc []byte, tag tlv.Tag, v ...byte) []byte {
		var out []byte
		for o, err := range tlv.All(icc) {
			if err != nil {
				t.Fatal(err)
			}
			if o.Tag == tag {
				o.Value = v
			}
			out = tlv.Append(out, o.Tag, o.Value)
		}
		return out
	}
	for _, f := range []struct {
		name string
		pin  string
		set  func(s *StandIn)
		do   func(t *testing.T, m *acquirer.Message)
		fate fate
	}{
		{name: "over the limit", fate: notSent, set: func(s *StandIn) { s.Limit.Minor = 499 }},
		{name: "another card", fate: notSent, set: func(s *StandIn) { s.Cards = []string{"476174"} }},
		{name: "a PIN", fate: notSent, pin: testPIN},
		{name: "a PIN that was promised", fate: notSent, do: func(t *testing.T, m *acquirer.Message) { m.ICC = replaced(t, m.ICC, tags.CVMResults, 2, 3, 0) }},
		{name: "a PIN that nobody mentions", fate: notSent, pin: testPIN, do: func(t *testing.T, m *acquirer.Message) {
			m.ICC = replaced(t, replaced(t, m.ICC, tags.CVMResults, 0x1F, 3, 2), tags.TVR, 0, 0, 0, 0, 0)
		}},
		{name: "a PIN in the TVR", fate: notSent, do: func(t *testing.T, m *acquirer.Message) { m.ICC = replaced(t, m.ICC, tags.TVR, 0, 0, 4, 0, 0) }},
		{name: "a card that declined", fate: notSent, do: func(t *testing.T, m *acquirer.Message) { m.ICC = replaced(t, m.ICC, tags.CID, 0) }},
		{name: "a request that may have arrived", fate: lost},
		{name: "one that did arrive", fate: answerLost},
	} {
		t.Run(f.name, func(t *testing.T) {
			c := newStandIn(t)
			if f.set != nil {
				f.set(c.s.c.StandIn)
			}
			c.fate = func(*acquirer.Message) fate { return f.fate }
			u := c.enrol(1, 4)
			m := u.sale("o0", 500, f.pin)
			if f.do != nil {
				f.do(t, m)
			}
			u.want(f.name, m, codeUnavailable)
			c.state("refused", "o0", trade.Open)
			c.settled("nothing", 0, 0, 0)
		})
	}
}

// TestStandInTooOften counts the payments with a card.
func TestStandInTooOften(t *testing.T) {
	c := newStandIn(t)
	c.s.c.StandIn.Velocity = []issuer.Velocity{{Days: 1, Count: 1}}
	u := c.enrol(1, 4)
	u.want("the first", u.sale("o0", 500, ""), codeApproved)
	u.want("the second", u.sale("o1", 500, ""), codeUnavailable)
	c.fate = nil
	m := u.sale("o2", 500, "")
	u.want("one that the acquirer approves", m, codeApproved)
	u.want("its reversal", u.reversal(m), codeApproved)
	c.down()
	u.want("is no room", u.sale("o3", 500, ""), codeUnavailable)
}

// TestStandInTooLate: an advice counts whatever the balance is by then.
func TestStandInTooLate(t *testing.T) {
	c := newStandIn(t)
	u := c.enrol(1, 4)
	c.fate = nil
	c.order("most", opening-100)
	u.want("nearly everything", u.sale("most", opening-100, testPIN), codeApproved)
	u.want("more than is left", u.sale("o0", 500, ""), issuer.CodeFunds)
	c.down()
	m := u.sale("o0", 500, "")
	u.want("while nobody can be asked", m, codeApproved)
	u.want("completion", u.completion(m, "000000"), codeApproved)
	c.settled("told afterwards", opening+400, opening-100, 500)
}

// TestStandInSealed: the ledger has no account number, and what is sealed is
// taken under its own id and key alone.
func TestStandInSealed(t *testing.T) {
	c := newStandIn(t)
	u := c.enrol(1, 4)
	u.want("a sale", u.sale("o0", 500, ""), codeApproved)
	var kept ledger.Outgoing
	err := c.l.View(t.Context(), func(tx ledger.Tx) error {
		return tx.EachOutgoing(0, func(o ledger.Outgoing) error { kept = o; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	packed, err := c.s.owedMessage(kept)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.s.c.Dialect.Unpack(packed)
	if err != nil || m.MTI != "0120" || string(m.PAN.Reveal()) != testPAN {
		t.Fatalf("the advice is no 0120 with the account number: %v", err)
	}
	for _, form := range [][]byte{[]byte(testPAN), {0x47, 0x61, 0x73, 0x90, 0x01, 0x01, 0x00, 0x10}} {
		if bytes.Contains(kept.Message, form) {
			t.Error("the account number is in the ledger")
		}
	}
	for at := range kept.Message {
		bad := kept
		bad.Message = bytes.Clone(kept.Message)
		bad.Message[at] ^= 1
		if _, err := c.s.owedMessage(bad); !errors.Is(err, errSealed) {
			t.Fatalf("byte %d altered: %v", at, err)
		}
	}
	moved := kept
	moved.ID += "0"
	if _, err := c.s.owedMessage(moved); !errors.Is(err, errSealed) {
		t.Errorf("under another id: %v", err)
	}
	moved.Message = moved.Message[:5]
	if _, err := c.s.owedMessage(moved); !errors.Is(err, errSealed) {
		t.Errorf("cut: %v", err)
	}
}

func TestStandInConfig(t *testing.T) {
	r := newRig(t)
	good := StandIn{Limit: r.eur(1), Velocity: []issuer.Velocity{{Days: 1, Count: 1}}, Cards: []string{"476173"}}
	for name, change := range map[string]func(s *StandIn){
		"no limit":        func(s *StandIn) { s.Limit.Minor = 0 },
		"no velocity":     func(s *StandIn) { s.Velocity = nil },
		"no days":         func(s *StandIn) { s.Velocity = []issuer.Velocity{{Count: 1}} },
		"no cards":        func(s *StandIn) { s.Cards = nil },
		"short beginning": func(s *StandIn) { s.Cards = []string{"47617"} },
		"no digits":       func(s *StandIn) { s.Cards = []string{"47617x"} },
	} {
		bad := good
		change(&bad)
		if err := bad.check(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v, want ErrConfig", name, err)
		}
	}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	c := r.s.c
	c.StandIn = &StandIn{}
	if _, err := New(c); !errors.Is(err, ErrConfig) {
		t.Errorf("New: got %v, want ErrConfig", err)
	}
}
