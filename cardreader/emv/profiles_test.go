package emv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

// issuer answers with the keys of the software cards.
type issuer struct {
	t      testing.TB
	app    simcard.Application
	scheme cryptogram.Scheme
	keys   cryptogram.Keys
}

func newIssuer(t testing.TB, profile string, aid []byte, r emv.OnlineRequest) *issuer {
	t.Helper()
	p, err := simcard.LookupProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t}
	for _, a := range p.Applications {
		if string(a.AID) == string(aid) {
			i.app = a
		}
	}
	cvn := map[byte]string{0x0A: "10", 0x12: "18"}[i.app.CVN]
	if i.scheme, err = cryptogram.ParseScheme(i.app.Derivation, i.app.Session, cvn); err != nil {
		t.Fatal(err)
	}
	k := testkeys.PKI()
	if i.keys, err = i.scheme.CardKeys(cryptogram.Keys{AC: k.AC, SMI: k.SMI, SMC: k.SMC}, r.PAN, i.app.PSN); err != nil {
		t.Fatal(err)
	}
	return i
}

// verify checks a cryptogram against field 55, as the issuer does, and returns
// what the transaction is known by.
func (i *issuer) verify(icc []byte) cryptogram.Transaction {
	i.t.Helper()
	get := func(tag tlv.Tag) ([]byte, bool) {
		v, ok, err := tlv.Child(icc, tag)
		if err != nil {
			i.t.Fatalf("field 55: %v", err)
		}
		return v, ok
	}
	must := func(tag tlv.Tag, n int) []byte {
		v, ok := get(tag)
		if !ok || n > 0 && len(v) != n {
			i.t.Fatalf("field 55: tag %s has %d bytes", tag, len(v))
		}
		return v
	}
	atc := binary.BigEndian.Uint16(must(tags.ATC, 2))
	card := cryptogram.Card{AIP: [2]byte(must(tags.AIP, 2)), ATC: atc, IAD: must(tags.IssuerApplicationData, 0)}
	ac := must(tags.ApplicationCryptogram, 8)
	if err := i.scheme.Verify(i.keys.AC, get, card, ac); err != nil {
		i.t.Errorf("the cryptogram that field 55 holds: %v", err)
	}
	return cryptogram.Transaction{ATC: atc, UN: [4]byte(must(tags.UnpredictableNumber, 4)), AC: [8]byte(ac)}
}

func (i *issuer) answer(t cryptogram.Transaction, arc string) []byte {
	i.t.Helper()
	r := cryptogram.Response{ARC: [2]byte([]byte(arc))}
	if arc == "00" {
		r.CSU[1] = 0x80
	}
	b, err := i.scheme.Answer(i.keys.AC, t, r)
	if err != nil {
		i.t.Fatal(err)
	}
	return b
}

// ending is what is seen of a transaction.
type ending struct {
	First, Last   string // decision, cryptogram
	ODA, CVM      string
	TVR, TSI, ARC string
	Name          string
	Err           string
}

