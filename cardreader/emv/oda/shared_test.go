package oda_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func panOf(t testing.TB, s string) secret.PAN {
	t.Helper()
	p, err := secret.NewPAN([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// vectors reads a file of known answers that lives beside the repository.
func vectors(t *testing.T, name string, into any) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no module root")
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "vectors", filepath.FromSlash(name)))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("the known answers are not here: %v", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// signer is an RSA key made for one run of the tests.
type signer struct {
	n, d *big.Int
	e    int64
}

func (s signer) public() oda.PublicKey {
	return oda.PublicKey{Modulus: s.n.Bytes(), Exponent: big.NewInt(s.e).Bytes()}
}

func (s signer) len() int { return len(s.n.Bytes()) }

func (s signer) sign(block []byte) []byte {
	x := new(big.Int).SetBytes(block)
	return x.Exp(x, s.d, s.n).FillBytes(make([]byte, s.len()))
}

func newSigner(bits int, e int64) signer {
	for {
		p, err := rand.Prime(rand.Reader, bits/2)
		if err != nil {
			panic(err)
		}
		q, err := rand.Prime(rand.Reader, bits-bits/2)
		if err != nil {
			panic(err)
		}
		one := big.NewInt(1)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(e), phi)
		n := new(big.Int).Mul(p, q)
		if d != nil && n.BitLen() == bits {
			return signer{n, d, e}
		}
	}
}

// The keys of a chain that is made once: short ones, so that thousands of altered
// copies are judged quickly.
var chainKeys = sync.OnceValue(func() [4]signer {
	return [4]signer{newSigner(800, 3), newSigner(736, 3), newSigner(704, 65537), newSigner(640, 3)}
})

const chainPAN = "5413330089020011"

// chain is all that a card and its terminal hold, and what verifies.
type chain struct {
	ca                        oda.CAKey
	issuer, icc, pin          signer
	pan                       secret.PAN
	now                       time.Time
	static                    []byte
	issuerCert, issuerRem     []byte
	issuerExp, iccExp, pinExp []byte
	iccCert, iccRem           []byte
	pinCert, pinRem           []byte
	ssad                      []byte
}

func rid() oda.RID { return oda.RID{0xA0, 0, 0, 0, 4} }

// change alters the two contents before they are signed; nil changes nothing.
func newChain(t testing.TB, change func(i *oda.IssuerCertificate, c *oda.ICCCertificate)) chain {
	t.Helper()
	k := chainKeys()
	x := chain{issuer: k[1], icc: k[2], pin: k[3], pan: panOf(t, chainPAN), now: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), static: []byte("what the records hold")}
	x.ca = oda.CAKey{RID: rid(), Index: 0xF1, Modulus: k[0].public().Modulus, Exponent: k[0].public().Exponent}
	i := oda.IssuerCertificate{Identifier: chainPAN[:6], Expiry: [2]byte{0x12, 0x30}, Serial: [3]byte{1, 2, 3}, Key: x.issuer.public()}
	c := oda.ICCCertificate{PAN: x.pan, Expiry: [2]byte{0x12, 0x29}, Serial: [3]byte{4, 5, 6}, Key: x.icc.public()}
	if change != nil {
		change(&i, &c)
	}
	p := c
	p.Key = x.pin.public()
	x.issuerExp, x.iccExp, x.pinExp = i.Key.Exponent, c.Key.Exponent, p.Key.Exponent
	var err error
	sign := func(s signer, block, rem []byte, e error) ([]byte, []byte) {
		t.Helper()
		if e != nil {
			t.Fatal(e)
		}
		return s.sign(block), rem
	}
	block, rem, err := oda.BuildIssuerCertificate(i, k[0].len())
	x.issuerCert, x.issuerRem = sign(k[0], block, rem, err)
	block, rem, err = oda.BuildICCCertificate(c, x.issuer.len(), x.static)
	x.iccCert, x.iccRem = sign(x.issuer, block, rem, err)
	block, rem, err = oda.BuildPINCertificate(p, x.issuer.len())
	x.pinCert, x.pinRem = sign(x.issuer, block, rem, err)
	block, err = oda.BuildSDA([2]byte{0xDA, 0xC1}, x.static, x.issuer.len())
	x.ssad, _ = sign(x.issuer, block, nil, err)
	return x
}

func (x chain) recoverIssuer() (oda.Issuer, error) {
	return oda.RecoverIssuer(x.ca, x.issuerCert, x.issuerRem, x.issuerExp, x.pan, x.now)
}

func (x chain) recoverICC() (oda.ICC, error) {
	return oda.RecoverICC(x.issuer.public(), x.iccCert, x.iccRem, x.iccExp, x.pan, x.static, x.now)
}

func (x chain) recoverPIN() (oda.ICC, error) {
	return oda.RecoverPINKey(x.issuer.public(), x.pinCert, x.pinRem, x.pinExp, x.pan, x.now)
}
