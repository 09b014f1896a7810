package oda_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
)

// ecSigner is a private key of the tests, whose public point is the lower one.
type ecSigner struct {
	suite oda.Suite
	d     *big.Int
}

func newECSigner(t testing.TB, s oda.Suite, seed int64) ecSigner {
	t.Helper()
	n, _ := s.Len()
	d := new(big.Int).Exp(big.NewInt(seed), big.NewInt(90), nil)
	c, _ := curveOf(s)
	d.Mod(d, c.Params().N)
	_, y := publicPoint(t, s, d.FillBytes(make([]byte, n)))
	if new(big.Int).Sub(c.Params().P, y).Cmp(y) < 0 {
		d.Sub(c.Params().N, d)
	}
	return ecSigner{s, d}
}

func (k ecSigner) public(t testing.TB) oda.ECKey {
	t.Helper()
	n, _ := k.suite.Len()
	x, _ := publicPoint(t, k.suite, k.d.FillBytes(make([]byte, n)))
	return oda.ECKey{Suite: k.suite, X: x.FillBytes(make([]byte, n))}
}

// sign is A2.2.2 of Book 2, with a number that a hash gives: the keys are the
// tests' own.
func (k ecSigner) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	n, _ := k.suite.Len()
	c, _ := curveOf(k.suite)
	seed := sha512.Sum512(append(k.d.Bytes(), message...))
	e := new(big.Int).SetBytes(seed[:])
	e.Mod(e, c.Params().N)
	x, _ := publicPoint(t, k.suite, e.FillBytes(make([]byte, n)))
	hashed := append(x.FillBytes(make([]byte, n)), message...)
	r := sha256.Sum256(hashed)
	digest := r[:]
	if k.suite == oda.SuiteP521 {
		long := sha512.Sum512(hashed)
		digest = long[:]
	}
	s := new(big.Int).SetBytes(digest)
	s.Mul(s, k.d).Add(s, e).Mod(s, c.Params().N)
	return append(bytes.Clone(digest), s.FillBytes(make([]byte, n))...)
}

// ecChain is a CA, an issuer and a card.
type ecChain struct {
	ca, issuer, icc ecSigner
	key             oda.CAKey
	pan             secret.PAN
	certified       []byte
	// issuerBody and iccBody are what the certificates sign.
	issuerBody, iccBody []byte
	now                 time.Time
}

func newECChain(t testing.TB, s oda.Suite) *ecChain {
	t.Helper()
	x := &ecChain{ca: newECSigner(t, s, 7919), issuer: newECSigner(t, s, 104729), icc: newECSigner(t, s, 1299709), pan: panOf(t, chainPAN),
		certified: []byte("the card's data"), now: time.Date(2026, 11, 24, 10, 11, 12, 0, time.UTC)}
	x.key = oda.CAKey{RID: rid(), Index: 0xE1, EC: x.ca.public(t)}
	x.issuerBody = append(unhex(t, "1200"+chainPAN[:6]+"FFFF"+fmt.Sprintf("%02X", byte(s))+"20301231"+"010203"+"A000000004"+"E1"), x.issuer.public(t).X...)
	sum := sha256.Sum256(x.certified)
	x.iccBody = append(unhex(t, "1400"+fmt.Sprintf("%02X", byte(s))+"203012312359"+"000000000007"+"0002"), sum[:]...)
	x.iccBody = append(x.iccBody, x.icc.public(t).X...)
	return x
}

func (x *ecChain) issuerCert(t testing.TB) []byte {
	return append(bytes.Clone(x.issuerBody), x.ca.sign(t, x.issuerBody)...)
}

func (x *ecChain) iccCert(t testing.TB) []byte {
	return append(bytes.Clone(x.iccBody), x.issuer.sign(t, x.iccBody)...)
}

