package c2_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/simcard"
)

// TestDecisions is the kernel's decision for cards of each kind.
func TestDecisions(t *testing.T) {
	for _, c := range []struct {
		name    string
		minor   int64
		card    string
		alter   func(*simcard.Application)
		config  func(*c2.Config)
		tap     func(*taptest.Tap)
		kind    contactless.Kind
		cvm     contactless.CVM
		oda     string
		tvr     string
		results string // 9F34
		why     string
		cmds    int // 0: not counted
	}{
		{name: "offline up to the floor limit", minor: 2000, card: "mchip", kind: contactless.Approved, cvm: contactless.CVMNoCVM, oda: "CDA ok", tvr: "0000000002", results: "1F0302", cmds: 10},
		{name: "online by the merchant's wish", minor: 2000, card: "mchip", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "CDA ok", tvr: "0000000802",
			tap: func(p *taptest.Tap) { p.Transaction.ForceOnline = true }},
		{name: "denied against the merchant's wish", minor: 2000, card: "mchip", kind: contactless.TryAnotherInterface, why: "action code",
			config: func(c *c2.Config) { c.Application.TACDenial = [5]byte{0, 0, 0, 0x08, 0} }, tap: func(p *taptest.Tap) { p.Transaction.ForceOnline = true }},
		{name: "online above it", minor: 2001, card: "mchip", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "CDA ok", tvr: "0000008002", results: "1F0302"},
		{name: "no verification at the CVM limit", minor: 5000, card: "mchip", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "CDA ok", tvr: "0000008002", results: "1F0302"},
		{name: "online PIN above it", minor: 5001, card: "mchip", kind: contactless.OnlineRequest, cvm: contactless.CVMOnlinePIN, oda: "CDA ok", tvr: "0000048002", results: "420300"},
		{name: "signature above it", minor: 5001, card: "mchip-balance", kind: contactless.OnlineRequest, cvm: contactless.CVMSignature, oda: "CDA ok", tvr: "0000008001", results: "5E0300"},
		{name: "no method left", minor: 5001, card: "mchip-balance", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "CDA ok", tvr: "0000808001", results: "3F0001", why: "no way to verify",
			config: func(c *c2.Config) { c.CVMRequired = 0x40 }},
		{name: "a phone, second tap", minor: 5001, card: "mchip-phone", kind: contactless.OnlineRequest, cvm: contactless.CVMConfirmationCode, oda: "CDA ok", tvr: "0000008002", results: "010002"},
		{name: "a phone below the CVM limit", minor: 1000, card: "mchip-phone", kind: contactless.Approved, cvm: contactless.CVMNoCVM, oda: "CDA ok", tvr: "0000000002", results: "3F0002"},
		{name: "the contactless limit", minor: 10000, card: "mchip", kind: contactless.OnlineRequest, cvm: contactless.CVMOnlinePIN},
		{name: "over the contactless limit", minor: 10001, card: "mchip", kind: contactless.EndApplication, why: "over the contactless limit"},
		{name: "a phone has a limit of its own", minor: 10001, card: "mchip-phone", kind: contactless.OnlineRequest, cvm: contactless.CVMConfirmationCode},
		{name: "no device verification here", minor: 5001, card: "mchip-phone", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, results: "1F0302",
			config: func(c *c2.Config) { c.NoDeviceCVM = true }},
		{name: "the card declines: insert it", minor: 100, card: "mchip", alter: func(a *simcard.Application) { a.DeclineFirst = true }, kind: contactless.TryAnotherInterface, cvm: 0, why: "the card declined"},
		{name: "the phone declines", minor: 100, card: "mchip-phone", alter: func(a *simcard.Application) { a.DeclineFirst = true }, kind: contactless.Declined, why: "the card declined"},
		{name: "no contacts here", minor: 100, card: "mchip", alter: func(a *simcard.Application) { a.DeclineFirst = true }, kind: contactless.Declined,
			tap: func(p *taptest.Tap) { p.Terminal.Capabilities[0] = 0xC0 }},
		{name: "a refund that is declined", minor: 100, card: "mchip", alter: func(a *simcard.Application) { a.DeclineFirst = true }, kind: contactless.EndApplication,
			tap: func(p *taptest.Tap) { p.Transaction.Type = 0x20 }},
		{name: "a false signature", minor: 100, card: "mchip", alter: func(a *simcard.Application) { a.WrongSignature = true }, kind: contactless.EndApplication, why: "does not verify"},
		{name: "an unknown CA", minor: 100, card: "mchip", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none", tvr: "0400000002",
			config: func(c *c2.Config) { c.CAKeys = noKeys{} }},
		{name: "an unknown CA and a phone", minor: 100, card: "mchip-phone", kind: contactless.Declined,
			config: func(c *c2.Config) { c.CAKeys = noKeys{} }},
		{name: "no authentication", minor: 100, card: "mchip", alter: func(a *simcard.Application) { a.Contactless.NoAuthentication = true }, kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none", tvr: "8000000002"},
		{name: "denied by an action code", minor: 100, card: "mchip", kind: contactless.TryAnotherInterface, why: "action code",
			config: func(c *c2.Config) { c.Application.TACDenial = [5]byte{0, 0, 0, 0, 0x02} }},
		{name: "expired", minor: 100, card: "mchip", alter: func(a *simcard.Application) { a.Expiry = "200101" }, kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, tvr: "0040000002", why: "expired"},
		{name: "without relay resistance", minor: 100, card: "mchip", config: func(c *c2.Config) { c.Relay = nil }, kind: contactless.Approved, cvm: contactless.CVMNoCVM, tvr: "0000000001", cmds: 9},
		{name: "GET PROCESSING OPTIONS refused", minor: 100, card: "mchip", alter: func(a *simcard.Application) { a.RefuseGPO = true }, kind: contactless.EndApplication, cmds: 3},
		{name: "another scheme's number", minor: 100, card: "mchip", alter: func(a *simcard.Application) { a.PAN = "4761739001010010" }, kind: contactless.Declined, why: "not of the scheme"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTap(t, c.minor, c.config)
			if c.tap != nil {
				c.tap(p)
			}
			s := p.Pay(t, taptest.Card(t, c.card, c.alter))
			out, o := s.Final(), s.Outcome()
			why := strings.Join(o.Reasons, "; ")
			if out.Kind != c.kind || out.CVM != c.cvm && c.kind != contactless.TryAnotherInterface {
				t.Errorf("outcome %s, want %s with %s: %s", out, c.kind, c.cvm, why)
			}
			if c.oda != "" && !strings.HasPrefix(o.ODA.String(), c.oda) {
				t.Errorf("ODA %s, want %s", o.ODA, c.oda)
			}
			if c.tvr != "" && o.TVR.String() != c.tvr {
				t.Errorf("TVR %s, want %s", o.TVR, c.tvr)
			}
			if got := fmt.Sprintf("%X", o.CVMResults[:]); c.results != "" && got != c.results {
				t.Errorf("CVM Results %s, want %s", got, c.results)
			}
			if !strings.Contains(why, c.why) {
				t.Errorf("reasons %q, want %q among them", why, c.why)
			}
			if c.cmds != 0 && len(p.Commands) != c.cmds {
				t.Errorf("%d commands, want %d: %X", len(p.Commands), c.cmds, p.Commands)
			}
		})
	}
}

