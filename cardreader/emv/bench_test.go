package emv_test

import (
	"testing"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

// ddaRun is a recorded DDA transaction, its kernel, and its RSA operations alone.
func ddaRun(tb testing.TB) (whole, rsa func()) {
	r := recordCard(tb, "default")
	objects := map[tlv.Tag][]byte{}
	for i, b := range r.answers {
		for _, t := range []tlv.Tag{tags.PAN, tags.CAPublicKeyIndex, tags.IssuerCertificate, tags.IssuerRemainder, tags.IssuerExponent, tags.ICCCertificate, tags.ICCRemainder, tags.ICCExponent} {
			if v, ok := tlv.Find(b[:len(b)-2], t); ok && r.commands[i][1] == 0xB2 {
				objects[t] = v
			}
		}
		if r.commands[i][1] == 0x88 {
			objects[tags.SignedDynamicData], _ = tlv.Find(b[:len(b)-2], tags.ResponseFormat1)
			objects[tags.DDOL] = r.commands[i][5 : 5+r.commands[i][4]]
		}
	}
	store, modulus := caKeys(tb), testkeys.PKI().ICC.Modulus()
	pan, err := secret.PANFromCN(objects[tags.PAN])
	if err != nil {
		tb.Fatal(err)
	}
	h := &holder{pin: simcard.TestPIN, entry: emv.PINEntered}
	k := kernel(tb, h, func(c *emv.Config) { c.Rand, c.CAKeys = zeros{}, store })
	whole = func() {
		if _, err := play(k, &tape{r: r, at: -1}, r.auth); err != nil {
			tb.Fatal(err)
		}
	}
	rsa = func() {
		issuer, err := oda.RecoverIssuerFrom(store, oda.RID(bin(testAID)[:5]), objects[tags.CAPublicKeyIndex][0],
			objects[tags.IssuerCertificate], objects[tags.IssuerRemainder], objects[tags.IssuerExponent], pan, today())
		if err != nil {
			tb.Fatal(err)
		}
		// The hash over other static data does not match: the operation is
		// done all the same.
		_, _ = oda.RecoverICC(issuer.Key, objects[tags.ICCCertificate], objects[tags.ICCRemainder], objects[tags.ICCExponent], pan, nil, today())
		_, _ = oda.VerifyDDA(oda.PublicKey{Modulus: modulus, Exponent: objects[tags.ICCExponent]}, objects[tags.SignedDynamicData], objects[tags.DDOL])
	}
	return whole, rsa
}

// zeros is a source of numbers that costs nothing.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// BenchmarkTransaction is a whole DDA transaction against a recorded card, and
// its three RSA operations alone: the difference is the kernel.
func BenchmarkTransaction(b *testing.B) {
	whole, rsa := ddaRun(b)
	for name, f := range map[string]func(){"whole": whole, "rsa": rsa} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

// TestAllocations bounds what the kernel allocates besides RSA.
func TestAllocations(t *testing.T) {
	whole, rsa := ddaRun(t)
	if n := testing.AllocsPerRun(50, whole) - testing.AllocsPerRun(50, rsa); n > 300 {
		t.Errorf("%.0f allocations besides RSA, want at most 300", n)
	}
}
