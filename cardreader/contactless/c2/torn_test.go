package c2_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// TestTearing takes the card away at each command, before and after it was
// carried out. The transaction is made at the next tap, once: an answer to
// GENERATE AC that was lost is recovered, not made anew.
func TestTearing(t *testing.T) {
	const commands = 10 // PPSE, SELECT, GPO, relay, five records, GENERATE AC
	for n := 1; n <= commands; n++ {
		for _, action := range []simcard.Action{simcard.Remove, simcard.RemoveAfter, simcard.Mute} {
			t.Run(fmt.Sprintf("%s@%d", action, n), func(t *testing.T) {
				p := newTap(t, 1000, nil)
				card := taptest.Card(t, "mchip", nil, simcard.Fault{Action: action, At: simcard.AnyCommand, Nth: n})
				s := p.Pay(t, card)
				o := s.Outcome()
				if s.Final().Kind != contactless.Approved || o.ODA.String() != "CDA ok" {
					t.Errorf("outcome %s, %s: %v", s.Final(), o.ODA, o.Reasons)
				}
				recovered := strings.Contains(strings.Join(o.Reasons, ";"), "torn before")
				if want := n == commands && action == simcard.RemoveAfter; recovered != want {
					t.Errorf("recovered: %t, want %t: %v", recovered, want, o.Reasons)
				}
				acs := strings.Count(string(p.Instructions(0)), "\xAE")
				switch {
				case n < commands && acs != 1, n == commands && recovered && acs != 1, n == commands && !recovered && acs != 2:
					t.Errorf("%d GENERATE AC", acs)
				}
				if n == commands && !strings.Contains(string(p.Instructions(0)), "\xD0") {
					t.Error("the card was not asked for its last answer")
				}
			})
		}
	}
}

// TestTornLog looks at who may be asked for a lost answer, and when.
func TestTornLog(t *testing.T) {
	tear := simcard.Fault{Action: simcard.RemoveAfter, At: simcard.OnFirstGAC, Nth: 1}
	for _, c := range []struct {
		name   string
		config func(*c2.Config)
		later  time.Duration
		asked  bool
	}{
		{"at once", nil, 0, true},
		{"at the end of its life", nil, 300 * time.Second, true},
		{"after it", nil, 301 * time.Second, false},
		{"a shorter life", func(c *c2.Config) { c.TornLifetime = time.Second }, 2 * time.Second, false},
		{"no log", func(c *c2.Config) { c.TornRecords = 0 }, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &watch{taptest.Now()}
			p := newTap(t, 1000, c.config)
			p.Clock = w.Now
			r := p.Reader(t)
			card := taptest.Card(t, "mchip", nil, tear)
			field := simcard.NewField("field", card)
			// The first tap alone.
			e := r.Begin(p.Field(field), p.Transaction)
			out, err := e.Activate(t.Context(), contactless.StartA, nil)
			if err != nil {
				t.Fatal(err)
			}
			if out.Kind != contactless.EndApplication || out.Start != contactless.StartB {
				t.Fatalf("outcome of the torn tap: %s", out)
			}
			w.now = w.now.Add(c.later)
			before := len(p.Commands)
			out, err = e.Activate(t.Context(), contactless.StartB, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}()
			if out.Kind != contactless.Approved {
				t.Errorf("outcome %s: %v", out, out.Reasons)
			}
			if asked := strings.Contains(string(p.Instructions(before)), "\xD0"); asked != c.asked {
				t.Errorf("asked for its last answer: %t, want %t", asked, c.asked)
			}
		})
	}
}