func TestECChain(t *testing.T) {
	for _, s := range []oda.Suite{oda.SuiteP256, oda.SuiteP521} {
		x := newECChain(t, s)
		issuer, err := oda.RecoverECIssuer(x.key, x.issuerCert(t), x.pan, x.now)
		if err != nil {
			t.Fatal(err)
		}
		want := oda.ECIssuer{Key: x.issuer.public(t), Serial: [3]byte{1, 2, 3}, Expiry: time.Date(2030, 12, 31, 0, 0, 0, 0, time.UTC)}
		if d := cmp.Diff(want, issuer); d != "" {
			t.Error(d)
		}
		icc, err := oda.RecoverECICC(issuer.Key, x.iccCert(t), x.certified, x.now)
		if err != nil {
			t.Fatal(err)
		}
		wantICC := oda.ECICC{Key: x.icc.public(t), Serial: [6]byte{5: 7}, Expiry: time.Date(2030, 12, 31, 23, 59, 0, 0, time.UTC)}
		if d := cmp.Diff(wantICC, icc); d != "" {
			t.Error(d)
		}
		data := oda.XDAData([]byte{4, 5}, []byte{1}, []byte{2, 3})
		if !bytes.Equal(data, []byte{0x15, 1, 2, 3, 4, 5}) {
			t.Errorf("signed data %X", data)
		}
		sdad := append([]byte{0x15}, x.icc.sign(t, data)...)
		if err := oda.VerifyXDA(icc.Key, sdad, data); err != nil {
			t.Error(err)
		}
		// Every byte of every part counts.
		for name, part := range map[string]struct {
			b     []byte
			judge func([]byte) error
		}{
			"90":            {x.issuerCert(t), func(b []byte) error { _, err := oda.RecoverECIssuer(x.key, b, x.pan, x.now); return err }},
			"9F46":          {x.iccCert(t), func(b []byte) error { _, err := oda.RecoverECICC(issuer.Key, b, x.certified, x.now); return err }},
			"card's data":   {x.certified, func(b []byte) error { _, err := oda.RecoverECICC(issuer.Key, x.iccCert(t), b, x.now); return err }},
			"9F4B":          {sdad, func(b []byte) error { return oda.VerifyXDA(icc.Key, b, data) }},
			"what it signs": {data, func(b []byte) error { return oda.VerifyXDA(icc.Key, sdad, b) }},
		} {
			for i := range part.b {
				b := bytes.Clone(part.b)
				b[i] ^= 1 << (i % 8)
				if err := part.judge(b); !errors.Is(err, oda.ErrFailed) || errors.Is(err, oda.ErrMissingData) {
					t.Errorf("suite %02X, %s: byte %d altered: %v", byte(s), name, i, err)
				}
			}
			if name == "what it signs" || name == "card's data" {
				continue
			}
			for n := 1; n < len(part.b); n++ {
				if err := part.judge(part.b[:n]); !errors.Is(err, oda.ErrFailed) {
					t.Errorf("suite %02X, %s: cut to %d: %v", byte(s), name, n, err)
				}
			}
			if err := part.judge(append(bytes.Clone(part.b), 0)); !errors.Is(err, oda.ErrFailed) {
				t.Errorf("suite %02X, %s: a byte more: %v", byte(s), name, err)
			}
			if err := part.judge(nil); !errors.Is(err, oda.ErrMissingData) {
				t.Errorf("suite %02X, %s absent: %v", byte(s), name, err)
			}
		}
	}
}

