package oda_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
)

func failsWith(t *testing.T, err error, step, reason string) {
	t.Helper()
	var f *oda.Failure
	if !errors.Is(err, oda.ErrFailed) || !errors.As(err, &f) || f.Step != step || !strings.Contains(f.Reason, reason) {
		t.Errorf("got %v, want a failure of the %s: %s", err, step, reason)
	}
}

func TestChain(t *testing.T) {
	x := newChain(t, nil)
	issuer, err := x.recoverIssuer()
	if err != nil {
		t.Fatal(err)
	}
	last := func(y int, m time.Month) time.Time {
		return time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Nanosecond)
	}
	if d := cmp.Diff(oda.Issuer{Key: x.issuer.public(), Serial: [3]byte{1, 2, 3}, Expiry: last(2030, 12)}, issuer); d != "" {
		t.Errorf("issuer (-want +got)\n%s", d)
	}
	icc, err := x.recoverICC()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(oda.ICC{Key: x.icc.public(), Serial: [3]byte{4, 5, 6}, Expiry: last(2029, 12)}, icc); d != "" {
		t.Errorf("card (-want +got)\n%s", d)
	}
	pin, err := x.recoverPIN()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(x.pin.public(), pin.Key); d != "" {
		t.Errorf("PIN key (-want +got)\n%s", d)
	}
	dac, err := oda.VerifySDA(issuer.Key, x.ssad, x.static)
	if err != nil || dac != [2]byte{0xDA, 0xC1} {
		t.Errorf("SDA: %X, %v", dac, err)
	}
	if len(x.issuerRem) == 0 || len(x.iccRem) == 0 {
		t.Error("the chain has no remainders to lose")
	}
}

// One flipped bit at every byte of everything that is signed.
func TestChainTampered(t *testing.T) {
	x := newChain(t, nil)
	issuer, err := x.recoverIssuer()
	if err != nil {
		t.Fatal(err)
	}
	number, un := []byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte{9, 8, 7, 6}
	dda, err := oda.BuildDDA(number, un, x.icc.len())
	if err != nil {
		t.Fatal(err)
	}
	dda = x.icc.sign(dda)
	transaction := []byte("PDOL, CDOL and response")
	cda, err := oda.BuildCDA(number, 0x80, [8]byte{1}, transaction, un, x.icc.len())
	if err != nil {
		t.Fatal(err)
	}
	cda = x.icc.sign(cda)
	modulus, icc := bytes.Clone(x.ca.Modulus), x.icc.public()
	x.ca.Modulus = modulus
	for _, c := range []struct {
		name  string
		bytes []byte
		judge func() error
	}{
		{"CA modulus", modulus, func() error { _, err := x.recoverIssuer(); return err }},
		{"issuer certificate", x.issuerCert, func() error { _, err := x.recoverIssuer(); return err }},
		{"issuer remainder", x.issuerRem, func() error { _, err := x.recoverIssuer(); return err }},
		{"issuer exponent", x.issuerExp, func() error { _, err := x.recoverIssuer(); return err }},
		{"issuer modulus", issuer.Key.Modulus, func() error { _, err := oda.VerifySDA(issuer.Key, x.ssad, x.static); return err }},
		{"signed static data", x.ssad, func() error { _, err := oda.VerifySDA(x.issuer.public(), x.ssad, x.static); return err }},
		{"static data of SDA", x.static, func() error { _, err := oda.VerifySDA(x.issuer.public(), x.ssad, x.static); return err }},
		{"ICC certificate", x.iccCert, func() error { _, err := x.recoverICC(); return err }},
		{"ICC remainder", x.iccRem, func() error { _, err := x.recoverICC(); return err }},
		{"ICC exponent", x.iccExp, func() error { _, err := x.recoverICC(); return err }},
		{"static data of the certificate", x.static, func() error { _, err := x.recoverICC(); return err }},
		{"PIN certificate", x.pinCert, func() error { _, err := x.recoverPIN(); return err }},
		{"PIN remainder", x.pinRem, func() error { _, err := x.recoverPIN(); return err }},
		{"PIN exponent", x.pinExp, func() error { _, err := x.recoverPIN(); return err }},
		{"ICC modulus", icc.Modulus, func() error { _, err := oda.VerifyDDA(icc, dda, un); return err }},
		{"DDA", dda, func() error { _, err := oda.VerifyDDA(icc, dda, un); return err }},
		{"DDOL data", un, func() error { _, err := oda.VerifyDDA(icc, dda, un); return err }},
		{"CDA", cda, func() error { _, err := oda.VerifyCDA(icc, cda, un, transaction); return err }},
		{"CDA unpredictable number", un, func() error { _, err := oda.VerifyCDA(icc, cda, un, transaction); return err }},
		{"transaction data", transaction, func() error { _, err := oda.VerifyCDA(icc, cda, un, transaction); return err }},
	} {
		if err := c.judge(); err != nil {
			t.Fatalf("%s unaltered: %v", c.name, err)
		}
		for i := range c.bytes {
			c.bytes[i] ^= 1 << (i % 8)
			if err := c.judge(); !errors.Is(err, oda.ErrFailed) {
				t.Errorf("%s: byte %d altered: %v", c.name, i, err)
			}
			c.bytes[i] ^= 1 << (i % 8)
		}
	}
}

