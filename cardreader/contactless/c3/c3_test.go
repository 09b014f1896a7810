package c3_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TestDecisions is the kernel's decision for cards of each kind (Book C-3, 5.4.3
// to 5.7).
func TestDecisions(t *testing.T) {
	for _, c := range []struct {
		name  string
		minor int64
		card  string
		alter func(*simcard.Application)
		tap   func(*tap)
		kind  contactless.Kind
		cvm   contactless.CVM
		oda   string
		why   string
		cmds  int // 0: not counted
	}{
		{name: "offline below the floor limit", minor: 1000, card: "default", kind: contactless.Approved, cvm: contactless.CVMNoCVM, oda: "DDA ok", cmds: 8},
		{name: "online by the merchant's wish", minor: 1000, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none",
			tap: func(p *tap) { p.Transaction.ForceOnline = true }},
		{name: "online above it, in three commands", minor: 2001, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none", cmds: 3},
		{name: "online PIN from the CVM limit on", minor: 5000, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMOnlinePIN, oda: "none", cmds: 3},
		{name: "signature", minor: 5000, card: "tap-signature", kind: contactless.OnlineRequest, cvm: contactless.CVMSignature, oda: "none"},
		{name: "the device verified its holder", minor: 5000, card: "phone-unlocked", kind: contactless.OnlineRequest, cvm: contactless.CVMConfirmationCode, oda: "none", cmds: 3},
		{name: "the holder has to look at the device first", minor: 5000, card: "phone", kind: contactless.OnlineRequest, cvm: contactless.CVMConfirmationCode, oda: "none", cmds: 6},
		{name: "contactless limit", minor: 10000, card: "default", kind: contactless.TryAnotherInterface, cmds: -1},
		{name: "the card wants to be inserted", minor: 100, card: "tap-insert", kind: contactless.TryAnotherInterface, why: "inserted", cmds: 3},
		{name: "the card declines", minor: 100, card: "decline", kind: contactless.Declined, oda: "none", why: "the card declined", cmds: 3},
		{name: "a blocked application", minor: 100, card: "blocked-app", kind: contactless.EndApplication, cmds: 2},
		{name: "a blocked card", minor: 100, card: "blocked-card", kind: contactless.EndApplication, cmds: 1},
		{name: "a false signature", minor: 100, card: "wrong-dda", kind: contactless.Declined, oda: "DDA failed", why: "fDDA failed"},
		{name: "a false signature, online instead", minor: 100, card: "wrong-dda", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "DDA failed",
			alter: func(a *simcard.Application) { a.Contactless.CTQ = tags.CTQValue{0x20} }},
		{name: "a false signature, by contact instead", minor: 100, card: "wrong-dda", kind: contactless.TryAnotherInterface,
			alter: func(a *simcard.Application) { a.Contactless.CTQ = tags.CTQValue{0x10} }},
		{name: "an unknown CA", minor: 100, card: "unknown-ca", kind: contactless.Declined, oda: "DDA failed"},
		{name: "a revoked issuer", minor: 100, card: "revoked", kind: contactless.Declined, oda: "DDA failed"},
		{name: "expired, offline", minor: 100, card: "expired", kind: contactless.Declined, oda: "none", why: "expired"},
		{name: "expired, online instead", minor: 100, card: "expired", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none",
			alter: func(a *simcard.Application) { a.Contactless.CTQ = tags.CTQValue{0x08} }},
		{name: "expired and online is the issuer's business", minor: 2001, card: "expired", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none"},
		{name: "on the exception file", minor: 100, card: "default", kind: contactless.Declined, oda: "none", why: "exception file",
			tap: func(p *tap) { p.config.Exceptions = everyone{} }},
		{name: "not for cash", minor: 100, card: "default", kind: contactless.Declined, oda: "none", why: "cash",
			alter: func(a *simcard.Application) { a.AUC = [2]byte{0x3F, 0xC0} },
			tap:   func(p *tap) { p.Transaction.Type, p.config.CheckCash = 0x01, true }},
		{name: "not for cash, another interface", minor: 100, card: "default", kind: contactless.TryAnotherInterface,
			alter: func(a *simcard.Application) {
				a.AUC = [2]byte{0x3F, 0xC0}
				a.Contactless.CTQ = tags.CTQValue{0x04}
			},
			tap: func(p *tap) { p.Transaction.Type, p.config.CheckCash = 0x01, true }},
		{name: "not for cashback, another interface", minor: 100, card: "default", kind: contactless.TryAnotherInterface,
			alter: func(a *simcard.Application) {
				a.AUC = [2]byte{0xFF, 0x00}
				a.Contactless.CTQ = tags.CTQValue{0x02}
			},
			tap: func(p *tap) { p.Transaction.Type, p.config.CheckCashback = 0x09, true }},
		{name: "no qualifiers: signature", minor: 5000, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMSignature, oda: "none",
			alter: func(a *simcard.Application) { a.Contactless.NoCTQ = true }},
		{name: "no qualifiers: online PIN", minor: 5000, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMOnlinePIN, oda: "none",
			alter: func(a *simcard.Application) { a.Contactless.NoCTQ = true },
			tap:   func(p *tap) { p.ttq[0] &^= 0x02 }},
		{name: "no method in common", minor: 5000, card: "tap-signature", kind: contactless.Declined, oda: "none", why: "no method in common",
			tap: func(p *tap) { p.ttq[0] &^= 0x06 }},
		{name: "an offline-only reader", minor: 1000, card: "default", kind: contactless.Approved, cvm: contactless.CVMNoCVM, oda: "DDA ok",
			tap: func(p *tap) { p.ttq[0] |= 0x08 }},
		{name: "an offline-only reader above its floor limit", minor: 2001, card: "default", kind: contactless.Declined, oda: "none",
			tap: func(p *tap) { p.ttq[0] |= 0x08 }},
		{name: "authentication for online", minor: 2001, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "DDA ok",
			tap: func(p *tap) { p.ttq[0] |= 0x01 }},
		{name: "a false signature for online", minor: 2001, card: "wrong-dda", kind: contactless.Declined, oda: "DDA failed",
			tap: func(p *tap) { p.ttq[0] |= 0x01 }},
		{name: "a false signature at an offline-only reader", minor: 100, card: "wrong-dda", kind: contactless.Declined, oda: "DDA failed", why: "fDDA failed",
			alter: func(a *simcard.Application) { a.Contactless.CTQ = tags.CTQValue{0x20} },
			tap:   func(p *tap) { p.ttq[0] |= 0x08 }},
		{name: "a false signature at an offline-only reader, by contact instead", minor: 100, card: "wrong-dda", kind: contactless.TryAnotherInterface,
			alter: func(a *simcard.Application) { a.Contactless.CTQ = tags.CTQValue{0x30} },
			tap:   func(p *tap) { p.ttq[0] |= 0x08 }},
		{name: "a false signature at a reader without contacts", minor: 100, card: "wrong-dda", kind: contactless.Declined, oda: "DDA failed",
			alter: func(a *simcard.Application) { a.Contactless.CTQ = tags.CTQValue{0x10} },
			tap:   func(p *tap) { p.ttq[0] &^= 0x10 }},
		{name: "authentication for online, and its data are not there", minor: 2001, card: "default", kind: contactless.EndApplication, oda: "none",
			tap: func(p *tap) { p.ttq[0] |= 0x01; p.Wedge = without(tags.CardAuthenticationRelatedData) }},
		{name: "authentication for online, no signature", minor: 2001, card: "default", kind: contactless.EndApplication, oda: "none",
			tap: func(p *tap) { p.ttq[0] |= 0x01; p.Wedge = without(tags.SignedDynamicData) }},
		{name: "authentication for online, no certificate", minor: 2001, card: "default", kind: contactless.EndApplication, oda: "none",
			tap: func(p *tap) { p.ttq[0] |= 0x01; p.Wedge = without(tags.ICCCertificate) }},
		{name: "authentication for online, an unknown CA", minor: 2001, card: "unknown-ca", kind: contactless.EndApplication, oda: "none",
			tap: func(p *tap) { p.ttq[0] |= 0x01 }},
		{name: "authentication for online, by the reader's wish for a card that would approve", minor: 1000, card: "default", kind: contactless.EndApplication, oda: "none",
			tap: func(p *tap) {
				p.ttq[0] |= 0x01
				p.Wedge = without(tags.CardAuthenticationRelatedData)
				p.Transaction.ForceOnline = true
			}},
		{name: "offline, and the data of authentication are not there", minor: 1000, card: "default", kind: contactless.Declined, oda: "DDA failed",
			tap: func(p *tap) { p.Wedge = without(tags.CardAuthenticationRelatedData) }},
		{name: "for cash online", minor: 2001, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none", cmds: 4,
			tap: func(p *tap) { p.Transaction.Type, p.config.CheckCash = 0x01, true }},
		{name: "for cash over the counter, online", minor: 2001, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none", cmds: 4,
			tap: func(p *tap) { p.Transaction.Type, p.config.CheckCash = 0x17, true }},
		{name: "for cashback online", minor: 2001, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none", cmds: 4,
			tap: func(p *tap) { p.Transaction.Type, p.config.CheckCashback = 0x09, true }},
		{name: "not for cashback online", minor: 2001, card: "default", kind: contactless.Declined, oda: "none", why: "cashback",
			alter: func(a *simcard.Application) { a.AUC = [2]byte{0xFF, 0x40} },
			tap:   func(p *tap) { p.Transaction.Type, p.config.CheckCashback = 0x09, true }},
		{name: "for cashback abroad alone", minor: 2001, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none",
			alter: func(a *simcard.Application) { a.AUC = [2]byte{0xFF, 0x40} },
			tap:   func(p *tap) { p.Transaction.Type, p.config.CheckCashback, p.Terminal.Country = 0x09, true, 250 }},
		{name: "cash, and the card does not say for what it is", minor: 2001, card: "default", kind: contactless.Declined, oda: "none", why: "cash",
			tap: func(p *tap) { p.Transaction.Type, p.config.CheckCash, p.Wedge = 0x01, true, without(tags.AUC) }},
		{name: "cash, and the card does not say from where it is", minor: 2001, card: "default", kind: contactless.Declined, oda: "none", why: "cash",
			tap: func(p *tap) {
				p.Transaction.Type, p.config.CheckCash, p.Wedge = 0x01, true, without(tags.IssuerCountryCode)
			}},
		{name: "cash, and nobody looks", minor: 2001, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMNoCVM, oda: "none",
			alter: func(a *simcard.Application) { a.AUC = [2]byte{} },
			tap:   func(p *tap) { p.Transaction.Type = 0x01 }},
		{name: "a programme with lower limits", minor: 1000, card: "default", kind: contactless.OnlineRequest, cvm: contactless.CVMOnlinePIN, oda: "none",
			alter: func(a *simcard.Application) { a.Contactless.Program = []byte{0x31, 0x02, 0x09} },
			tap:   programmes},
		{name: "a programme that contactless is not for", minor: 1000, card: "default", kind: contactless.EndApplication,
			alter: func(a *simcard.Application) { a.Contactless.Program = []byte{0x31, 0x03} },
			tap:   programmes, cmds: 2},
		{name: "another programme", minor: 1000, card: "default", kind: contactless.Approved, cvm: contactless.CVMNoCVM, oda: "DDA ok",
			alter: func(a *simcard.Application) { a.Contactless.Program = []byte{0x32} },
			tap:   programmes},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTap(t, c.minor)
			if c.tap != nil {
				c.tap(p)
			}
			s := p.pay(t, taptest.Card(t, c.card, c.alter))
			out := s.Final()
			why := strings.Join(s.Outcome().Reasons, "; ")
			if out.Kind != c.kind || out.CVM != c.cvm {
				t.Errorf("outcome %s, want %s with %s: %s", out, c.kind, c.cvm, why)
			}
			if c.oda != "" && !strings.HasPrefix(s.Outcome().ODA.String(), c.oda) {
				t.Errorf("ODA %s, want %s", s.Outcome().ODA, c.oda)
			}
			if !strings.Contains(why, c.why) {
				t.Errorf("reasons %q, want %q among them", why, c.why)
			}
			if c.cmds != 0 && len(p.Commands) != max(c.cmds, 0) {
				t.Errorf("%d commands, want %d: %X", len(p.Commands), c.cmds, p.Commands)
			}
			if got := p.Saw(contactless.MessageCardReadOK); got != (out.Data != nil || out.Alternate == contactless.AlternateContact && c.card == "wrong-dda" || strings.Contains(c.name, "another interface") || strings.HasPrefix(c.name, "authentication for online")) {
				t.Errorf("card read OK shown: %t", got)
			}
		})
	}
}