func TestBalance(t *testing.T) {
	p := newTap(t, 1000, nil)
	s := p.Pay(t, taptest.Card(t, "mchip-balance", nil))
	u := s.Final().UI
	if s.Final().Kind != contactless.Approved || u == nil || u.Qualifier != contactless.ValueBalance || u.Value.String() != "123.45 EUR" {
		t.Errorf("outcome %s, shown %+v", s.Final(), u)
	}
	want := "DF810406000000012345DF810506000000012345"
	if got := fmt.Sprintf("%X", s.Final().Data.Discretionary()); got != want {
		t.Errorf("discretionary data %s, want %s", got, want)
	}
}

func TestSecondTapIsAskedFor(t *testing.T) {
	p := newTap(t, 5001, nil)
	p.Pay(t, taptest.Card(t, "mchip-phone", nil))
	if !p.Saw(contactless.MessageSeePhone) {
		t.Errorf("shown %v", p.Shown)
	}
	acs := 0
	for _, ins := range p.Instructions(0) {
		if ins == 0xAE {
			acs++
		}
	}
	if acs != 2 {
		t.Errorf("%d GENERATE AC, want one a tap", acs)
	}
}

// TestMoreThanAskedFor: who gets an approval out of a card that the reader asked
// for an online cryptogram gains nothing (S9.23).
func TestMoreThanAskedFor(t *testing.T) {
	denied := func(c *c2.Config) { c.Application.TACDenial = [5]byte{0, 0, 0, 0, 0x02} }
	for _, c := range []struct {
		config func(*c2.Config)
		given  byte
		why    string
	}{
		{nil, apdu.RefTC, "answers ARQC with TC"},
		{denied, apdu.RefARQC, "answers AAC with ARQC"},
	} {
		p := newTap(t, 2001, c.config)
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Command: func(b []byte) []byte {
				if b[1] == apdu.INSGenerateAC {
					b[2] = b[2]&0x3F | c.given
				}
				return b
			}}
		}
		s := p.Pay(t, taptest.Card(t, "mchip", nil))
		why := strings.Join(s.Outcome().Reasons, "; ")
		if s.Final().Kind != contactless.EndApplication || !strings.Contains(why, c.why) {
			t.Errorf("outcome %s: %s", s.Final(), why)
		}
	}
}