// A chain that is well signed and breaks one rule of Book 2 at a time.
func TestChainRules(t *testing.T) {
	for _, c := range []struct {
		name         string
		change       func(i *oda.IssuerCertificate, c *oda.ICCCertificate)
		step, reason string
	}{
		{"issuer of another card", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Identifier = "541334" }, oda.StepIssuer, "issuer identifier"},
		{"issuer, eight digits, the last differs", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Identifier = "54133301" }, oda.StepIssuer, "issuer identifier"},
		{"issuer expired", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Expiry = [2]byte{0x10, 0x26} }, oda.StepIssuer, "expired at the end of 2026-10"},
		{"issuer expired in the last century", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Expiry = [2]byte{0x12, 0x50} }, oda.StepIssuer, "expired at the end of 1950-12"},
		{"issuer month 13", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Expiry = [2]byte{0x13, 0x30} }, oda.StepIssuer, "MMYY"},
		{"issuer month 0", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Expiry = [2]byte{0x00, 0x30} }, oda.StepIssuer, "MMYY"},
		{"issuer month not decimal", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Expiry = [2]byte{0x0A, 0x30} }, oda.StepIssuer, "MMYY"},
		{"issuer year not decimal", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Expiry = [2]byte{0x12, 0x3F} }, oda.StepIssuer, "MMYY"},
		{"card expired", func(_ *oda.IssuerCertificate, c *oda.ICCCertificate) { c.Expiry = [2]byte{0x10, 0x26} }, oda.StepICC, "expired at the end of 2026-10"},
		{"another card", func(_ *oda.IssuerCertificate, c *oda.ICCCertificate) { c.PAN = panOf(t, "5413330089020012") }, oda.StepICC, "PAN"},
		{"a longer PAN", func(_ *oda.IssuerCertificate, c *oda.ICCCertificate) { c.PAN = panOf(t, chainPAN+"0") }, oda.StepICC, "PAN"},
		{"a shorter PAN", func(_ *oda.IssuerCertificate, c *oda.ICCCertificate) { c.PAN = panOf(t, chainPAN[:15]) }, oda.StepICC, "PAN"},
		{"to the end of the month", func(i *oda.IssuerCertificate, c *oda.ICCCertificate) {
			i.Expiry, c.Expiry, i.Identifier = [2]byte{0x11, 0x26}, [2]byte{0x11, 0x26}, "54133300"
		}, "", ""},
		{"three digits", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Identifier = "541" }, "", ""},
		{"to 2049", func(i *oda.IssuerCertificate, _ *oda.ICCCertificate) { i.Expiry = [2]byte{0x12, 0x49} }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newChain(t, c.change)
			_, err := x.recoverIssuer()
			if c.step == oda.StepIssuer {
				failsWith(t, err, c.step, c.reason)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = x.recoverICC()
			if c.step != "" {
				failsWith(t, err, c.step, c.reason)
				_, err = x.recoverPIN()
				failsWith(t, err, oda.StepPIN, c.reason)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Bytes of the block that no field of the builders reaches.
func TestBlockRules(t *testing.T) {
	x := newChain(t, nil)
	k := chainKeys()
	last := k[0].len() - 1
	for _, c := range []struct {
		name   string
		at     int
		value  byte
		rehash bool
		reason string
	}{
		{"trailer", last, 0xBD, false, "trailer is not BC"},
		{"header", 0, 0x6B, false, "header is not 6A"},
		{"format", 1, 0x04, false, "format is 04, want 02"},
		{"hash algorithm", 11, 0x02, true, "hash algorithm 02"},
		{"key algorithm", 12, 0x02, true, "key algorithm 02"},
		{"key length", 13, byte(x.issuer.len() + 1), true, "remainder"},
		{"key length zero", 13, 0, true, "key without a length"},
		{"exponent length", 14, 3, true, "exponent of 1 bytes, the certificate says 3"},
		{"exponent length zero", 14, 0, true, "the certificate says 0"},
		{"identifier of two digits", 3, 0xFF, true, "issuer identifier"},
		{"identifier with a gap", 4, 0xF3, true, "issuer identifier"},
		{"identifier not decimal", 4, 0xA3, true, "issuer identifier"},
		{"hash", last - 1, 0, false, "hash does not match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			block, rem, err := oda.BuildIssuerCertificate(oda.IssuerCertificate{Identifier: chainPAN[:6], Expiry: [2]byte{0x12, 0x30}, Key: x.issuer.public()}, k[0].len())
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "hash" {
				c.value = ^block[c.at]
			}
			block[c.at] = c.value
			if c.name == "identifier of two digits" {
				block[2] = 0x54
			}
			if c.rehash {
				oda.Rehash(block, rem, x.issuerExp)
			}
			_, err = oda.RecoverIssuer(x.ca, k[0].sign(block), rem, x.issuerExp, x.pan, x.now)
			failsWith(t, err, oda.StepIssuer, c.reason)
		})
	}
}

func TestAbsentAndOfWrongLength(t *testing.T) {
	x := newChain(t, nil)
	missing := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, oda.ErrFailed) || !errors.Is(err, oda.ErrMissingData) {
			t.Errorf("%s absent: %v", name, err)
		}
	}
	fails := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, oda.ErrFailed) || errors.Is(err, oda.ErrMissingData) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := oda.RecoverIssuer(x.ca, nil, x.issuerRem, x.issuerExp, x.pan, x.now)
	missing("90", err)
	_, err = oda.RecoverIssuer(x.ca, x.issuerCert, x.issuerRem, nil, x.pan, x.now)
	missing("9F32", err)
	_, err = oda.RecoverIssuer(x.ca, x.issuerCert, nil, x.issuerExp, x.pan, x.now)
	missing("92", err)
	_, err = oda.RecoverIssuer(x.ca, x.issuerCert, append(bytes.Clone(x.issuerRem), 0), x.issuerExp, x.pan, x.now)
	fails("92 longer", err)
	_, err = oda.RecoverIssuer(x.ca, x.issuerCert, x.issuerRem, x.issuerExp, secret.PAN{}, x.now)
	fails("no PAN", err)
	// Nor has a certificate without a PAN any card, not even one without a PAN.
	block, rem, err := oda.BuildPINCertificate(oda.ICCCertificate{PAN: x.pan, Expiry: [2]byte{0x12, 0x30}, Key: x.pin.public()}, x.issuer.len())
	if err != nil {
		t.Fatal(err)
	}
	copy(block[2:12], bytes.Repeat([]byte{0xFF}, 10))
	oda.Rehash(block, rem, x.pinExp)
	_, err = oda.RecoverPINKey(x.issuer.public(), x.issuer.sign(block), rem, x.pinExp, secret.PAN{}, x.now)
	failsWith(t, err, oda.StepPIN, "PAN in it")
	for n := 1; n < len(x.issuerCert); n++ {
		_, err = oda.RecoverIssuer(x.ca, x.issuerCert[:n], x.issuerRem, x.issuerExp, x.pan, x.now)
		fails("90 cut", err)
	}
	_, err = oda.RecoverICC(x.issuer.public(), nil, nil, nil, x.pan, nil, x.now)
	missing("9F46", err)
	_, err = oda.RecoverPINKey(x.issuer.public(), nil, nil, nil, x.pan, x.now)
	missing("9F2D", err)
	_, err = oda.VerifySDA(x.issuer.public(), nil, x.static)
	missing("93", err)
	_, err = oda.VerifyDDA(x.icc.public(), nil, nil)
	missing("9F4B", err)
	_, err = oda.VerifyCDA(x.icc.public(), nil, nil, nil)
	missing("9F4B", err)
	// A certificate for one use is none for the other.
	_, err = oda.VerifySDA(x.issuer.public(), x.iccCert, x.static)
	failsWith(t, err, oda.StepStatic, "format is 04, want 03")
	_, err = oda.RecoverICC(x.issuer.public(), x.pinCert, x.pinRem, x.pinExp, x.pan, x.static, x.now)
	failsWith(t, err, oda.StepICC, "hash does not match")
}