// TestECRules: chains that are well signed and break one rule each (Book 2, 12.3
// and 12.4).
func TestECRules(t *testing.T) {
	set := func(at int, hex string) func(*ecChain) {
		return func(x *ecChain) { copy(x.issuerBody[at:], unhex(t, hex)) }
	}
	card := func(at int, hex string) func(*ecChain) {
		return func(x *ecChain) { copy(x.iccBody[at:], unhex(t, hex)) }
	}
	for _, c := range []struct {
		name         string
		alter        func(*ecChain)
		step, reason string
	}{
		{"as it is", func(*ecChain) {}, "", ""},
		{"issuer: format", set(0, "02"), oda.StepIssuer, "format is 02"},
		{"issuer: encoding", set(1, "01"), oda.StepIssuer, "encoding is 01"},
		{"issuer: three digits", set(2, chainPAN[:3]+"FFFFFFF"), "", ""},
		{"issuer: two digits", set(2, chainPAN[:2]+"FFFFFFFF"), oda.StepIssuer, "issuer identifier"},
		{"issuer: ten digits", set(2, chainPAN[:10]), "", ""},
		{"issuer: ten digits, the last differs", set(2, chainPAN[:9]+"8"), oda.StepIssuer, "issuer identifier"},
		{"issuer: digits after padding", set(2, chainPAN[:6]+"F"+chainPAN[7:9]+"F"), oda.StepIssuer, "issuer identifier"},
		{"issuer: suite of encipherment", set(7, "00"), oda.StepIssuer, "suite 00"},
		{"issuer: suite that is only assigned", set(7, "12"), oda.StepIssuer, "suite 12"},
		{"issuer: last day", set(8, "20261124"), "", ""},
		{"issuer: day after", set(8, "20261123"), oda.StepIssuer, "expired after 2026-11-23"},
		{"issuer: no date", set(8, "20261324"), oda.StepIssuer, "YYYYMMDD"},
		{"issuer: not decimal", set(8, "202A1124"), oda.StepIssuer, "YYYYMMDD"},
		{"issuer: another RID", set(15, "A000000003"), oda.StepIssuer, "another CA key"},
		{"issuer: another index", set(20, "E2"), oda.StepIssuer, "another CA key"},
		{"issuer: no point", set(21, strings.Repeat("00", 31)+"01"), oda.StepIssuer, "no point"},
		{"CA key expired", func(x *ecChain) { x.key.Expiry = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC) }, oda.StepCA, "expired"},
		{"card: format", card(0, "04"), oda.StepICC, "format is 04"},
		{"card: encoding", card(1, "01"), oda.StepICC, "encoding is 01"},
		{"card: suite of encipherment", card(2, "00"), oda.StepICC, "suite 00"},
		{"card: a minute left", card(3, "202611241012"), "", ""},
		{"card: to the second", func(x *ecChain) {
			card(3, "202611241011")(x)
			x.now = x.now.Truncate(time.Minute)
		}, oda.StepICC, "expired at 2026-11-24 10:11"},
		{"card: this minute", card(3, "202611241011"), oda.StepICC, "expired at 2026-11-24 10:11"},
		{"card: no hour", card(3, "203012312459"), oda.StepICC, "YYYYMMDDHHMM"},
		{"card: hash encoding", card(15, "01"), oda.StepICC, "hash encoding is 01"},
		{"card: SHA-1", card(16, "01"), oda.StepICC, "hash algorithm 01"},
		{"card: SHA-512 of the length of SHA-256", card(16, "03"), oda.StepICC, "bytes, want"},
		{"card: SHA-512", func(x *ecChain) {
			sum := sha512.Sum512(x.certified)
			x.iccBody = append(append(append(bytes.Clone(x.iccBody[:16]), 0x03), sum[:]...), x.iccBody[17+32:]...)
		}, "", ""},
		{"card: no point", func(x *ecChain) { copy(x.iccBody[17+32:], append(make([]byte, 31), 1)) }, oda.StepICC, "no point"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newECChain(t, oda.SuiteP256)
			c.alter(x)
			issuer, err := oda.RecoverECIssuer(x.key, x.issuerCert(t), x.pan, x.now)
			if err == nil {
				_, err = oda.RecoverECICC(issuer.Key, x.iccCert(t), x.certified, x.now)
			}
			if c.step == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			failsWith(t, err, c.step, c.reason)
		})
	}
}

func TestRecoverECIssuerFrom(t *testing.T) {
	x := newECChain(t, oda.SuiteP256)
	cert := x.issuerCert(t)
	ask := func(k oda.CAKey, index byte, revoked bool, cert []byte) error {
		_, err := oda.RecoverECIssuerFrom(keyring{k, revoked}, rid(), index, cert, x.pan, x.now)
		return err
	}
	if err := ask(x.key, 0xE1, false, cert); err != nil {
		t.Error(err)
	}
	rsa := oda.CAKey{RID: rid(), Index: 0xE1, Modulus: bytes.Repeat([]byte{0xFF}, 128), Exponent: []byte{3}}
	for name, c := range map[string]struct {
		err, want error
		step      string
	}{
		"no such key":    {ask(x.key, 0xE2, false, cert), oda.ErrNoCAKey, oda.StepCA},
		"an RSA key":     {ask(rsa, 0xE1, false, cert), oda.ErrNoCAKey, oda.StepCA},
		"revoked":        {ask(x.key, 0xE1, true, cert), oda.ErrRevoked, oda.StepIssuer},
		"no certificate": {ask(x.key, 0xE1, false, nil), oda.ErrMissingData, oda.StepIssuer},
		"an altered one": {ask(x.key, 0xE1, false, append(bytes.Clone(cert[:60]), cert[59:]...)), oda.ErrFailed, oda.StepIssuer},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
		failsWith(t, c.err, c.step, "")
	}
	// Nor serves an elliptic-curve key for RSA.
	if _, err := oda.RecoverIssuer(x.key, make([]byte, 128), nil, []byte{3}, x.pan, x.now); !errors.Is(err, oda.ErrFailed) {
		t.Errorf("RSA under an elliptic-curve key: %v", err)
	}
}

