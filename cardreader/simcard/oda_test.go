package simcard_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

var today = time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)

// store is what a terminal loads from WriteCAPK.
func store(t testing.TB) *oda.Store {
	t.Helper()
	var b bytes.Buffer
	if err := simcard.WriteCAPK(&b, pki, simcard.AllProfiles()); err != nil {
		t.Fatal(err)
	}
	s, err := oda.ParseCAPK(&b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What the kernel's own data authentication says of each profile.
func TestProfilesThroughODA(t *testing.T) {
	s := store(t)
	for _, p := range simcard.AllProfiles() {
		a := p.Applications[0]
		rid := oda.RID(a.AID[:5])
		ca, known := s.CAKey(rid, a.CAIndex)
		if known == p.UnknownCA {
			t.Errorf("%s: CA key known: %v", p.Name, known)
		}
		if got := s.Revoked(rid, a.CAIndex, a.Serial); got != p.Revoked {
			t.Errorf("%s: revoked: %v", p.Name, got)
		}
		if p.UnknownCA || p.Blocked || a.Blocked || a.RefuseGPO || a.AIP[0]&0x80 != 0 {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			r := start(t, newCard(t, p, simcard.Options{}), 0, sale())
			pan, err := secret.PANFromCN(r.records[0x5A])
			if err != nil {
				t.Fatal(err)
			}
			issuer, err := oda.RecoverIssuer(ca, r.records[0x90], r.records[0x92], r.records[0x9F32], pan, today)
			if err != nil {
				t.Fatal(err)
			}
			if issuer.Serial != a.Serial {
				t.Errorf("serial %X", issuer.Serial)
			}
			if a.AIP[0]&0x40 != 0 {
				if _, err := oda.VerifySDA(issuer.Key, r.records[0x93], r.static); err != nil {
					t.Error(err)
				}
				other := append(bytes.Clone(r.static), 0)
				if _, err := oda.VerifySDA(issuer.Key, r.records[0x93], other); !errors.Is(err, oda.ErrFailed) {
					t.Errorf("static data with a byte more: %v", err)
				}
				return
			}
			icc, err := oda.RecoverICC(issuer.Key, r.records[0x9F46], r.records[0x9F48], r.records[0x9F47], pan, r.static, today)
			if err != nil {
				t.Fatal(err)
			}
			un := unhex(t, r.term[0x9F37])
			if a.AIP[0]&0x01 != 0 {
				cdol1 := r.term.fill(t, r.records[0x8C])
				body := must(t, r.card, apdu.GenerateAC(apdu.RefARQC|apdu.RefCDA, cdol1))
				sig, _ := tlv.Find(body, 0x9F4B)
				inner, _ := tlv.Find(body, 0x77)
				unsigned := bytes.Replace(inner, tlv.Append(nil, 0x9F4B, sig), nil, 1)
				c, err := oda.VerifyCDA(icc.Key, sig, un, oda.TransactionData(r.pdolData, cdol1, nil, unsigned))
				if err != nil {
					t.Errorf("CDA: %v", err)
				}
				if c.CID != 0x80 {
					t.Errorf("CID %02X", c.CID)
				}
				return
			}
			body := must(t, r.card, apdu.InternalAuthenticate(un))
			sig, ok := tlv.Find(body, 0x9F4B)
			if body[0] == 0x80 {
				sig, ok = tlv.Find(body, 0x80)
			}
			_, err = oda.VerifyDDA(icc.Key, sig, un)
			if !ok || a.WrongSignature == (err == nil) {
				t.Errorf("DDA: %v", err)
			}
			if _, err := oda.VerifyDDA(icc.Key, sig, []byte{0, 0, 0, 0}); !errors.Is(err, oda.ErrFailed) {
				t.Errorf("another unpredictable number: %v", err)
			}
		})
	}
}

// The enciphered PIN as the kernel's side enciphers it.
func TestEncipheredPINThroughODA(t *testing.T) {
	c := card(t, "offline-pin-enciphered")
	r := start(t, c, 0, sale())
	ca, _ := store(t).CAKey(oda.RID(r.app.AID[:5]), r.app.CAIndex)
	pan, err := secret.PANFromCN(r.records[0x5A])
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := oda.RecoverIssuer(ca, r.records[0x90], r.records[0x92], r.records[0x9F32], pan, today)
	if err != nil {
		t.Fatal(err)
	}
	key, err := oda.RecoverPINKey(issuer.Key, r.records[0x9F2D], r.records[0x9F2F], r.records[0x9F2E], pan, today)
	if err != nil {
		t.Fatal(err)
	}
	block := secret.NewBytes(unhex(t, "241234FFFFFFFFFF"))
	data, err := oda.EncipherPIN(key.Key, block, [8]byte(must(t, c, apdu.GetChallenge())), &stream{7})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, c, apdu.Verify(apdu.VerifyEnciphered, data), 0x9000)
}

