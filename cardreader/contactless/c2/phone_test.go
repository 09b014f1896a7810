package c2_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/simcard"
)

// TestInteraction is the device's interaction information (Book C-2, S910.71 to
// S910.73): which bits ask for a second tap, and what the cardholder is told.
func TestInteraction(t *testing.T) {
	const see, declined = "20", "07"
	for _, c := range []struct {
		info  [3]byte
		again bool
		shown string
	}{
		{[3]byte{0, 0x01, 0}, true, see},
		{[3]byte{0, 0x02, 0}, true, see},
		{[3]byte{0, 0x03, 0}, true, see},
		{[3]byte{0, 0, 0x01}, true, see},
		{[3]byte{0, 0, 0x02}, true, declined},
		{[3]byte{0, 0, 0x04}, true, declined},
		{[3]byte{0, 0, 0x08}, true, declined},
		{[3]byte{0, 0x08, 0x08}, true, see},
		{[3]byte{0, 0x04, 0x02}, true, see},
		{[3]byte{0, 0, 0x10}, false, declined},
		{[3]byte{0, 0, 0xF0}, false, declined},
		{[3]byte{0, 0x04, 0}, false, declined},
		{[3]byte{0, 0x08, 0}, false, declined},
		{[3]byte{0, 0xFC, 0}, false, declined},
		{[3]byte{0xFF, 0, 0}, false, declined},
		{[3]byte{}, false, declined},
	} {
		p := newTap(t, 5001, nil)
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Answer: func(_, answer []byte) []byte {
				return bytes.ReplaceAll(answer, []byte{0xDF, 0x4B, 3, 0, 1, 0}, append([]byte{0xDF, 0x4B, 3}, c.info[:]...))
			}}
		}
		r := p.Reader(t)
		e := r.Begin(p.Field(simcard.NewField("field", taptest.Card(t, "mchip-phone", nil))), p.Transaction)
		out, err := e.Activate(t.Context(), contactless.StartA, nil)
		if err := errors.Join(err, e.Close()); err != nil {
			t.Fatal(err)
		}
		again := out.Kind == contactless.EndApplication && out.Start == contactless.StartB
		if again != c.again || !again && out.Kind != contactless.Declined {
			t.Errorf("%X: outcome %s, want again %t", c.info, out, c.again)
		}
		var shown []string
		for _, u := range p.Shown {
			if u.Message == contactless.MessageSeePhone || u.Message == contactless.MessageNotAuthorised {
				shown = append(shown, fmt.Sprintf("%02X %s %s", byte(u.Message), u.Status, u.Hold))
			}
		}
		if d := cmp.Diff([]string{c.shown + " not ready 1.3s"}, shown); d != "" {
			t.Errorf("%X: shown (-want +got):\n%s", c.info, d)
		}
		if again && (out.UIRestart == nil || fmt.Sprintf("%02X", byte(out.UIRestart.Message)) != c.shown || out.UIRestart.Status != contactless.StatusReadyToRead || out.UIRestart.Hold != 0 || out.CVM != contactless.CVMNone) {
			t.Errorf("%X: %s, on restart %+v", c.info, out, out.UIRestart)
		}
	}
}

// TestPhoneMessages puts another table in the place of the book's.
func TestPhoneMessages(t *testing.T) {
	rest := c2.PhoneMessage{Message: contactless.MessageProcessingError, Status: contactless.StatusProcessingError}
	for _, c := range []struct {
		table []c2.PhoneMessage
		want  contactless.MessageID
		why   string
	}{
		{[]c2.PhoneMessage{{Mask: [3]byte{0, 1, 0}, Value: [3]byte{0, 1, 0}, Message: contactless.MessageInsertCard}, rest}, contactless.MessageInsertCard, ""},
		{[]c2.PhoneMessage{{Mask: [3]byte{0, 3, 0}, Value: [3]byte{0, 2, 0}, Message: contactless.MessageInsertCard}, rest}, contactless.MessageProcessingError, ""},
		{[]c2.PhoneMessage{{Mask: [3]byte{1, 1, 0}, Value: [3]byte{1, 1, 0}, Message: contactless.MessageInsertCard}, rest}, contactless.MessageProcessingError, ""},
		{[]c2.PhoneMessage{{Mask: [3]byte{0, 1, 1}, Value: [3]byte{0, 1, 1}, Message: contactless.MessageInsertCard}, rest}, contactless.MessageProcessingError, ""},
		{[]c2.PhoneMessage{rest}, contactless.MessageProcessingError, ""},
		{[]c2.PhoneMessage{}, 0, "does not fit everything"},
		{[]c2.PhoneMessage{rest, {Mask: [3]byte{0, 0, 1}}}, 0, "does not fit everything"},
		{[]c2.PhoneMessage{rest, {Value: [3]byte{0, 0, 1}}}, 0, "does not fit everything"},
	} {
		if c.why != "" {
			if _, err := c2.New(c2.Config{CAKeys: noKeys{}, PhoneMessages: c.table}); !errors.Is(err, contactless.ErrConfig) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%+v: %v", c.table, err)
			}
			continue
		}
		p := newTap(t, 5001, func(k *c2.Config) { k.PhoneMessages = c.table })
		p.Pay(t, taptest.Card(t, "mchip-phone", nil))
		if !p.Saw(c.want) || p.Saw(contactless.MessageSeePhone) {
			t.Errorf("shown %v, want %s", p.Shown, c.want)
		}
	}
}

// TestThirdPartyData: a device type is where the third party data have no unique
// identifier; else those bytes are the third party's, and the card has contacts
// (Book C-2, A.1.172).
func TestThirdPartyData(t *testing.T) {
	for _, c := range []struct {
		id   byte
		form string
		want contactless.Kind
	}{
		{0x00, "01", contactless.Declined},
		{0x00, "00", contactless.TryAnotherInterface},
		{0x80, "01", contactless.TryAnotherInterface},
	} {
		p := newTap(t, 100, nil)
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Answer: func(_, answer []byte) []byte {
				at := bytes.Index(answer, []byte{0x9F, 0x6E, 6})
				if at > 0 {
					answer[at+5] = c.id
					copy(answer[at+7:], c.form)
				}
				return answer
			}}
		}
		s := p.Pay(t, taptest.Card(t, "mchip-phone", func(a *simcard.Application) { a.DeclineFirst, a.Contactless.NoAuthentication = true, true }))
		if s.Final().Kind != c.want {
			t.Errorf("%02X, %s: outcome %s: %v", c.id, c.form, s.Final(), s.Outcome().Reasons)
		}
	}
}
