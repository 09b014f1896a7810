package c2_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

// resigned is a card that signs one cryptogram information and says another: the
// answer to GENERATE AC is made anew under the card's own key. The card has no
// PDOL and takes no part in relay resistance.
func resigned(t *testing.T, outside, inside byte) func(cardreader.Card) cardreader.Card {
	return func(card cardreader.Card) cardreader.Card {
		return taptest.Between{Card: card, Answer: func(command, answer []byte) []byte {
			if command[1] != apdu.INSGenerateAC {
				return answer
			}
			body, _, err := tlv.Child(answer[:len(answer)-2], tags.ResponseFormat2)
			if err != nil {
				t.Fatal(err)
			}
			cdol1 := command[5 : 5+int(command[4])]
			var rest []byte
			for o, err := range tlv.All(body) {
				switch {
				case err != nil:
					t.Fatal(err)
				case o.Tag == tags.CID:
					rest = tlv.Append(rest, tags.CID, []byte{outside})
				case o.Tag != tags.SignedDynamicData:
					rest = tlv.Append(rest, o.Tag, o.Value)
				}
			}
			key := testkeys.PKI().ICC
			// 9F37 is the fourth last of the amounts, before 9F35 and 9F34.
			un := cdol1[len(cdol1)-8 : len(cdol1)-4]
			block, err := oda.BuildCDA([]byte{1, 2, 3, 4, 5, 6, 7, 8}, inside, [8]byte{1}, oda.TransactionData(nil, cdol1, nil, rest), un, key.Len())
			if err != nil {
				t.Fatal(err)
			}
			sig, err := key.Apply(block)
			if err != nil {
				t.Fatal(err)
			}
			return append(tlv.Append(nil, tags.ResponseFormat2, tlv.Append(rest, tags.SignedDynamicData, sig)), 0x90, 0x00)
		}}
	}
}

// TestSignedInformation: the cryptogram information that counts is the signed one,
// and it has to be the one outside, bit by bit; what is below its type makes no
// other type of it (Book C-2, S9.23 and S910.6).
func TestSignedInformation(t *testing.T) {
	for _, c := range []struct {
		minor           int64
		outside, inside byte
		kind            contactless.Kind
		why             string
	}{
		{1000, 0x40, 0x40, contactless.Approved, ""},
		{1000, 0x48, 0x48, contactless.Approved, ""},
		{1000, 0x7F, 0x7F, contactless.Approved, ""},
		{1000, 0x80, 0x80, contactless.OnlineRequest, ""},
		{1000, 0x8F, 0x8F, contactless.OnlineRequest, ""},
		{1000, 0x40, 0x80, contactless.EndApplication, "not the one outside"},
		{1000, 0x80, 0x40, contactless.EndApplication, "not the one outside"},
		{1000, 0x40, 0x48, contactless.EndApplication, "not the one outside"},
		{1000, 0x40, 0x41, contactless.EndApplication, "not the one outside"},
		{2001, 0x80, 0x80, contactless.OnlineRequest, ""},
		{2001, 0x88, 0x88, contactless.OnlineRequest, ""},
		{2001, 0x80, 0x00, contactless.EndApplication, "not the one outside"},
		{2001, 0x48, 0x48, contactless.EndApplication, "answers ARQC with TC"},
		{2001, 0xC0, 0xC0, contactless.EndApplication, "answers ARQC with"},
	} {
		p := newTap(t, c.minor, nil)
		p.Wedge = resigned(t, c.outside, c.inside)
		s := p.Pay(t, taptest.Card(t, "mchip", func(a *simcard.Application) { a.Contactless.Relay = nil }))
		why := strings.Join(s.Outcome().Reasons, "; ")
		if s.Final().Kind != c.kind || !strings.Contains(why, c.why) {
			t.Errorf("%02X outside, %02X inside: outcome %s: %s", c.outside, c.inside, s.Final(), why)
		}
	}
}