// TestProfiles runs each software card against an issuer that approves.
func TestProfiles(t *testing.T) {
	first := "online ARQC"
	good := ending{First: first, Last: "approved TC", ODA: "DDA ok", CVM: "020300", TVR: "0000048000", TSI: "F800", ARC: "00", Name: "PAYUNIT TEST"}
	with := func(alter func(*ending)) ending {
		e := good
		alter(&e)
		return e
	}
	declined := func(tvr, tsi string) func(*ending) {
		return func(e *ending) {
			e.First, e.Last, e.TVR, e.TSI, e.ARC = "declined AAC", "declined AAC", tvr, tsi, "Z1"
		}
	}
	want := map[string]ending{
		"default":                with(func(*ending) {}),
		"cdol2":                  with(func(e *ending) { e.TSI = "E800" }),
		"cda":                    with(func(e *ending) { e.ODA = "CDA ok" }),
		"sda":                    with(func(e *ending) { e.ODA, e.TVR = "SDA ok", "0200048000" }),
		"offline-pin":            with(func(e *ending) { e.CVM, e.TVR = "010302", "0000008000" }),
		"offline-pin-enciphered": with(func(e *ending) { e.CVM, e.TVR = "040302", "0000008000" }),
		"signature":              with(func(e *ending) { e.CVM, e.TVR = "1E0000", "0000008000" }),
		"nocvm":                  with(func(e *ending) { e.CVM, e.TVR = "1F0002", "0000008000" }),
		"multi-app":              with(func(e *ending) { e.Name = "Payunit Debit" }),
		"pdol":                   good,
		"t0":                     good,
		"expired":                with(func(e *ending) { e.TVR = "0040048000" }),
		"not-yet-effective":      with(declined("0020048000", "E800")),
		"over-limit":             with(declined("0000048000", "E800")),
		"unknown-ca":             with(func(e *ending) { e.ODA, e.TVR = "DDA failed", "0800048000" }),
		"revoked":                with(func(e *ending) { e.ODA, e.TVR = "DDA failed", "0800048000" }),
		"pin-blocked": with(func(e *ending) {
			declined("0000A08000", "E800")(e)
			e.CVM = "010301"
		}),
		"wrong-dda":      with(func(e *ending) { e.ODA, e.TVR = "DDA failed", "0800048000" }),
		"blocked-card":   {Err: emv.ErrCardBlocked.Error()},
		"blocked-app":    {Err: emv.ErrNoApplication.Error()},
		"stripe":         {Err: emv.ErrNoApplication.Error()},
		"stripe-pin":     {Err: emv.ErrNoApplication.Error()},
		"low-balance":    good,
		"decline":        with(declined("0000048000", "E800")),
		"decline-second": with(func(e *ending) { e.Last = "declined AAC" }),
		"refused-app":    with(func(e *ending) { e.Name = "CREDIT" }),
		"long-pan":       good,
		"xda":            with(func(e *ending) { e.ODA, e.TVR = "XDA ok", "0100048000" }),
	}
	for _, p := range simcard.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			got := transact(t, p.Name, sim(t, p.Name, nil))
			w, ok := want[p.Name]
			if !ok {
				// A profile that is newer than this table: it has to run.
				w = ending{Err: ""}
				got = ending{Err: got.Err}
			}
			if d := cmp.Diff(w, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// transact runs a sale of 12.34 with the example's terminal.
func transact(t testing.TB, profile string, c cardreader.Card) ending {
	t.Helper()
	h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
	s, err := kernel(t, h, nil).Start(t.Context(), c, emv.Transaction{Amount: euros(t, 1234), Counter: 1})
	if err != nil {
		for _, known := range []error{emv.ErrCardBlocked, emv.ErrNoApplication} {
			if errors.Is(err, known) {
				return ending{Err: known.Error()}
			}
		}
		return ending{Err: err.Error()}
	}
	defer s.Close()
	show := func(o emv.Outcome) string { return fmt.Sprintf("%s %s", o.Decision, o.CryptogramType) }
	o := s.Outcome()
	e := ending{First: show(o)}
	a := s.Authorize()
	i := newIssuer(t, profile, o.AID, a)
	tx := i.verify(a.Field55())
	if o.Decision == emv.Online {
		if o, err = s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: i.answer(tx, "00")}); err != nil {
			return ending{Err: err.Error()}
		}
		i.verify(a.Completion55())
	}
	e.Last, e.CVM, e.TVR, e.TSI, e.ARC, e.Name = show(o), o.CVMResults.String(), o.TVR.String(), o.TSI.String(), o.ARC, o.Name()
	e.ODA = o.ODA.Method.String() + map[bool]string{true: " ok", false: " failed"}[o.ODA.OK]
	return e
}

// TestForgedAnswer gives cards an answer that is not their issuer's: they
// decline, and the TVR says what was wrong.
func TestForgedAnswer(t *testing.T) {
	for profile, tvr := range map[string]string{"default": "0000048040", "cda": "0000048040", "cdol2": "0000048000"} {
		t.Run(profile, func(t *testing.T) {
			h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
			s, err := kernel(t, h, nil).Start(t.Context(), sim(t, profile, nil), emv.Transaction{Amount: euros(t, 1234), Counter: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			a := s.Authorize()
			i := newIssuer(t, profile, s.Outcome().AID, a)
			data := i.answer(i.verify(a.Field55()), "00")
			data[0] ^= 1
			o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: data})
			if err != nil || o.Decision != emv.Declined || o.CryptogramType != tags.AAC || o.TVR.String() != tvr {
				t.Errorf("%s %s TVR %s: %v", o.Decision, o.CryptogramType, o.TVR, err)
			}
		})
	}
}