func TestWriteCards(t *testing.T) {
	var b bytes.Buffer
	if err := simcard.WriteCards(&b, pki, simcard.AllProfiles(), 100000, "EUR"); err != nil {
		t.Fatal(err)
	}
	var f struct {
		Cards []map[string]any `json:"cards"`
	}
	if err := json.Unmarshal(b.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	byPAN := map[string]map[string]any{}
	for _, c := range f.Cards {
		pan := fmt.Sprint(c["pan"])
		if byPAN[pan] != nil {
			t.Errorf("PAN %s serves twice", pan)
		}
		byPAN[pan] = c
		for _, key := range []string{"pan", "psn", "expiry", "imk_ac", "imk_smi", "imk_smc", "derivation", "session", "cvn", "pin", "balance", "currency"} {
			if _, ok := c[key]; !ok {
				t.Errorf("%s: no %s", pan, key)
			}
		}
		if len(c) != 12 {
			t.Errorf("%s: %d members, want 12", pan, len(c))
		}
	}
	for _, p := range simcard.AllProfiles() {
		for _, a := range p.Applications {
			c := byPAN[a.PAN]
			want := float64(100000)
			if p.Name == "low-balance" {
				want = 100
			}
			if c["balance"] != want || c["psn"] != fmt.Sprintf("%02d", a.PSN) || c["expiry"] != a.Expiry[:4] || c["pin"] != simcard.TestPIN {
				t.Errorf("%s: %v", p.Name, c)
			}
		}
	}
	if got := byPAN["4761739001010010"]["cvn"]; got != "18" {
		t.Errorf("CVN of the default profile: %v", got)
	}
	if got := byPAN["4761739001010028"]["cvn"]; got != "10" {
		t.Errorf("CVN of cdol2: %v", got)
	}
}

// The profiles that the demonstration promises are all there, and differ.
func TestProfiles(t *testing.T) {
	want := []string{"default", "cdol2", "cda", "sda", "offline-pin", "offline-pin-enciphered", "signature", "nocvm", "multi-app", "pdol", "t0",
		"expired", "not-yet-effective", "over-limit", "unknown-ca", "revoked", "pin-blocked", "wrong-dda", "blocked-card", "blocked-app",
		"low-balance", "decline", "decline-second"}
	have := map[string]bool{}
	texts := map[string]bool{}
	for _, i := range simcard.Profiles() {
		if have[i.Name] || texts[i.Text] || i.Text == "" {
			t.Errorf("%q is there twice or says nothing", i.Name)
		}
		have[i.Name], texts[i.Text] = true, true
	}
	for _, name := range want {
		if !have[name] {
			t.Errorf("no profile %q", name)
		}
	}
	p := profile(t, "")
	if p.Name != "default" {
		t.Errorf("the profile without a name is %q", p.Name)
	}
	p.Applications[0].AID[0] = 0
	if profile(t, "").Applications[0].AID[0] == 0 {
		t.Error("a caller can alter the built-in profiles")
	}
}