// TestUnsignedWhereSigned: a combined signature was asked for, and somebody has
// the card answer without one (S910.35).
func TestUnsignedWhereSigned(t *testing.T) {
	for _, minor := range []int64{1000, 2001} {
		p := newTap(t, minor, nil)
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Command: func(b []byte) []byte {
				if b[1] == apdu.INSGenerateAC {
					b[2] &^= 0x10
				}
				return b
			}}
		}
		s := p.Pay(t, taptest.Card(t, "mchip", nil))
		why := strings.Join(s.Outcome().Reasons, "; ")
		if s.Final().Kind != contactless.EndApplication || !strings.Contains(why, "asked for and missing") {
			t.Errorf("%d: outcome %s: %s", minor, s.Final(), why)
		}
	}
}

// TestFieldOff: a card that notices the field going off has it go off after its
// transaction (Book C-2, S1.8), but not for the next application of it.
func TestFieldOff(t *testing.T) {
	for _, c := range []struct {
		aci, minor int64
		config     func(*c2.Config)
		want       contactless.FieldOff
	}{
		{0x02, 1000, nil, contactless.FieldOff{}},
		{0x06, 1000, nil, contactless.FieldOff{Requested: true, Hold: 1300 * time.Millisecond}},
		{0x06, 2001, func(c *c2.Config) { c.FieldOff = time.Second }, contactless.FieldOff{Requested: true, Hold: time.Second}},
		{0x06, 10001, nil, contactless.FieldOff{}},
	} {
		p := newTap(t, c.minor, c.config)
		k := p.Combinations[0].Run
		var outs []contactless.Outcome
		p.Combinations[0].Run = kernel(func(ctx context.Context, a *contactless.Activation) (contactless.Outcome, error) {
			out, err := k.Activate(ctx, a)
			outs = append(outs, out)
			return out, err
		})
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Answer: func(_, answer []byte) []byte {
				return bytes.ReplaceAll(answer, []byte{0x9F, 0x5D, 3, 0, 2, 0}, []byte{0x9F, 0x5D, 3, 0, byte(c.aci), 0})
			}}
		}
		p.Pay(t, taptest.Card(t, "mchip-balance", nil))
		if len(outs) != 1 || outs[0].FieldOff != c.want {
			t.Errorf("%02X, %d: outcomes %v, field off %+v, want %+v", c.aci, c.minor, outs, outs[0].FieldOff, c.want)
		}
	}
}

// kernel is a kernel that is a function.
type kernel func(context.Context, *contactless.Activation) (contactless.Outcome, error)

func (k kernel) Activate(ctx context.Context, a *contactless.Activation) (contactless.Outcome, error) {
	return k(ctx, a)
}