type everyone struct{}

func (everyone) Listed(secret.PAN, string) bool { return true }

func programmes(p *tap) {
	p.config.Programs = append(p.config.Programs,
		program([]byte{0x31}, contactless.Settings{TransactionLimit: taptest.Limit(1)}),
		program([]byte{0x31, 0x02}, contactless.Settings{TransactionLimit: taptest.Limit(5000), FloorLimit: taptest.Limit(500), CVMLimit: taptest.Limit(500)}))
}

// TestIssuerUpdate brings the issuer's answer to the card by a second tap (5.9).
func TestIssuerUpdate(t *testing.T) {
	p := newTap(t, 2001)
	card := taptest.Card(t, "default", nil)
	s := p.pay(t, card)
	if s.Final().Start != contactless.StartB || s.Final().OnlineResponse != contactless.OnlineResponseEMV {
		t.Fatalf("outcome %s", s.Final())
	}
	before := len(p.Commands)
	o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: answer(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	if o.Decision != emv.Approved {
		t.Errorf("decision %s: %v", o.Decision, o.Reasons)
	}
	// Without the directory: the combination is the one of before.
	if got := p.Commands[before:]; len(got) != 2 || got[0][1] != 0xA4 || got[1][1] != 0x82 {
		t.Errorf("commands of the second tap: %X", got)
	}
	if len(o.Reasons) != 0 {
		t.Errorf("reasons %v", o.Reasons)
	}
	if !p.Saw(contactless.MessagePresentCardAgain) {
		t.Error("the cardholder was not asked to present the card again")
	}
}

func TestIssuerUpdateRefused(t *testing.T) {
	p := newTap(t, 2001)
	s := p.pay(t, taptest.Card(t, "default", nil))
	o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: make([]byte, 8)})
	if err != nil {
		t.Fatal(err)
	}
	if o.Decision != emv.Approved || !strings.Contains(strings.Join(o.Reasons, ";"), "did not accept") {
		t.Errorf("decision %s, reasons %v", o.Decision, o.Reasons)
	}
}

