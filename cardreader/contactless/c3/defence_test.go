package c3_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c3"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TestOnlineWasRequired: the reader required an online cryptogram, and somebody has
// the card approve offline: the issuer is asked all the same (5.4.3.2).
func TestOnlineWasRequired(t *testing.T) {
	p := newTap(t, 2001)
	p.Wedge = func(card cardreader.Card) cardreader.Card {
		return taptest.Between{Card: card, Command: func(b []byte) []byte {
			if b[1] == apdu.INSGetProcessingOptions {
				b[8] &^= 0x80 // 9F66 is the first of the list
			}
			return b
		}}
	}
	s := p.pay(t, taptest.Card(t, "default", nil))
	if s.Final().Kind != contactless.OnlineRequest || s.Outcome().CryptogramType != tags.TC {
		t.Errorf("outcome %s with a %s: %v", s.Final(), s.Outcome().CryptogramType, s.Outcome().Reasons)
	}
}

// TestReaderWithoutPIN: a card that wants an online PIN at a reader that takes none
// is not paid with, unless the reader wants nobody verified.
func TestReaderWithoutPIN(t *testing.T) {
	for minor, want := range map[int64]contactless.Kind{5000: contactless.Declined, 2001: contactless.OnlineRequest} {
		p := newTap(t, minor)
		p.ttq[0] &^= 0x06
		s := p.pay(t, taptest.Card(t, "default", func(a *simcard.Application) { a.Contactless.Signature, a.Contactless.OnlinePIN = false, true }))
		if s.Final().Kind != want || s.Final().CVM == contactless.CVMOnlinePIN {
			t.Errorf("%d: outcome %s: %v", minor, s.Final(), s.Outcome().Reasons)
		}
	}
}

// TestFormFactor: how the reader reached the device is not the issuer's to read in
// the card's form factor (4.1.1.1).
func TestFormFactor(t *testing.T) {
	p := newTap(t, 2001)
	p.Wedge = func(card cardreader.Card) cardreader.Card {
		return taptest.Between{Card: card, Answer: func(_, answer []byte) []byte {
			return bytes.ReplaceAll(answer, []byte{0x9F, 0x6E, 4, 0x20, 0x70, 0, 0}, []byte{0x9F, 0x6E, 4, 0x20, 0x70, 0, 0xA5})
		}}
	}
	s := p.pay(t, taptest.Card(t, "default", nil))
	if got := fmt.Sprintf("%X", s.Field55(tags.FormFactorIndicator)); got != "9F6E04207000A0" {
		t.Errorf("form factor %s", got)
	}
}

// TestNothingToAuthenticate: a card that can't be authenticated for online goes
// there as it is.
func TestNothingToAuthenticate(t *testing.T) {
	p := newTap(t, 2001)
	p.ttq[0] |= 0x01
	s := p.pay(t, taptest.Card(t, "default", func(a *simcard.Application) { a.Contactless.NoAuthentication = true }))
	if s.Final().Kind != contactless.OnlineRequest || s.Outcome().ODA.String() != "none" {
		t.Errorf("outcome %s, %s: %v", s.Final(), s.Outcome().ODA, s.Outcome().Reasons)
	}
}

// TestWithoutQualifiers: a card that does not ask for the reader's qualifiers is
// not this kernel's, under another scheme's name than Visa's too.
func TestWithoutQualifiers(t *testing.T) {
	aid := []byte{0xA0, 0x00, 0x00, 0x00, 0x04, 0x10, 0x10}
	p := newTap(t, 1000)
	p.Wedge = func(card cardreader.Card) cardreader.Card {
		return taptest.Between{Card: card, Answer: func(command, answer []byte) []byte {
			if command[1] == apdu.INSSelect {
				answer = bytes.ReplaceAll(answer, []byte{0x9F, 0x66, 4}, []byte{0x9F, 0x7D, 4})
			}
			return answer
		}}
	}
	p.config.Accounts = nil
	k, err := c3.New(p.config)
	if err != nil {
		t.Fatal(err)
	}
	set := p.settings
	set.TTQ = &p.ttq
	p.Combinations = []contactless.Combination{{AID: aid, Kernel: contactless.Kernel3, Settings: set, Run: k}}
	s := p.Pay(t, taptest.Card(t, "default", func(a *simcard.Application) { a.AID = aid }))
	why := strings.Join(s.Outcome().Reasons, "; ")
	if s.Final().Kind != contactless.EndApplication || !strings.Contains(why, "does not ask for the terminal's qualifiers") || len(p.Commands) != 2 {
		t.Errorf("outcome %s: %s", s.Final(), why)
	}
}

// TestPINNotGiven: a PIN that is not there declines, and says why.
func TestPINNotGiven(t *testing.T) {
	for want, pin := range map[string]emv.PINVerifier{
		"the PIN was not entered":      taptest.Pad(emv.PINBypassed),
		"the PIN pad does not work":    taptest.Pad(emv.PINPadFailed),
		"there is no PIN pad":          nil,
		"context canceled, from a pad": failing{},
	} {
		p := newTap(t, 5000)
		p.PIN = pin
		if _, ok := pin.(failing); ok {
			k, err := c3.New(p.config)
			if err != nil {
				t.Fatal(err)
			}
			set := p.settings
			set.TTQ = &p.ttq
			p.Combinations = []contactless.Combination{{AID: []byte{0xA0, 0, 0, 0, 3, 0x10, 0x10}, Kernel: contactless.Kernel3, Settings: set, Run: k}}
			if _, err := p.Reader(t).Pay(t.Context(), simcard.NewField("field", taptest.Card(t, "default", nil)), p.Transaction); err == nil || !strings.Contains(err.Error(), "online PIN") {
				t.Errorf("a pad that fails: %v", err)
			}
			continue
		}
		s := p.pay(t, taptest.Card(t, "default", nil))
		why := strings.Join(s.Outcome().Reasons, "; ")
		if s.Decision() != emv.Declined || s.Outcome().ARC != "Z1" || !strings.Contains(why, want) || !p.Saw(contactless.MessageNotAuthorised) {
			t.Errorf("decision %s, %s: %s", s.Decision(), s.Outcome().ARC, why)
		}
	}
}

type failing struct{}

func (failing) VerifyPIN(context.Context, emv.PINRequest) (emv.PINResult, error) {
	return emv.PINResult{}, context.Canceled
}

// TestAnswerAndData: the issuer's answer is brought to the card when there is one,
// and leaves what was read for the completion.
func TestAnswerAndData(t *testing.T) {
	for _, unable := range []bool{false, true} {
		p := newTap(t, 2001)
		s := p.pay(t, taptest.Card(t, "default", nil))
		before := len(p.Commands)
		r := emv.HostResponse{ARC: "00", IssuerAuthenticationData: answer(t, s), Unable: unable}
		if _, err := s.Complete(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if brought := len(p.Commands) > before; brought == unable {
			t.Errorf("unable %t: commands %X", unable, p.Commands[before:])
		}
		if b := s.Field55(tags.ATC); len(b) != 3+2 {
			t.Errorf("unable %t: field 55 has %X", unable, b)
		}
		if v, ok := tlv.Find(s.Field55(tags.ApplicationCryptogram), tags.ApplicationCryptogram); !ok || bytes.Equal(v, make([]byte, 8)) {
			t.Errorf("unable %t: the cryptogram is gone", unable)
		}
		if s.Authorize().PAN.IsZero() {
			t.Errorf("unable %t: the number is gone", unable)
		}
	}
}
