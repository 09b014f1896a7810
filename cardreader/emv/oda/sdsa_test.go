package oda_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"math/big"
	"testing"

	"github.com/payunit/payunit/cardreader/emv/oda"
)

// sdsaVectors are signatures of "abc" under the optimised EC-SDSA: that of P-256
// is the example of ISO/IEC 14888-3, both are in the self-tests of
// github.com/ANSSI-FR/libecc (ECOSDSA).
var sdsaVectors = []struct {
	suite         oda.Suite
	private, r, s string
}{
	{
		oda.SuiteP256, "5202A3D8ACAF6909D12C9A774CD886F9FBA61137FFD3E8E76AED363FB47AC492",
		"D7FB8135D8EA45E8FB3C9059F146E2630EF4BD51C4006A92EDB4C8B0849963FB",
		"B46D1525379E02E232D97928265B7254EA2ED97813454388C1A08F62DCCD70B3",
	},
	{
		oda.SuiteP521, "0108B94C219206B8D8921690A51576AE703D464B71BDF568F9F670929567858055B916DBCE5DB56A25B7913325F514F72A22BE4EFB4DB79E2F01B571A93F217982C5",
		"BD54E8D7271CCC1E0ADDC3338A99EB945E654018056FAF7EC76C0AA6B4D2628900E05C052495A0917D808514D91E4142C5AE53062431E231058DB5192E3590E3",
		"00527BAB84C9AF15CFA7D92529DC15D21745EE048891F5E06A0665E5CB162E622A0A62C31223CC216D8FFEC33ACDDDE50D58EFE387893A5CBCE2EA076E3B7CE79500",
	},
}

// curveOf returns a suite's curve in the two forms that the standard library has.
func curveOf(s oda.Suite) (elliptic.Curve, ecdh.Curve) {
	if s == oda.SuiteP521 {
		return elliptic.P521(), ecdh.P521()
	}
	return elliptic.P256(), ecdh.P256()
}

// publicPoint returns the point of a private key.
func publicPoint(t testing.TB, s oda.Suite, private []byte) (x, y *big.Int) {
	t.Helper()
	_, c := curveOf(s)
	k, err := c.NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	b := k.PublicKey().Bytes()[1:]
	return new(big.Int).SetBytes(b[:len(b)/2]), new(big.Int).SetBytes(b[len(b)/2:])
}

func TestSDSAKnown(t *testing.T) {
	for _, v := range sdsaVectors {
		x, y := publicPoint(t, v.suite, unhex(t, v.private))
		sig := unhex(t, v.r+v.s)
		if reason := oda.VerifySDSA(v.suite, x, y, []byte("abc"), sig); reason != "" {
			t.Errorf("suite %02X: %s", byte(v.suite), reason)
		}
		if key, n := v.suite.Len(); n != len(sig) || key != len(v.private)/2 {
			t.Errorf("suite %02X: lengths %d, %d", byte(v.suite), key, n)
		}
		// The other point with the same x is another key.
		c, _ := curveOf(v.suite)
		other := new(big.Int).Sub(c.Params().P, y)
		if oda.VerifySDSA(v.suite, x, other, []byte("abc"), sig) == "" {
			t.Errorf("suite %02X: verifies under the other point", byte(v.suite))
		}
		// Of the two, the key as certificates hold it is the lower one.
		n, _ := v.suite.Len()
		k := oda.ECKey{Suite: v.suite, X: x.FillBytes(make([]byte, n))}
		if ok := k.VerifyEC([]byte("abc"), sig) == ""; ok != (y.Cmp(other) < 0) {
			t.Errorf("suite %02X: by its x-coordinate it verifies: %t, and y is the lower one: %t", byte(v.suite), ok, y.Cmp(other) < 0)
		}
		for i := range sig {
			sig[i] ^= 0x10
			if oda.VerifySDSA(v.suite, x, y, []byte("abc"), sig) == "" {
				t.Errorf("suite %02X: byte %d altered", byte(v.suite), i)
			}
			sig[i] ^= 0x10
		}
		if oda.VerifySDSA(v.suite, x, y, []byte("abd"), sig) == "" {
			t.Errorf("suite %02X: another message", byte(v.suite))
		}
	}
}

// TestSDSARange: numbers that no signer gives.
func TestSDSARange(t *testing.T) {
	v := sdsaVectors[0]
	x, y := publicPoint(t, v.suite, unhex(t, v.private))
	sig := unhex(t, v.r+v.s)
	order := elliptic.P256().Params().N.Bytes()
	zero := make([]byte, 32)
	for name, b := range map[string][]byte{
		"empty":        nil,
		"short":        sig[:63],
		"long":         append(bytes.Clone(sig), 0),
		"r is zero":    append(bytes.Clone(zero), sig[32:]...),
		"r is n":       append(bytes.Clone(order), sig[32:]...),
		"s is zero":    append(bytes.Clone(sig[:32]), zero...),
		"s is n":       append(bytes.Clone(sig[:32]), order...),
		"s is all one": append(bytes.Clone(sig[:32]), bytes.Repeat([]byte{0xFF}, 32)...),
	} {
		if oda.VerifySDSA(v.suite, x, y, []byte("abc"), b) == "" {
			t.Errorf("%s: verifies", name)
		}
	}
	// sG - rP at infinity: s = r*d.
	d, r := new(big.Int).SetBytes(unhex(t, v.private)), new(big.Int).SetBytes(sig[:32])
	s := d.Mul(d, r).Mod(d, elliptic.P256().Params().N).FillBytes(make([]byte, 32))
	if oda.VerifySDSA(v.suite, x, y, []byte("abc"), append(bytes.Clone(sig[:32]), s...)) == "" {
		t.Error("the point at infinity verifies")
	}
	// The same signature with s and once more the order, which fits into the
	// bytes of P-521.
	w := sdsaVectors[1]
	wx, wy := publicPoint(t, w.suite, unhex(t, w.private))
	more := new(big.Int).SetBytes(unhex(t, w.s))
	more.Add(more, elliptic.P521().Params().N)
	if oda.VerifySDSA(w.suite, wx, wy, []byte("abc"), append(unhex(t, w.r), more.FillBytes(make([]byte, 66))...)) == "" {
		t.Error("a second form of a signature verifies")
	}
	for name, k := range map[string]oda.ECKey{
		"no suite":         {},
		"unknown suite":    {Suite: 0x12, X: x.Bytes()},
		"short":            {Suite: oda.SuiteP256, X: x.Bytes()[:31]},
		"not on the curve": {Suite: oda.SuiteP256, X: unhex(t, "0000000000000000000000000000000000000000000000000000000000000001")},
		"not below p":      {Suite: oda.SuiteP256, X: bytes.Repeat([]byte{0xFF}, 32)},
		"the other curve":  {Suite: oda.SuiteP521, X: x.Bytes()},
	} {
		if reason := k.VerifyEC([]byte("abc"), sig); reason == "" {
			t.Errorf("key %s: verifies", name)
		}
	}
	if oda.Suite(0x12).String() != "" || oda.SuiteP256.String() == "" || oda.SuiteP521.String() == "" {
		t.Error("names of suites")
	}
}
