package emv_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

// keyring keeps the key that a PIN was to be enciphered under.
type keyring struct {
	holder
	modulus []byte
}

func (k *keyring) VerifyPIN(_ context.Context, r emv.PINRequest) (emv.PINResult, error) {
	if r.Key != nil {
		k.modulus = r.Key.Modulus
	}
	return emv.PINResult{Entry: emv.PINEntered, Status: apdu.StatusOK}, nil
}

// without is a software card that lacks some objects: their tags are turned into
// ones that no terminal knows.
func without(t testing.TB, profile string, lost ...tlv.Tag) cardreader.Card {
	t.Helper()
	return &spoiler{Card: sim(t, profile, nil), spoil: func(_ int, cmd, r []byte) []byte {
		if cmd[1] != apdu.INSReadRecord {
			return r
		}
		out := bytes.Clone(r)
		for o, err := range tlv.All(out[:len(out)-2]) {
			if err != nil {
				t.Fatal(err)
			}
			for x, err := range tlv.All(o.Value) {
				if err != nil {
					t.Fatal(err)
				}
				for _, tag := range lost {
					switch {
					case x.Tag == tag && tag > 0xFF:
						o.Value[x.Offset] = 0xDF
					case x.Tag == tag:
						o.Value[x.Offset] = 0xC9
					}
				}
			}
		}
		return out
	}}
}

// TestPINKey: the PIN encipherment key where the card has one, else its own
// (Book 2, 7.1), with and without data authentication before.
func TestPINKey(t *testing.T) {
	keys := testkeys.PKI()
	for name, c := range map[string]struct {
		lost []tlv.Tag
		sda  byte // the terminal's methods
		want *simcard.Key
		cvm  string
	}{
		"PIN key":                            {nil, 0xC8, keys.PIN, "040302"},
		"PIN key, no data authentication":    {nil, 0, keys.PIN, "040302"},
		"PIN key without exponent":           {[]tlv.Tag{tags.PINEnciphermentExponent}, 0xC8, keys.ICC, "040302"},
		"no key's exponent":                  {[]tlv.Tag{tags.PINEnciphermentExponent, tags.ICCExponent}, 0xC8, nil, "040301"},
		"no PIN key":                         {[]tlv.Tag{tags.PINEnciphermentCertificate}, 0xC8, keys.ICC, "040302"},
		"no PIN key, no data authentication": {[]tlv.Tag{tags.PINEnciphermentCertificate}, 0, keys.ICC, "040302"},
		"no key at all":                      {[]tlv.Tag{tags.PINEnciphermentCertificate, tags.ICCCertificate}, 0, nil, "040301"},
		"no issuer exponent":                 {[]tlv.Tag{tags.IssuerExponent}, 0, nil, "040301"},
	} {
		t.Run(name, func(t *testing.T) {
			ring := &keyring{}
			b := newBench(t)
			b.term.Capabilities[2] = c.sda
			b.alter = func(k *emv.Config) { k.PIN = ring }
			card := without(t, "offline-pin-enciphered", c.lost...)
			s, err := b.startOn(card)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var want []byte
			if c.want != nil {
				want = c.want.Modulus()
			}
			if o := s.Outcome(); !bytes.Equal(ring.modulus, want) || o.CVMResults.String() != c.cvm {
				t.Errorf("key of %d bytes, want %d; results %s, want %s; %q", len(ring.modulus), len(want), o.CVMResults, c.cvm, o.Reasons)
			}
		})
	}
}

// noChallenge is a pad that could not encipher a PIN.
type noChallenge struct{ asked []emv.PINMethod }

func (p *noChallenge) VerifyPIN(_ context.Context, r emv.PINRequest) (emv.PINResult, error) {
	p.asked = append(p.asked, r.Method)
	if r.Method == emv.OfflineEnciphered {
		return emv.PINResult{}, fmt.Errorf("GET CHALLENGE answered 6D00: %w", oda.ErrFailed)
	}
	return emv.PINResult{Entry: emv.PINEntered}, nil
}

// TestNoChallenge: a PIN that can't be enciphered fails its method, and the next
// rule applies (Book 2, 7.2; Book 3, figure 11).
func TestNoChallenge(t *testing.T) {
	for rules, want := range map[string]string{"4400 0200": "020000", "0400 0200": "040001"} {
		pad := &noChallenge{}
		b := newBench(t)
		b.alter = func(k *emv.Config) { k.PIN = pad }
		s, err := b.startOn(sim(t, "offline-pin-enciphered", func(p *simcard.Profile) {
			p.Applications[0].CVMList = append(make([]byte, 8), bin(rules)...)
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if o := s.Outcome(); o.CVMResults.String() != want || o.TVR.Has(tags.TVRPINTryLimitExceeded) || pad.asked[0] != emv.OfflineEnciphered {
			t.Errorf("%s: results %s, TVR %s, asked %v", rules, o.CVMResults, o.TVR, pad.asked)
		}
	}
}