// TestSignedRefusal: a card that signs every cryptogram is asked for a signature
// over a refusal too, and one that does not give it is not believed; the others
// are not asked (Book C-2, A.1.9 and S910.35).
func TestSignedRefusal(t *testing.T) {
	for _, c := range []struct {
		aci       byte
		denied    bool
		reference byte
		kind      contactless.Kind
		why       string
	}{
		{0x02, false, apdu.RefTC | apdu.RefCDA, contactless.Approved, ""},
		{0x03, false, apdu.RefTC | apdu.RefCDA, contactless.Approved, ""},
		{0x02, true, apdu.RefAAC, contactless.TryAnotherInterface, "action code"},
		{0x03, true, apdu.RefAAC | apdu.RefCDA, contactless.EndApplication, "asked for and missing"},
	} {
		p := newTap(t, 1000, func(k *c2.Config) {
			if c.denied {
				k.Application.TACDenial = [5]byte{0, 0, 0, 0, 0x01}
			}
		})
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Answer: func(_, answer []byte) []byte {
				return bytes.ReplaceAll(answer, []byte{0x9F, 0x5D, 3, 0, 2, 0}, []byte{0x9F, 0x5D, 3, 0, c.aci, 0})
			}}
		}
		s := p.Pay(t, taptest.Card(t, "mchip-balance", func(a *simcard.Application) { a.Contactless.Relay = nil }))
		why := strings.Join(s.Outcome().Reasons, "; ")
		if s.Final().Kind != c.kind || !strings.Contains(why, c.why) {
			t.Errorf("%02X: outcome %s: %s", c.aci, s.Final(), why)
		}
		for _, b := range p.Commands {
			if b[1] == apdu.INSGenerateAC && b[2] != c.reference {
				t.Errorf("%02X: GENERATE AC with reference %02X, want %02X", c.aci, b[2], c.reference)
			}
		}
	}
	// A card that declines by itself need not sign that.
	p := newTap(t, 1000, nil)
	s := p.Pay(t, taptest.Card(t, "mchip", func(a *simcard.Application) { a.DeclineFirst = true }))
	if s.Final().Kind != contactless.TryAnotherInterface {
		t.Errorf("a refusal without a signature: outcome %s: %v", s.Final(), s.Outcome().Reasons)
	}
}

// TestRecoveredForm: an answer that is recovered names its data; one in format 1,
// as cards of long ago give, is no answer to RECOVER AC.
func TestRecoveredForm(t *testing.T) {
	for _, one := range []bool{false, true} {
		p := newTap(t, 2001, nil)
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return taptest.Between{Card: card, Answer: func(command, answer []byte) []byte {
				if command[1] != 0xD0 || !one {
					return answer
				}
				var v []byte
				for _, tag := range []tlv.Tag{tags.CID, tags.ATC, tags.ApplicationCryptogram, tags.IssuerApplicationData} {
					o, ok := tlv.Find(answer[:len(answer)-2], tag)
					if !ok {
						t.Fatalf("no %s", tag)
					}
					v = append(v, o...)
				}
				return append(tlv.Append(nil, tags.ResponseFormat1, v), 0x90, 0x00)
			}}
		}
		tear := simcard.Fault{Action: simcard.RemoveAfter, At: simcard.OnFirstGAC, Nth: 1}
		s := p.Pay(t, taptest.Card(t, "mchip", func(a *simcard.Application) { a.Contactless.NoAuthentication = true }, tear))
		why := strings.Join(s.Outcome().Reasons, "; ")
		want := map[bool]contactless.Kind{false: contactless.OnlineRequest, true: contactless.EndApplication}[one]
		if s.Final().Kind != want || one && !strings.Contains(why, "not format 2") || !bytes.Contains(p.Instructions(0), []byte{0xD0}) {
			t.Errorf("format 1 %t: outcome %s: %s", one, s.Final(), why)
		}
	}
}