func TestNoIssuerUpdateWithoutData(t *testing.T) {
	p := newTap(t, 2001)
	s := p.pay(t, taptest.Card(t, "default", nil))
	before := len(p.Commands)
	o, err := s.Complete(t.Context(), emv.HostResponse{ARC: "05"})
	if err != nil {
		t.Fatal(err)
	}
	if o.Decision != emv.Declined || len(p.Commands) != before {
		t.Errorf("decision %s, %d commands more", o.Decision, len(p.Commands)-before)
	}
}

// TestCryptogramTypeWithoutCID takes the type from the issuer application data
// (5.4.3.1), also of an issuer's own layout.
func TestCryptogramTypeWithoutCID(t *testing.T) {
	for _, c := range []struct {
		iad  string
		kind contactless.Kind
	}{
		{"06011203A00000", contactless.OnlineRequest},
		{"06011A23A04004", contactless.OnlineRequest}, // the fourth byte is not the length
		{"06011A2310", contactless.Approved},
		{"06011A23804004", contactless.Declined},
		{"06011A23", contactless.Declined},
		{"1F220120000000" + strings.Repeat("00", 25), contactless.OnlineRequest},
	} {
		iad, err := hex.DecodeString(c.iad)
		if err != nil {
			t.Fatal(err)
		}
		p := newTap(t, 2001)
		if c.kind == contactless.Approved {
			p = newTap(t, 1000)
		}
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Answer: func(command, answer []byte) []byte {
				if command[1] != apdu.INSGetProcessingOptions {
					return answer
				}
				return withIAD(t, answer, iad)
			}}
		}
		if s := p.pay(t, taptest.Card(t, "default", nil)); s.Final().Kind != c.kind {
			t.Errorf("%s: outcome %s, want %s: %v", c.iad, s.Final(), c.kind, s.Outcome().Reasons)
		}
	}
}

