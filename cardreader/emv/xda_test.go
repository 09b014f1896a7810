package emv_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TestXDA runs extended data authentication through its ways to fail and what
// follows each (EMV 4.4 Book 2, 12; Book 3, 10.3; Book 4, 6.3.2.2).
func TestXDA(t *testing.T) {
	type result struct {
		Asked    string // P1 of each GENERATE AC
		First    string // decision, TVR that the first one carried
		Last     string // decision, cryptogram
		TVR, TSI string
		ODA, ARC string
	}
	approve := &emv.HostResponse{Approved: true, ARC: "00"}
	// Bits that come up in answers: byte 1 bit 1 selected, byte 4 bit 1 failed,
	// byte 5 bit 3 key missing, byte 5 bit 2 recovery failed.
	record := func(tag tlv.Tag, at int) func(int, []byte, []byte) []byte {
		return func(_ int, cmd, r []byte) []byte { return flip(cmd, r, apdu.INSReadRecord, tag, at) }
	}
	answer := func(n int, tag tlv.Tag, at int) func(int, []byte, []byte) []byte {
		seen := 0
		return func(_ int, cmd, r []byte) []byte {
			if cmd[1] == apdu.INSGenerateAC {
				if seen++; seen == n {
					return flip(cmd, r, apdu.INSGenerateAC, tag, at)
				}
			}
			return r
		}
	}
	for name, c := range map[string]struct {
		alter func(*bench)
		spoil func(int, []byte, []byte) []byte
		host  *emv.HostResponse
		want  result
	}{
		"verifies twice": {
			host: approve,
			want: result{"88 48", "online 0100000000", "approved TC", "0100000000", "A800", "XDA ok", "00"},
		},
		"declined by the issuer": {
			host: &emv.HostResponse{ARC: "05"},
			want: result{"88 08", "online 0100000000", "declined AAC", "0100000000", "A800", "XDA ok", "05"},
		},
		"AAC asked for": {
			alter: func(b *bench) { b.app().TACDenial = [5]byte{0x01} },
			want:  result{"08", "declined 0100000000", "declined AAC", "0100000000", "A800", "XDA not performed", "Z1"},
		},
		"offline": {
			alter: func(b *bench) { b.app().TACOnline = [5]byte{} },
			want:  result{"48", "approved 0100000000", "approved TC", "0100000000", "A800", "XDA ok", "Y1"},
		},
		"CA key missing": {
			alter: func(b *bench) { b.alter = func(c *emv.Config) { c.CAKeys = &oda.Store{} } },
			host:  approve,
			want:  result{"88 48", "online 0100000004", "approved TC", "0100000004", "A800", "XDA failed: oda: CA key: the terminal has no elliptic-curve key F3 of RID A000000003", "00"},
		},
		"no CA key index": {
			spoil: func(_ int, cmd, r []byte) []byte { return rename(cmd, r, tags.CAPublicKeyIndex) },
			host:  approve,
			want:  result{"88 48", "online 2100000004", "approved TC", "2100000004", "A800", "XDA failed: oda: CA key: the card names none", "00"},
		},
		"no issuer certificate": {
			spoil: func(_ int, cmd, r []byte) []byte { return rename(cmd, r, tags.IssuerCertificate) },
			host:  approve,
			want:  result{"88 48", "online 2100000000", "approved TC", "2100000002", "A800", "XDA failed: oda: issuer certificate: absent", "00"},
		},
		"no card certificate": {
			spoil: func(_ int, cmd, r []byte) []byte { return rename(cmd, r, tags.ICCCertificate) },
			host:  approve,
			want:  result{"88 48", "online 2100000000", "approved TC", "2100000002", "A800", "XDA failed: oda: ICC certificate: absent", "00"},
		},
		"issuer certificate altered": {
			spoil: record(tags.IssuerCertificate, 60),
			host:  approve,
			want:  result{"88 48", "online 0100000000", "approved TC", "0100000002", "A800", "XDA failed: oda: issuer certificate: the signature does not verify", "00"},
		},
		"card certificate altered": {
			spoil: record(tags.ICCCertificate, 100),
			host:  approve,
			want:  result{"88 48", "online 0100000000", "approved TC", "0100000002", "A800", "XDA failed: oda: ICC certificate: the signature does not verify", "00"},
		},
		"card data altered": {
			spoil: record(tags.AUC, 0),
			host:  approve,
			want:  result{"88 48", "online 0100000000", "approved TC", "0100000002", "A800", "XDA failed: oda: ICC certificate: hash of the card's data does not match", "00"},
		},
		"keys not recovered, denied by an action code": {
			spoil: record(tags.IssuerCertificate, 60),
			alter: func(b *bench) { b.app().TACDenial = [5]byte{0, 0, 0, 0, 0x02} },
			want:  result{"88 08", "declined 0100000000", "declined AAC", "0100000002", "A800", "XDA failed: oda: issuer certificate: the signature does not verify", "Z1"},
		},
		"TC, keys not recovered, denied by an action code": {
			spoil: record(tags.IssuerCertificate, 60),
			alter: func(b *bench) { b.app().TACDenial, b.app().TACOnline = [5]byte{0, 0, 0, 0, 0x02}, [5]byte{} },
			want:  result{"48", "declined 0100000000", "declined TC", "0100000002", "A800", "XDA failed: oda: issuer certificate: the signature does not verify", "Z1"},
		},
		"TC, keys not recovered, the issuer approves": {
			spoil: record(tags.IssuerCertificate, 60),
			alter: func(b *bench) { b.app().TACOnline = [5]byte{} },
			host:  approve,
			want:  result{"48", "online 0100000000", "approved TC", "0100000002", "A800", "XDA failed: oda: issuer certificate: the signature does not verify", "00"},
		},
		"TC, keys not recovered, the issuer declines": {
			spoil: record(tags.IssuerCertificate, 60),
			alter: func(b *bench) { b.app().TACOnline = [5]byte{} },
			host:  &emv.HostResponse{ARC: "05"},
			want:  result{"48", "online 0100000000", "declined TC", "0100000002", "A800", "XDA failed: oda: issuer certificate: the signature does not verify", "05"},
		},
		"TC, keys not recovered, no issuer": {
			spoil: record(tags.IssuerCertificate, 60),
			alter: func(b *bench) { b.app().TACOnline = [5]byte{} },
			host:  &emv.HostResponse{Unable: true},
			want:  result{"48", "online 0100000000", "declined TC", "0100000002", "A800", "XDA failed: oda: issuer certificate: the signature does not verify", "Z3"},
		},
		"TC, keys not recovered, a terminal without a line": {
			spoil: record(tags.IssuerCertificate, 60),
			alter: func(b *bench) { b.term.Type = 0x23; b.app().TACDefault = [5]byte{} },
			want:  result{"48", "declined 0100000000", "declined TC", "0100000002", "A800", "XDA failed: oda: issuer certificate: the signature does not verify", "Z3"},
		},
		"first signature false": {
			spoil: answer(1, tags.SignedDynamicData, 40),
			host:  approve,
			want:  result{"88 48", "online 0100000000", "approved TC", "0100000100", "A800", "XDA failed: oda: signed dynamic data: the signature does not verify", "00"},
		},
		"first signature of another format": {
			spoil: answer(1, tags.SignedDynamicData, 0),
			host:  approve,
			want:  result{"88 48", "online 0100000000", "approved TC", "0100000100", "A800", "XDA failed: oda: signed dynamic data: format is 11, want 15", "00"},
		},
		"first cryptogram altered": {
			spoil: answer(1, tags.ApplicationCryptogram, 3),
			host:  approve,
			want:  result{"88 48", "online 0100000000", "approved TC", "0100000100", "A800", "XDA failed: oda: signed dynamic data: the signature does not verify", "00"},
		},
		"first signature false, no issuer": {
			spoil: answer(1, tags.SignedDynamicData, 40),
			alter: func(b *bench) { b.app().TACDefault = [5]byte{} },
			host:  &emv.HostResponse{Unable: true},
			want:  result{"88 08", "online 0100000000", "declined AAC", "0100000100", "A800", "XDA failed: oda: signed dynamic data: the signature does not verify", "Z3"},
		},
		"first signature false, denied by an action code": {
			spoil: answer(1, tags.SignedDynamicData, 40),
			alter: func(b *bench) { b.app().TACDenial = [5]byte{0, 0, 0, 0x01, 0} },
			want:  result{"88 08", "declined 0100000000", "declined AAC", "0100000100", "A800", "XDA failed: oda: signed dynamic data: the signature does not verify", "Z1"},
		},
		"first signature absent": {
			spoil: func(_ int, cmd, r []byte) []byte {
				if cmd[1] == apdu.INSGenerateAC && cmd[2]&0xC0 == 0x80 {
					return rename(cmd, r, tags.SignedDynamicData)
				}
				return r
			},
			host: approve,
			want: result{"88 48", "online 0100000000", "approved TC", "0100000100", "A800", "XDA failed: oda: signed dynamic data: absent", "00"},
		},
		"second signature false": {
			spoil: answer(2, tags.SignedDynamicData, 40),
			host:  approve,
			want:  result{"88 48", "online 0100000000", "declined TC", "0100000100", "A800", "XDA failed: oda: signed dynamic data: the signature does not verify", "00"},
		},
		"second signature of an AAC false": {
			spoil: answer(2, tags.SignedDynamicData, 40),
			host:  &emv.HostResponse{ARC: "05"},
			want:  result{"88 08", "online 0100000000", "declined AAC", "0100000000", "A800", "XDA ok", "05"},
		},
		"the terminal has no XDA": {
			alter: func(b *bench) { b.term.Capabilities[2] = 0xC8 },
			host:  approve,
			want:  result{"80 40", "online 8000000000", "approved TC", "8000000000", "2800", "none", "00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.term.Capabilities = tags.CapabilitiesValue{0xE0, 0xF8, 0xCC}
			b.app().Version, b.app().FloorLimit = [2]byte{0, 0x96}, 1e6
			b.app().TACOnline, b.app().TACDefault = [5]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, [5]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
			if c.alter != nil {
				c.alter(b)
			}
			var got result
			card := &spoiler{Card: sim(t, "xda", func(p *simcard.Profile) {
				a := &p.Applications[0]
				a.AIP[0] = tags.AIPXDA
				a.Online, a.Default, a.Denial, a.AuthOptional = [5]byte{}, [5]byte{}, [5]byte{}, true
			}), spoil: func(n int, cmd, r []byte) []byte {
				if cmd[1] == apdu.INSGenerateAC {
					if got.Asked != "" {
						got.Asked += " "
					} else {
						got.First = fmt.Sprintf("%X", cmd[5+14:5+19])
					}
					got.Asked += fmt.Sprintf("%02X", cmd[2])
				}
				if c.spoil != nil {
					return c.spoil(n, cmd, r)
				}
				return r
			}}
			s, err := b.startOn(card)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got.First = s.Decision().String() + " " + got.First
			o := s.Outcome()
			if c.host != nil {
				if o, err = s.Complete(t.Context(), *c.host); err != nil {
					t.Fatal(err)
				}
			}
			got.Last = o.Decision.String() + " " + o.CryptogramType.String()
			got.TVR, got.TSI, got.ODA, got.ARC = o.TVR.String(), o.TSI.String(), o.ODA.String(), o.ARC
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// flip alters one bit of a tag's value in the answer to an instruction.
func flip(cmd, r []byte, ins byte, tag tlv.Tag, at int) []byte {
	if cmd[1] != ins || len(r) < 3 {
		return r
	}
	out := bytes.Clone(r)
	if v, ok := tlv.Find(out[:len(out)-2], tag); ok && at < len(v) {
		v[at] ^= 0x04
	}
	return out
}

// rename makes a tag in a template unknown.
func rename(cmd, r []byte, tag tlv.Tag) []byte {
	if len(r) < 4 || !slices.Contains([]byte{apdu.INSReadRecord, apdu.INSGenerateAC}, cmd[1]) {
		return r
	}
	out := bytes.Clone(r)
	o, err := tlv.Parse(out[:len(out)-2])
	if err != nil {
		return r
	}
	for x := range tlv.All(o[0].Value) {
		switch {
		case x.Tag == tag && tag > 0xFF:
			o[0].Value[x.Offset] = 0xDF
		case x.Tag == tag:
			o[0].Value[x.Offset] = 0xC9
		}
	}
	return out
}