// TestTornByAnother gives nobody else's answer to a card.
func TestTornByAnother(t *testing.T) {
	p := newTap(t, 1000, nil)
	r := p.Reader(t)
	first := taptest.Card(t, "mchip", nil, simcard.Fault{Action: simcard.RemoveAfter, At: simcard.OnFirstGAC, Nth: 1})
	other := taptest.Card(t, "mchip-balance", nil)
	field := simcard.NewField("field", first)
	e := r.Begin(p.Field(field), p.Transaction)
	if _, err := e.Activate(t.Context(), contactless.StartA, nil); err != nil {
		t.Fatal(err)
	}
	field.Take(first)
	field.Hold(other)
	before := len(p.Commands)
	out, err := e.Activate(t.Context(), contactless.StartB, nil)
	if err != nil {
		t.Fatal(err)
	}
	if out.Kind != contactless.Approved || strings.Contains(string(p.Instructions(before)), "\xD0") {
		t.Errorf("outcome %s, commands %X", out, p.Instructions(before))
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestRecoveredIsTheTornTransaction: what goes to the issuer is the data that the
// recovered cryptogram is about, the torn tap's unpredictable number among them.
func TestRecoveredIsTheTornTransaction(t *testing.T) {
	p := newTap(t, 2001, nil)
	s := p.Pay(t, taptest.Card(t, "mchip", nil, simcard.Fault{Action: simcard.RemoveAfter, At: simcard.OnFirstGAC, Nth: 1}))
	if s.Decision() != emv.Online {
		t.Fatalf("decision %s: %v", s.Decision(), s.Outcome().Reasons)
	}
	var sent []byte // of the GENERATE AC
	for _, c := range p.Commands {
		if c[1] == 0xAE {
			sent = c
		}
	}
	un := s.Field55(tags.UnpredictableNumber)
	if len(un) != 3+4 || !strings.Contains(string(sent), string(un[3:])) {
		t.Errorf("field 55 has %X, which the card was not sent", un)
	}
}

// TestTornOfAnotherPayment: the answer to a torn transaction is for the payment
// that it was about. One of another amount, currency or kind has the card asked
// anew, or the card's word for a small amount would stand for a large one.
func TestTornOfAnotherPayment(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter func(*emv.Transaction)
	}{
		{"amount", func(x *emv.Transaction) { x.Amount = taptest.Euro(t, 1900) }},
		{"cashback", func(x *emv.Transaction) { x.Other = taptest.Euro(t, 500) }},
		{"type", func(x *emv.Transaction) { x.Type = 0x20 }},
		{"currency", func(x *emv.Transaction) {
			chf, err := money.ByCode("CHF")
			if err != nil {
				t.Fatal(err)
			}
			x.Amount = money.New(x.Amount.Minor, chf)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTap(t, 1000, nil)
			r := p.Reader(t)
			field := p.Field(simcard.NewField("field", taptest.Card(t, "mchip", nil, simcard.Fault{Action: simcard.RemoveAfter, At: simcard.OnFirstGAC, Nth: 1})))
			// Torn, and given up.
			e := r.Begin(field, p.Transaction)
			if _, err := e.Activate(t.Context(), contactless.StartA, nil); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			x := p.Transaction
			c.alter(&x)
			s, err := r.Pay(t.Context(), field, x)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			if why := strings.Join(s.Outcome().Reasons, ";"); strings.Contains(why, "torn before") {
				t.Errorf("outcome %s: %s", s.Final(), why)
			}
			minor, err := tlv.ParseN(s.Field55(tags.AmountAuthorised)[3:])
			if err != nil || int64(minor) != x.Amount.Minor {
				t.Errorf("the cryptogram is about %d, the payment about %d: %v", minor, x.Amount.Minor, err)
			}
		})
	}
}

// TestTornLogIsFull: the oldest torn transaction goes when there is no room.
func TestTornLogIsFull(t *testing.T) {
	for records, want := range map[int]bool{1: false, 2: true} {
		p := newTap(t, 1000, func(c *c2.Config) { c.TornRecords = records })
		r := p.Reader(t)
		tear := simcard.Fault{Action: simcard.RemoveAfter, At: simcard.OnFirstGAC, Nth: 1}
		first := taptest.Card(t, "mchip", nil, tear)
		for _, card := range []*simcard.Card{first, taptest.Card(t, "mchip-balance", nil, tear), first} {
			before := len(p.Commands)
			e := r.Begin(p.Field(simcard.NewField("field", card)), p.Transaction)
			out, err := e.Activate(t.Context(), contactless.StartA, nil)
			if err := errors.Join(err, e.Close()); err != nil {
				t.Fatal(err)
			}
			if asked := strings.Contains(string(p.Instructions(before)), "\xD0"); out.Kind == contactless.Approved && asked != want {
				t.Errorf("room for %d: asked %t, want %t", records, asked, want)
			}
		}
	}
}