// withIAD is a GET PROCESSING OPTIONS response with other issuer application data
// and no cryptogram information data.
func withIAD(t *testing.T, answer, iad []byte) []byte {
	n := len(answer) - 2
	template, ok := tlv.Find(answer[:n], tags.ResponseFormat2)
	if !ok {
		t.Errorf("answer %X", answer)
		return answer
	}
	var inner []byte
	for o, err := range tlv.All(template) {
		switch {
		case err != nil:
			t.Error(err)
		case o.Tag == tags.IssuerApplicationData:
			inner = tlv.Append(inner, o.Tag, iad)
		case o.Tag != tags.CID:
			inner = tlv.Append(inner, o.Tag, o.Value)
		}
	}
	return append(tlv.Append(nil, tags.ResponseFormat2, inner), answer[n:]...)
}

// between is a wedge before the reader's cards.
func between(command func([]byte), answer func(command, answer []byte) []byte) func(cardreader.Card) cardreader.Card {
	return func(card cardreader.Card) cardreader.Card {
		return taptest.Between{Card: card, Answer: answer, Command: func(b []byte) []byte {
			if command != nil {
				command(b)
			}
			return b
		}}
	}
}

// TestOfflineOnlyReader never goes online, whatever the card asks for (5.4.3.2,
// 5.6.3).
func TestOfflineOnlyReader(t *testing.T) {
	for _, c := range []struct {
		card  string
		alter func(*simcard.Application)
	}{
		{"default", func(a *simcard.Application) { a.Contactless.OnlineOnly = true }},
		{"wrong-dda", func(a *simcard.Application) { a.Contactless.CTQ = tags.CTQValue{0x20} }},
	} {
		p := newTap(t, 1000)
		p.ttq[0] |= 0x08
		// The card is told of a reader that can go online.
		p.Wedge = between(func(b []byte) {
			if b[1] == apdu.INSGetProcessingOptions {
				b[7] &^= 0x08
			}
		}, nil)
		if s := p.pay(t, taptest.Card(t, c.card, c.alter)); s.Final().Kind != contactless.Declined {
			t.Errorf("%s: outcome %s: %v", c.card, s.Final(), s.Outcome().Reasons)
		}
	}
}