func TestKeysRefused(t *testing.T) {
	x := newChain(t, nil)
	for _, c := range []struct {
		name, reason string
		change       func(k *oda.CAKey)
	}{
		{"exponent 1", "exponent is neither", func(k *oda.CAKey) { k.Exponent = []byte{1} }},
		{"exponent 2", "exponent is neither", func(k *oda.CAKey) { k.Exponent = []byte{2} }},
		{"exponent 17", "exponent is neither", func(k *oda.CAKey) { k.Exponent = []byte{17} }},
		{"no exponent", "exponent is neither", func(k *oda.CAKey) { k.Exponent = nil }},
		{"a huge exponent", "exponent is neither", func(k *oda.CAKey) { k.Exponent = append(make([]byte, 4), 3) }},
		{"even modulus", "even", func(k *oda.CAKey) { k.Modulus[len(k.Modulus)-1] &^= 1 }},
		{"zero modulus", "even", func(k *oda.CAKey) { clear(k.Modulus) }},
		{"a small modulus", "not below", func(k *oda.CAKey) { clear(k.Modulus[:8]) }},
	} {
		k := x.ca
		k.Modulus = bytes.Clone(k.Modulus)
		c.change(&k)
		_, err := oda.RecoverIssuer(k, x.issuerCert, x.issuerRem, x.issuerExp, x.pan, x.now)
		failsWith(t, err, oda.StepIssuer, c.reason)
	}
	long := oda.CAKey{Modulus: bytes.Repeat([]byte{0xFF}, 257), Exponent: []byte{3}}
	_, err := oda.RecoverIssuer(long, make([]byte, 257), nil, []byte{3}, x.pan, x.now)
	failsWith(t, err, oda.StepIssuer, "257 bytes")
	x.ca.Expiry = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	_, err = x.recoverIssuer()
	failsWith(t, err, oda.StepCA, "expired on 2026-11-23")
	x.ca.Expiry = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	if _, err = x.recoverIssuer(); err != nil {
		t.Errorf("on the last day: %v", err)
	}
}