// TestTimeOnTheAir: what the radio takes is taken off the time that was measured,
// the card's own figure or the reader's, whichever is less: a card, or who speaks
// for it, can't make room for a relay by saying that its radio is slow (SR1.18).
func TestTimeOnTheAir(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		transmission, takes time.Duration
		tvr                 string
		measured            string
	}{
		// The reader's: 1.8 ms to send and 2.4 ms to receive.
		{2400 * time.Microsecond, 9200 * time.Microsecond, "0000000002", "0032"},
		{4800 * time.Microsecond, 9200 * time.Microsecond, "0000000002", "0032"},
		{4800 * time.Microsecond, 14300 * time.Microsecond, "0000000006", "0065"},
		{4800 * time.Microsecond, 16600 * time.Microsecond, "0000000006", "007C"},
		// A quicker radio than the reader's leaves less to it.
		{1200 * time.Microsecond, 9200 * time.Microsecond, "0000000002", "003E"},
		{1200 * time.Microsecond, 13 * ms, "0000000002", "0064"},
		{1200 * time.Microsecond, 13100 * time.Microsecond, "0000000006", "0065"},
		{1200 * time.Microsecond, 4 * ms, "0000000002", "000A"},
		{1200 * time.Microsecond, 1 * ms, "0000000002", "0000"},
	} {
		w := &watch{taptest.Now()}
		p := newTap(t, 1000, nil)
		p.Clock = w.Now
		p.Wedge = func(card cardreader.Card) cardreader.Card {
			return &slow{Card: card, w: w, takes: func(int) time.Duration { return c.takes }}
		}
		s := p.Pay(t, taptest.Card(t, "mchip", func(a *simcard.Application) {
			r := *a.Contactless.Relay
			r.Transmission = c.transmission
			a.Contactless.Relay = &r
		}))
		if got := s.Outcome().TVR.String(); got != c.tvr {
			t.Errorf("%s on the air, %s in all: TVR %s, want %s", c.transmission, c.takes, got, c.tvr)
		}
		if got := fmt.Sprintf("%X", s.Field55(tags.RelayMeasured)); !strings.HasSuffix(got, c.measured) || len(got) != 12 {
			t.Errorf("%s on the air, %s in all: measured %s, want %s", c.transmission, c.takes, got, c.measured)
		}
	}
}

// TestTornOfAnotherCard: two cards of one account are told apart by their sequence
// numbers, in the log of torn transactions too.
func TestTornOfAnotherCard(t *testing.T) {
	p := newTap(t, 1000, nil)
	r := p.Reader(t)
	first := taptest.Card(t, "mchip", nil, simcard.Fault{Action: simcard.RemoveAfter, At: simcard.OnFirstGAC, Nth: 1})
	second := taptest.Card(t, "mchip", func(a *simcard.Application) { a.PSN = 7 })
	field := simcard.NewField("field", first)
	e := r.Begin(p.Field(field), p.Transaction)
	if _, err := e.Activate(t.Context(), contactless.StartA, nil); err != nil {
		t.Fatal(err)
	}
	field.Take(first)
	field.Hold(second)
	before := len(p.Commands)
	out, err := e.Activate(t.Context(), contactless.StartB, nil)
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	if out.Kind != contactless.Approved || bytes.Contains(p.Instructions(before), []byte{0xD0}) {
		t.Errorf("outcome %s, commands %X", out, p.Instructions(before))
	}
}

// wedgeRecord alters the records of a card.
func wedgeRecord(alter func(record []byte) []byte) func(cardreader.Card) cardreader.Card {
	return func(card cardreader.Card) cardreader.Card {
		return taptest.Between{Card: card, Answer: func(command, answer []byte) []byte {
			if command[1] != apdu.INSReadRecord || len(answer) < 2 {
				return answer
			}
			body, ok, err := tlv.Child(answer[:len(answer)-2], tags.RecordTemplate)
			if err != nil || !ok {
				return answer
			}
			return append(tlv.Append(nil, tags.RecordTemplate, alter(bytes.Clone(body))), 0x90, 0x00)
		}}
	}
}