// TestLastDay is the day of expiry: the card is good until its end (5.5.1.1).
func TestLastDay(t *testing.T) {
	for expiry, kind := range map[string]contactless.Kind{"261125": contactless.Approved, "261124": contactless.Declined} {
		p := newTap(t, 1000)
		s := p.pay(t, taptest.Card(t, "default", func(a *simcard.Application) { a.Expiry = expiry }))
		if s.Final().Kind != kind {
			t.Errorf("%s: outcome %s: %v", expiry, s.Final(), s.Outcome().Reasons)
		}
	}
}

// TestDeviceVerificationNotAuthenticated: a card that approves says that its
// device verified the holder, and gives nothing that authenticates it (5.7.1.2).
func TestDeviceVerificationNotAuthenticated(t *testing.T) {
	p := newTap(t, 1000)
	p.Wedge = between(nil, func(command, answer []byte) []byte {
		if command[1] == apdu.INSReadRecord {
			return bytes.ReplaceAll(answer, []byte{0x9F, 0x69}, []byte{0xDF, 0x69})
		}
		return answer
	})
	s := p.pay(t, taptest.Card(t, "phone-unlocked", func(a *simcard.Application) {
		a.Contactless.OnlineOnly = false
		a.Contactless.CTQ = tags.CTQValue{0x20} // online if authentication fails
	}))
	why := strings.Join(s.Outcome().Reasons, "; ")
	if s.Final().Kind != contactless.Declined || !strings.Contains(why, "not authenticated") {
		t.Errorf("outcome %s: %s", s.Final(), why)
	}
}