// TestCertifiedCardData follows Book 3, 10.3: records, then AIP, AID and PDOL with
// tag and length; the tag list of the other methods has no part in it.
func TestCertifiedCardData(t *testing.T) {
	records := []oda.Record{{SFI: 2, Data: unhex(t, "70035F2800")}, {SFI: 12, Data: unhex(t, "70029F05")}}
	for pdol, want := range map[string]string{
		"":             "5F280070029F05" + "82028000" + "9F0607A0000000041010",
		"9F33039F3704": "5F280070029F05" + "82028000" + "9F0607A0000000041010" + "9F38069F33039F3704",
	} {
		got, err := oda.CertifiedCardData(records, [2]byte{0x80, 0}, unhex(t, "A0000000041010"), unhex(t, pdol))
		if err != nil || fmt.Sprintf("%X", got) != want {
			t.Errorf("%X, %v", got, err)
		}
	}
	if _, err := oda.CertifiedCardData([]oda.Record{{SFI: 2, Data: unhex(t, "7100")}}, [2]byte{}, nil, nil); !errors.Is(err, oda.ErrFailed) {
		t.Errorf("a record of another template: %v", err)
	}
}

// TestParseECKeys reads elliptic-curve keys of a CAPK file.
func TestParseECKeys(t *testing.T) {
	k := newECSigner(t, oda.SuiteP256, 7919)
	public := k.public(t)
	x, y := publicPoint(t, oda.SuiteP256, k.d.FillBytes(make([]byte, 32)))
	ca := oda.CAKey{RID: rid(), Index: 0xE1, EC: public}
	entry := func(alter func(map[string]string)) string {
		m := map[string]string{"rid": "A000000004", "index": "E1", "suite": "10", "point": fmt.Sprintf("%064X%064X", x, y), "sha1": fmt.Sprintf("%X", ca.CheckSum())}
		if alter != nil {
			alter(m)
		}
		b, err := json.Marshal(map[string]any{"capk": []any{m}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	s, err := oda.ParseCAPK(strings.NewReader(entry(nil)))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := s.CAKey(rid(), 0xE1)
	if d := cmp.Diff(ca, got); !ok || d != "" {
		t.Error(d)
	}
	c, _ := curveOf(oda.SuiteP256)
	other := fmt.Sprintf("%064X%064X", x, new(big.Int).Sub(c.Params().P, y))
	for name, alter := range map[string]func(map[string]string){
		"an unknown suite":        func(m map[string]string) { m["suite"] = "12" },
		"no suite":                func(m map[string]string) { delete(m, "suite") },
		"a suite of two bytes":    func(m map[string]string) { m["suite"] = "1010" },
		"the other curve":         func(m map[string]string) { m["suite"] = "11" },
		"no point":                func(m map[string]string) { delete(m, "point") },
		"half a point":            func(m map[string]string) { m["point"] = m["point"][:64] },
		"a point off the curve":   func(m map[string]string) { m["point"] = m["point"][:127] + "0" },
		"the greater y":           func(m map[string]string) { m["point"] = other },
		"an RSA key beside it":    func(m map[string]string) { m["modulus"] = strings.Repeat("FF", 128); m["exponent"] = "03" },
		"a wrong check sum":       func(m map[string]string) { m["sha1"] = strings.Repeat("00", 20) },
		"no check sum":            func(m map[string]string) { delete(m, "sha1") },
		"an expiry that is none":  func(m map[string]string) { m["expiry"] = "2031" },
		"an index of another key": func(m map[string]string) { m["index"] = "E2" },
	} {
		if _, err := oda.ParseCAPK(strings.NewReader(entry(alter))); !errors.Is(err, oda.ErrCAPK) || !strings.Contains(err.Error(), "entry 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRecoverEC gives both certificates and the signature any bytes.
func FuzzRecoverEC(f *testing.F) {
	x := newECChain(f, oda.SuiteP256)
	f.Add(x.issuerCert(f), x.iccCert(f), append([]byte{0x15}, x.icc.sign(f, []byte{0x15})...))
	f.Add([]byte{0x12, 0}, []byte{0x14, 0}, []byte{0x15})
	f.Add([]byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, issuer, icc, sdad []byte) {
		if i, err := oda.RecoverECIssuer(x.key, issuer, x.pan, x.now); err == nil && !bytes.Equal(i.Key.X, x.issuer.public(t).X) {
			t.Error("another issuer key than the one signed")
		} else if err != nil && !errors.Is(err, oda.ErrFailed) {
			t.Errorf("error %v", err)
		}
		if i, err := oda.RecoverECICC(x.issuer.public(t), icc, x.certified, x.now); err == nil && !bytes.Equal(i.Key.X, x.icc.public(t).X) {
			t.Error("another card key than the one signed")
		} else if err != nil && !errors.Is(err, oda.ErrFailed) {
			t.Errorf("error %v", err)
		}
		if err := oda.VerifyXDA(x.icc.public(t), sdad, []byte{0x15}); err != nil && !errors.Is(err, oda.ErrFailed) {
			t.Errorf("error %v", err)
		}
	})
}
