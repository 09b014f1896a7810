package emv_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/cardtest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/payment/money"
)

// TestRecordedVisa is a Visa test card's transaction as another terminal recorded
// it (github.com/binaryfoo/emv-bertlv, contact-visa): a dollar card in Australia,
// no data authentication, an issuer whose answer the card refuses with 6700.
//
// The recording has TVR 00 00 00 80 00 in both GENERATE AC. A card without any
// method of data authentication has "was not performed" set (Book 3, 10.3), so
// the book wins and the commands here differ in that bit. The recording's GET
// DATA for the PIN try counter belongs to a terminal with offline PIN.
func TestRecordedVisa(t *testing.T) {
	const name = "A0000000031010"
	const description = "6F168407A0000000031010A50B50095649534120544553549000"
	card := cardtest.Script(t,
		cardtest.Step{Command: "00A404000E315041592E5359532E444446303100", Response: "6A82"},
		cardtest.Step{Command: "00A4040007" + name + "00", Response: description},
		cardtest.Step{Command: "00A4040007" + name + "00", Response: description},
		cardtest.Step{Command: "80A8000002830000", Response: "800E1C000801010010010100180304009000"},
		cardtest.Step{Command: "00B2010C00", Response: "703857104761340000000050D1712201125234515F20104341524420352F5649534120544553549F1F10313235323330303435313030303030309000"},
		cardtest.Step{Command: "00B2011400", Response: "70625A0847613400000000508C159F02069F03069F1A0295055F2A029A039C019F37048D178A029F02069F03069F1A0295055F2A029A039C019F37045F24031712319F0702FF809F0802008C9F0D0500000000009F0E0500000000009F0F0500000000009000"},
		cardtest.Step{Command: "00B2031C00", Response: "70128E100000000000000000410342031E031F029000"},
		cardtest.Step{Command: "00B2041C00", Response: "70055F280207029000"},
		cardtest.Step{
			Command:  "80AE80001D 000000001000 000000000000 0036 8000008000 0036 120316 00 D3173A1F 00",
			Response: "80228000297CB3BA090724C52406010A03A4B8000F112233445566778899AABBCCDDEEFF9000",
		},
		cardtest.Step{Command: "0082000008 1122334455667788", Response: "6700"},
		cardtest.Step{
			Command:  "80AE40001F 3030 000000001000 000000000000 0036 8000008040 0036 120316 00 D3173A1F 00",
			Response: "8012400029BB31D191BCED0CF206010A0364BC009000",
		},
	)
	aud, err := money.ByCode("AUD")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.term.Country, b.term.Capabilities[1] = 36, tags.CapSignature
	b.app().FloorLimit, b.app().TACOnline = 0, [5]byte{0, 0, 0, 0x80, 0}
	b.trade = emv.Transaction{Amount: money.New(1000, aud), Time: time.Date(2012, 3, 16, 12, 0, 0, 0, time.UTC)}
	b.alter = func(c *emv.Config) { c.Rand = bytes.NewReader(bin("D3173A1F")) }
	s, err := b.startOn(card)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := s.Authorize()
	if got := a.Field55(tags.ApplicationCryptogram, tags.CID, tags.ATC, tags.CVMResults, tags.TVR); !bytes.Equal(got, bin("9F2608 7CB3BA090724C524 9F270180 9F36020029 9F34031E0300 95058000008000")) {
		t.Errorf("field 55 %X", got)
	}
	if string(a.PAN.Reveal()) != "4761340000000050" || a.PSN != "" || a.Expiry != "1712" {
		t.Errorf("PSN %q, expiry %s", a.PSN, a.Expiry)
	}
	o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: bin("1122334455667788")})
	if err != nil {
		t.Fatal(err)
	}
	if o.Decision != emv.Approved || o.TVR.String() != "8000008040" || o.TSI.String() != "7800" || !o.CVM.Signature() || o.CVM.Statement() != "SIGNATURE" {
		t.Errorf("%s TVR %s TSI %s CVM %s", o.Decision, o.TVR, o.TSI, o.CVM)
	}
}