// TestForgedCombined alters what a combined signature covers.
func TestForgedCombined(t *testing.T) {
	for name, c := range map[string]struct {
		nth   int // which GENERATE AC
		tag   tlv.Tag
		first emv.Decision
	}{
		"signature, first":  {1, tags.SignedDynamicData, emv.Declined},
		"ATC, first":        {1, tags.ATC, emv.Declined},
		"IAD, first":        {1, tags.IssuerApplicationData, emv.Declined},
		"signature, second": {2, tags.SignedDynamicData, emv.Online},
		"ATC, second":       {2, tags.ATC, emv.Online},
	} {
		t.Run(name, func(t *testing.T) {
			seen := 0
			var asked []byte
			card := &spoiler{Card: sim(t, "cda", nil), spoil: func(_ int, cmd, r []byte) []byte {
				if cmd[1] != 0xAE {
					return r
				}
				asked = append(asked, cmd[2])
				if seen++; seen == c.nth {
					v, ok := tlv.Find(r[:len(r)-2], c.tag)
					if !ok {
						t.Fatalf("no tag %s in the answer", c.tag)
					}
					v[len(v)-1] ^= 1
				}
				return r
			}}
			h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
			s, err := kernel(t, h, nil).Start(t.Context(), card, emv.Transaction{Amount: euros(t, 1234), Counter: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Decision() != c.first {
				t.Fatalf("first: %s", s.Decision())
			}
			o := s.Outcome()
			want := []byte{0x90, 0x00} // an immediate AAC
			if c.first == emv.Online {
				want = []byte{0x90, 0x50}
				a := s.Authorize()
				i := newIssuer(t, "cda", o.AID, a)
				if o, err = s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: i.answer(i.verify(a.Field55()), "00")}); err != nil {
					t.Fatal(err)
				}
				if v, ok := tlv.Find(a.Completion55(), tags.ApplicationCryptogram); ok {
					t.Errorf("a cryptogram that is not authentic goes to the issuer: %d bytes", len(v))
				}
			}
			if o.Decision != emv.Declined || !o.TVR.Has(tags.TVRCDAFailed) || o.ODA.OK || o.ODA.Method != emv.CDA || !o.TSI.Has(tags.TSIODAPerformed) {
				t.Errorf("%s TVR %s TSI %s %s", o.Decision, o.TVR, o.TSI, o.ODA)
			}
			if d := cmp.Diff(want, asked); d != "" {
				t.Errorf("references: %s", d)
			}
		})
	}
}

