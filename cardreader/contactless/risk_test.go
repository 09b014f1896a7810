package contactless_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
)

// TestRisks is what each way to pay leaves open, word for word: a merchant decides
// by it.
func TestRisks(t *testing.T) {
	const (
		relay   = "how far away the card is was not measured: a relay would not be noticed"
		far     = "the card may be farther away than the reader's field: its answer took too long"
		nothing = "nothing of the card was authenticated here: its number, dates and "
		visa    = nothing + "qualifiers are its word until the issuer answers"
		list    = nothing + "verification list are its word until the issuer answers"
		sign    = "that a signature will do is the card's word"
		device  = "that the device verified its holder is its word: the issuer sees in the cryptogram whether it did"
		inside  = "that the device verified its holder is in the cryptogram, which the issuer alone reads"
	)
	unsigned := func(a *simcard.Application) { a.Contactless.NoAuthentication = true }
	for _, c := range []struct {
		name  string
		minor int64
		ttq   tags.TTQValue
		card  string
		alter func(*simcard.Application)
		want  []string
	}{
		{"offline, authenticated", 1000, full, "default", nil, []string{relay}},
		{"online", 2001, full, "default", nil, []string{relay, visa}},
		{"online, authenticated", 2001, withODA, "default", nil, []string{relay}},
		{"signature", 6000, full, "tap-signature", nil, []string{relay, visa, sign}},
		{"signature without qualifiers is the reader's choice", 6000, full, "tap-signature", func(a *simcard.Application) { a.Contactless.NoCTQ = true }, []string{relay, visa}},
		{"the device's word", 6000, full, "phone-unlocked", nil, []string{relay, visa, device}},
		{"M/Chip", 1000, full, "mchip", nil, nil},
		{"M/Chip that can't measure", 1000, full, "mchip", func(a *simcard.Application) { a.Contactless.Relay = nil }, []string{relay}},
		{"M/Chip whose radio is another", 1000, full, "mchip", func(a *simcard.Application) {
			r := *a.Contactless.Relay
			r.Transmission *= 4
			a.Contactless.Relay = &r
		}, []string{far}},
		{"M/Chip without a signature", 1000, full, "mchip", unsigned, []string{list}},
		{"an M/Chip phone", 6000, full, "mchip-phone", nil, []string{inside}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := shop(t, c.minor, c.ttq).Pay(t, taptest.Card(t, c.card, c.alter))
			if d := cmp.Diff(c.want, s.Outcome().Risks); d != "" {
				t.Errorf("%s: risks (-want +got):\n%s", s.Final(), d)
			}
		})
	}
}

// TestAnotherName has the card's answer to SELECT be about another application.
func TestAnotherName(t *testing.T) {
	for _, card := range []string{"default", "mchip"} {
		p := shop(t, 1000, full)
		p.Wedge = wedge(nil, rewrite(apdu.INSSelect, tags.DFName, func(v []byte) {
			if v[0] == 0xA0 {
				v[len(v)-1] ^= 0x30
			}
		}))
		if s := p.Pay(t, taptest.Card(t, card, nil)); s.Final().Kind != contactless.EndApplication {
			t.Errorf("%s: outcome %s", card, s.Final())
		}
	}
}

// TestListOfAuthenticatedData: a list of static data that names more than the AIP
// is a breach (Book C-2, S456.27).
func TestListOfAuthenticatedData(t *testing.T) {
	p := shop(t, 1000, full)
	p.Wedge = wedge(nil, rewrite(0xB2, tags.SDATagList, func(v []byte) { v[0] = 0x84 }))
	if s := p.Pay(t, taptest.Card(t, "mchip", nil)); s.Final().Kind != contactless.EndApplication || !bytes.Contains([]byte(reasons(s)), []byte("something else than the AIP")) {
		t.Errorf("outcome %s: %s", s.Final(), reasons(s))
	}
}

// TestApprovalNotTaken: an issuer's approval that the unit does not take is none
// at the second tap either.
func TestApprovalNotTaken(t *testing.T) {
	p := shop(t, 6000, full)
	s := p.Pay(t, taptest.Card(t, "default", func(a *simcard.Application) { a.Contactless.IssuerUpdate = true }))
	p.Shown = nil
	o, err := s.Complete(t.Context(), emv.HostResponse{ARC: "00", IssuerAuthenticationData: make([]byte, 10)})
	if err != nil {
		t.Fatal(err)
	}
	if o.Decision != emv.Declined || p.Saw(contactless.MessageApproved) || !p.Saw(contactless.MessagePresentCardAgain) {
		t.Errorf("decision %s, shown %v", o.Decision, p.Shown)
	}
}

// TestNoIssuerUpdateHere: a reader without it does not ask for a second tap.
func TestNoIssuerUpdateHere(t *testing.T) {
	s := shop(t, 6000, tags.TTQValue{0x26, 0x00, 0x40, 0x00}).Pay(t, taptest.Card(t, "default", func(a *simcard.Application) { a.Contactless.IssuerUpdate = true }))
	if f := s.Final(); f.Kind != contactless.OnlineRequest || f.Start != contactless.StartNone || f.OnlineResponse != contactless.OnlineResponseNone {
		t.Errorf("outcome %s", f)
	}
}

// TestNotNow: 6985 to GET PROCESSING OPTIONS passes the application over (Book
// C-3, 5.2.2.2).
func TestNotNow(t *testing.T) {
	p := shop(t, 1000, full)
	p.Wedge = func(c cardreader.Card) cardreader.Card {
		return taptest.Between{Card: c, Answer: func(command, answer []byte) []byte {
			if command[1] == apdu.INSGetProcessingOptions {
				return []byte{0x69, 0x85}
			}
			return answer
		}}
	}
	s := p.Pay(t, taptest.Card(t, "default", nil))
	if !bytes.Contains([]byte(reasons(s)), []byte("does not want this application now")) || !bytes.Contains([]byte(reasons(s)), []byte("no application in common")) {
		t.Errorf("outcome %s: %s", s.Final(), reasons(s))
	}
}
