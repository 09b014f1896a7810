package c2_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
)

// TestVerificationList has a card without authentication give lists of other
// rules. A PIN for the card to verify is none of a contactless reader's methods,
// whatever the terminal has by contact (Book C-2, 7.5).
func TestVerificationList(t *testing.T) {
	const all = 0xF8 // both offline PINs, online PIN, signature, no CVM
	for _, c := range []struct {
		name, rules, results, tvr string
		configured                byte
		cvm                       contactless.CVM
	}{
		{"plaintext PIN, then signature", "41035E031F03", "5E0300", "8000008002", 0, contactless.CVMSignature},
		{"enciphered PIN, then signature", "44035E031F03", "5E0300", "8000008002", 0, contactless.CVMSignature},
		{"the same as configured", "41035E031F03", "5E0300", "8000008002", all, contactless.CVMSignature},
		{"plaintext PIN or nothing", "010041000000", "3F0001", "8000808002", 0, contactless.CVMNoCVM},
		{"fail, and go on", "40005E031F03", "5E0300", "8000008002", 0, contactless.CVMSignature},
		{"fail at the end", "410044004000", "400001", "8000808002", 0, contactless.CVMNoCVM},
		{"fail", "00005E031F03", "000001", "8000808002", 0, contactless.CVMNoCVM},
		{"with signature, in every case", "430044000500", "3F0001", "8000808002", 0, contactless.CVMNoCVM},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules, err := hex.DecodeString(c.rules)
			if err != nil {
				t.Fatal(err)
			}
			p := newTap(t, 5001, func(k *c2.Config) { k.CVMRequired = c.configured })
			p.Terminal.Capabilities[1] = all
			p.Wedge = func(card cardreader.Card) cardreader.Card {
				return taptest.Between{Card: card, Answer: func(_, answer []byte) []byte {
					return bytes.ReplaceAll(answer, []byte{0x42, 0x03, 0x5E, 0x03, 0x1F, 0x03}, rules)
				}}
			}
			s := p.Pay(t, taptest.Card(t, "mchip", func(a *simcard.Application) { a.Contactless.NoAuthentication = true }))
			o := s.Outcome()
			if got := fmt.Sprintf("%X", o.CVMResults[:]); s.Final().CVM != c.cvm || got != c.results || o.TVR.String() != c.tvr {
				t.Errorf("outcome %s, CVM Results %s, TVR %s, want %s, %s, %s", s.Final(), got, o.TVR, c.cvm, c.results, c.tvr)
			}
			if got := s.Field55(tags.TerminalCapabilities); len(got) != 6 || got[4]&0x90 != 0 {
				t.Errorf("terminal capabilities %X", got)
			}
		})
	}
}