// TestCDANotAsked: an AAC is not signed, and nothing is authenticated then.
func TestCDANotAsked(t *testing.T) {
	b := newBench(t)
	b.app().Version = [2]byte{0, 0x96}
	b.trade.ForceOnline = true
	b.app().TACDenial = [5]byte{0, 0, 0, 0x08, 0}
	s, err := b.startOn(sim(t, "cda", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if o := s.Outcome(); o.TVR.String() != "8000040800" || o.ODA.String() != "none" || o.TSI.Has(tags.TSIODAPerformed) {
		t.Errorf("TVR %s TSI %s %s", o.TVR, o.TSI, o.ODA)
	}
}

// TestCDADeclined: the second GENERATE AC of a transaction that the issuer
// declined, or could not be asked about, asks for no signature with its AAC.
func TestCDADeclined(t *testing.T) {
	for _, r := range []emv.HostResponse{{ARC: "05"}, {Unable: true}} {
		var asked []byte
		card := &spoiler{Card: sim(t, "cda", nil), spoil: func(_ int, cmd, r []byte) []byte {
			if cmd[1] == 0xAE {
				asked = append(asked, cmd[2])
			}
			return r
		}}
		h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
		s, err := kernel(t, h, nil).Start(t.Context(), card, emv.Transaction{Amount: euros(t, 1234), Counter: 1})
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Complete(t.Context(), r)
		s.Close()
		if err != nil || o.Decision != emv.Declined || !o.ODA.OK || o.CryptogramType != tags.AAC {
			t.Errorf("%s %s %s: %v", o.Decision, o.CryptogramType, o.ODA, err)
		}
		if d := cmp.Diff([]byte{0x90, 0x00}, asked); d != "" {
			t.Error(d)
		}
	}
}

// TestDDOL: what INTERNAL AUTHENTICATE carries must hold the unpredictable
// number, wherever the list is from (Book 2, 6.5.1).
func TestDDOL(t *testing.T) {
	for name, c := range map[string]struct {
		card, terminal string
		ok             bool
		data           string
	}{
		"the card's":                  {"9F02069F3704", "", true, "000000001234*"},
		"the terminal's":              {"", "9F3704", true, "*"},
		"the card's before the other": {"9F3704", "9F02069F3704", true, "*"},
		"the card's without a number": {"9F0206", "9F3704", false, ""},
		"the other without a number":  {"", "9A03", false, ""},
		"neither":                     {"", "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var data []byte
			sent := false
			card := &spoiler{Card: sim(t, "default", func(p *simcard.Profile) { p.Applications[0].DDOL = bin(c.card) }), spoil: func(_ int, cmd, r []byte) []byte {
				if cmd[1] == apdu.INSInternalAuthenticate {
					sent, data = true, bytes.Clone(cmd[5:5+cmd[4]])
				}
				return r
			}}
			b := newBench(t)
			b.app().DefaultDDOL = bin(c.terminal)
			s, err := b.startOn(card)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			o := s.Outcome()
			if o.ODA.Method != emv.DDA || o.ODA.OK != c.ok || o.TVR.Has(tags.TVRDDAFailed) == c.ok || sent != c.ok {
				t.Errorf("%s, TVR %s", o.ODA, o.TVR)
			}
			if c.ok {
				un, _, err := tlv.Child(s.Field55(tags.UnpredictableNumber), tags.UnpredictableNumber)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := fmt.Sprintf("%X", data), strings.Replace(c.data, "*", fmt.Sprintf("%X", un), 1); got != want {
					t.Errorf("INTERNAL AUTHENTICATE %s, want %s", got, want)
				}
			}
		})
	}
}

// TestSignedKind: a card whose signed cryptogram information is not the one
// outside the signature is not believed, though hash and signature verify (Book
// 2, 6.6.2).
func TestSignedKind(t *testing.T) {
	key := testkeys.PKI().ICC
	var cdol, pdol []byte
	b := newBench(t)
	b.app().TACOnline = [5]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
	b.trade.ForceOnline = true
	for inside, ok := range map[byte]bool{0x80: true, 0x40: false, 0x88: false} {
		var asked []byte
		card := &spoiler{Card: sim(t, "cda", nil), spoil: func(_ int, cmd, r []byte) []byte {
			if cmd[1] == 0xAE {
				asked = append(asked, cmd[2])
			}
			if cmd[1] == 0xAE && cmd[2] == 0 {
				return bin("800B 00 0002 0102030405060708 9000")
			}
			if cmd[1] != 0xAE || cmd[2] != 0x90 {
				return r
			}
			cdol = cmd[5 : 5+cmd[4]]
			plain := bin("9F270180 9F36020007 9F100706010A03A00000")
			dol, _ := tlv.ParseDOL(bin("9F02069F03069F1A0295055F2A029A039C019F3704"))
			un := cdol[dol.Len()-4:]
			block, err := oda.BuildCDA([]byte{1, 2, 3}, inside, [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, oda.TransactionData(pdol, cdol, nil, plain), un, key.Len())
			if err != nil {
				t.Fatal(err)
			}
			sdad, err := key.Apply(block)
			if err != nil {
				t.Fatal(err)
			}
			return append(tlv.Append(nil, tags.ResponseFormat2, tlv.Append(plain, tags.SignedDynamicData, sdad)), 0x90, 0x00)
		}}
		s, err := b.startOn(card)
		if ok {
			if err != nil {
				t.Fatal(err)
			}
			if o := s.Outcome(); o.Decision != emv.Online || !o.ODA.OK {
				t.Errorf("inside %02X: %s %s", inside, o.Decision, o.ODA)
			}
			continue
		}
		// The signed value says what the card gave: a TC is declined at once, an
		// ARQC by a second GENERATE AC (Book 4, 6.3.2.1).
		want := []byte{0x90, 0x00}
		if inside == 0x40 {
			want = []byte{0x90}
		}
		if err != nil || s.Decision() != emv.Declined || s.Outcome().ODA.OK || !s.Outcome().TVR.Has(tags.TVRCDAFailed) || !bytes.Equal(asked, want) {
			t.Errorf("inside %02X: %v, asked %X", inside, err, asked)
		}
	}
}