// TestCardDataJudged: what a card must not say, and what is not the card's to say.
func TestCardDataJudged(t *testing.T) {
	// Without a signature nothing else notices that the data are altered.
	unsigned := func(a *simcard.Application) { a.Contactless.NoAuthentication = true }
	number := func(record []byte, digit byte) []byte {
		if v, ok := tlv.Find(record, tags.PAN); ok {
			v[7] = v[7]&0xF0 | digit
		}
		return record
	}
	add := func(tag tlv.Tag, v ...byte) func([]byte) []byte {
		done := false
		return func(record []byte) []byte {
			if done {
				return record
			}
			done = true
			return tlv.Append(record, tag, v)
		}
	}
	for _, c := range []struct {
		name  string
		alter func([]byte) []byte
		kind  contactless.Kind
		why   string
		check func(*contactless.Session) string
	}{
		{"as it is", func(b []byte) []byte { return b }, contactless.OnlineRequest, "", nil},
		{"a number that is not the track's", func(b []byte) []byte { return number(b, 9) }, contactless.EndApplication, "not of the card number in 5A", nil},
		{"the expiry twice", func(b []byte) []byte {
			if v, ok := tlv.Find(b, tags.ExpirationDate); ok {
				return tlv.Append(b, tags.ExpirationDate, v)
			}
			return b
		}, contactless.EndApplication, "given twice", nil},
		{"the expiry in two records", add(tags.ExpirationDate, 0x49, 0x12, 0x31), contactless.EndApplication, "given twice", nil},
		{"the terminal's amount", add(tags.AmountAuthorised, 0, 0, 0, 0, 0, 1), contactless.OnlineRequest, "", amountSent},
		{"the terminal's unpredictable number", add(tags.UnpredictableNumber, 0, 0, 0, 0), contactless.OnlineRequest, "", amountSent},
		{"the terminal's verification results", add(tags.TVR, 0, 0, 0, 0, 0), contactless.OnlineRequest, "", amountSent},
		{"what the terminal does not say of itself", add(tags.IFDSerialNumber, []byte("12345678")...), contactless.OnlineRequest, "", func(s *contactless.Session) string {
			if b := s.Field55(tags.IFDSerialNumber); len(b) > 0 {
				return fmt.Sprintf("the terminal's serial number is the card's: %X", b)
			}
			return ""
		}},
		{"authentication over something else", func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte{0x9F, 0x4A, 1, 0x82}, []byte{0x9F, 0x4A, 1, 0x57})
		}, contactless.OnlineRequest, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTap(t, 2001, nil)
			p.Wedge = wedgeRecord(c.alter)
			s := p.Pay(t, taptest.Card(t, "mchip", unsigned))
			why := strings.Join(s.Outcome().Reasons, "; ")
			if s.Final().Kind != c.kind || !strings.Contains(why, c.why) {
				t.Errorf("outcome %s: %s", s.Final(), why)
			}
			if c.check != nil {
				if got := c.check(s); got != "" {
					t.Error(got)
				}
			}
		})
	}
	// A list of what is authenticated beside the records that has more than the
	// AIP ends the application before a signature is looked at (S456.27).
	p := newTap(t, 2001, nil)
	p.Wedge = wedgeRecord(func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte{0x9F, 0x4A, 1, 0x82}, []byte{0x9F, 0x4A, 1, 0x57})
	})
	s := p.Pay(t, taptest.Card(t, "mchip", nil))
	if why := strings.Join(s.Outcome().Reasons, "; "); s.Final().Kind != contactless.EndApplication || !strings.Contains(why, "something else than the AIP") || bytes.Contains(p.Instructions(0), []byte{apdu.INSGenerateAC}) {
		t.Errorf("outcome %s: %s, commands %X", s.Final(), why, p.Instructions(0))
	}
}

// amountSent says what is wrong with the terminal's data in field 55.
func amountSent(s *contactless.Session) string {
	if got := fmt.Sprintf("%X", s.Field55(tags.AmountAuthorised)); got != "9F0206000000002001" {
		return "the amount is " + got
	}
	if got := fmt.Sprintf("%X", s.Field55(tags.UnpredictableNumber)); got == "9F370400000000" {
		return "the unpredictable number is the card's"
	}
	if got := fmt.Sprintf("%X", s.Field55(tags.TVR)); got == "95050000000000" {
		return "the verification results are the card's"
	}
	return ""
}