// keyring holds one key.
type keyring struct {
	k       oda.CAKey
	revoked bool
}

func (r keyring) CAKey(id oda.RID, index byte) (oda.CAKey, bool) {
	return r.k, id == r.k.RID && index == r.k.Index
}

func (r keyring) Revoked(id oda.RID, index byte, serial [3]byte) bool {
	return r.revoked && id == r.k.RID && index == r.k.Index && serial == [3]byte{1, 2, 3}
}

func TestRecoverIssuerFrom(t *testing.T) {
	x := newChain(t, nil)
	ask := func(revoked bool, index byte, cert []byte) error {
		_, err := oda.RecoverIssuerFrom(keyring{x.ca, revoked}, rid(), index, cert, x.issuerRem, x.issuerExp, x.pan, x.now)
		return err
	}
	if err := ask(false, 0xF1, x.issuerCert); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		err  error
		want error
		step string
	}{
		{ask(true, 0xF1, x.issuerCert), oda.ErrRevoked, oda.StepIssuer},
		{ask(false, 0xF2, x.issuerCert), oda.ErrNoCAKey, oda.StepCA},
		{ask(false, 0xF1, nil), oda.ErrMissingData, oda.StepIssuer},
		{ask(false, 0xF1, x.issuerCert[1:]), oda.ErrFailed, oda.StepIssuer},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("got %v, want %v", c.err, c.want)
		}
		failsWith(t, c.err, c.step, "")
	}
}
