package emv_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TestMistakes has the mistakes that kernels are known to make and that no other
// test here is about.
func TestMistakes(t *testing.T) {
	// A status word is looked at whole: neither half of 9000 is enough.
	for _, sw := range []string{"9001", "9100", "6200", "6300"} {
		t.Run("status word "+sw+" taken for success", func(t *testing.T) {
			b := newBench(t)
			b.card.ac = []string{sw}
			var e *emv.StatusError
			if _, err := b.start(); !errors.As(err, &e) {
				t.Errorf("GENERATE AC: %v", err)
			}
			b = newBench(t)
			b.card.gpo = sw
			if _, err := b.start(); !errors.As(err, &e) {
				t.Errorf("GET PROCESSING OPTIONS: %v", err)
			}
		})
	}
	t.Run("plaintext PIN where the enciphered one was asked for", func(t *testing.T) {
		h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
		b := newBench(t)
		b.holder = h
		var plaintext bool
		card := &spoiler{Card: without(t, "offline-pin-enciphered", tags.PINEnciphermentCertificate, tags.ICCCertificate), spoil: func(_ int, cmd, r []byte) []byte {
			plaintext = plaintext || cmd[1] == apdu.INSVerify && cmd[3] == 0x80
			return r
		}}
		s, err := b.startOn(card)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if plaintext || s.Outcome().CVMResults[2] == 2 {
			t.Errorf("the PIN went to the card in plaintext: %t; results %s", plaintext, s.Outcome().CVMResults)
		}
	})
	t.Run("leading zeros of a number lost", func(t *testing.T) {
		b := newBench(t)
		b.trade.Amount = euros(t, 1)
		b.card.objects[tags.CDOL1] = "9F02069F3602"
		b.must()
		if got := hex.EncodeToString(b.card.sent(apdu.INSGenerateAC)[0].Data); got[:12] != "000000000001" {
			t.Errorf("amount %s", got)
		}
	})
	t.Run("declined is no error", func(t *testing.T) {
		b := newBench(t)
		b.card.ac = []string{"800B" + "00" + "0007" + "0102030405060708"}
		b.app().TACOnline = [5]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
		s := b.must()
		if s.Decision() != emv.Declined || s.Outcome().CryptogramType != tags.AAC {
			t.Errorf("%s with %s", s.Decision(), s.Outcome().CryptogramType)
		}
	})
	t.Run("no issuer authentication data", func(t *testing.T) {
		b := newBench(t)
		b.card.aip[0] = tags.AIPIssuerAuth
		b.app().TACOnline = [5]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
		s := b.must()
		o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00"})
		if err != nil || o.Decision != emv.Approved || o.TSI.Has(tags.TSIIssuerAuthPerformed) || len(b.card.sent(apdu.INSExternalAuthenticate)) != 0 {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("second GENERATE AC left out when the issuer is not authentic", func(t *testing.T) {
		b := newBench(t)
		b.card.aip[0], b.card.external = tags.AIPIssuerAuth, 0x6300
		b.app().TACOnline = [5]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
		s := b.must()
		o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: make([]byte, 10)})
		if err != nil || len(b.card.sent(apdu.INSGenerateAC)) != 2 || !bytes.Equal(o.TVR[4:], []byte{0x40}) {
			t.Errorf("%d GENERATE AC, TVR %s, %v", len(b.card.sent(apdu.INSGenerateAC)), o.TVR, err)
		}
	})
}

// TestKeyIndex: lists that ask for the CA key's index get that of the key that
// was used, and zeros when none was (Book 3, Annex A, 9F22).
func TestKeyIndex(t *testing.T) {
	for profile, want := range map[string]byte{"default": 0xF1, "unknown-ca": 0x00} {
		var got []byte
		card := &spoiler{Card: sim(t, profile, func(p *simcard.Profile) {
			for i := range p.Applications {
				cdol1 := tlv.Tag(tags.TerminalCAPublicKeyIndex).Append(nil)
				p.Applications[i].CDOL1 = append(append(cdol1, 1), p.Applications[i].CDOL1...)
			}
		}), spoil: func(_ int, cmd, r []byte) []byte {
			if cmd[1] == apdu.INSGenerateAC && got == nil {
				got = bytes.Clone(cmd)
			}
			return r
		}}
		b := newBench(t)
		s, err := b.startOn(card)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if len(got) < 6 || got[5] != want {
			t.Errorf("%s: %X, want %02X first", profile, got, want)
		}
	}
}
