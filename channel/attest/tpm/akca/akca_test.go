package akca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/payunit/payunit/cardreader/secret"
)

func FuzzPublicArea(f *testing.F) {
	ak, ek := AKTemplate(), tpm2.ECCEKTemplate
	f.Add(tpm2.Marshal(ak))
	f.Add(tpm2.Marshal(ek))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, template := range []tpm2.TPMTPublic{ak, ek} {
			p, _, err := public(b, template)
			if err != nil {
				continue
			}
			if !bytes.Equal(tpm2.Marshal(p), b) {
				t.Errorf("%x comes back as %x", b, tpm2.Marshal(p))
			}
		}
	})
}

func TestNoDefaults(t *testing.T) {
	for name, c := range map[string]Config{
		"no makers":      {Certificate: &x509.Certificate{IsCA: true}},
		"no key":         {EKRoots: x509.NewCertPool(), Certificate: &x509.Certificate{IsCA: true}},
		"no certificate": {EKRoots: x509.NewCertPool()},
	} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A public area without a key: the point is not on the curve.
	if _, _, err := public(tpm2.Marshal(AKTemplate()), AKTemplate()); err == nil {
		t.Error("the point at zero was taken for a key")
	}
}

// TestOneAnswer: after an answer, right or wrong, no other counts, the zeros that
// a wiped secret leaves least of all.
func TestOneAnswer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	a, err := New(Config{EKRoots: x509.NewCertPool(), Certificate: own, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	right, zeros := bytes.Repeat([]byte{7}, secretLen), make([]byte, secretLen)
	for name, answers := range map[string][][]byte{
		"wrong, then zeros": {bytes.Repeat([]byte{8}, secretLen), zeros},
		"wrong, then right": {nil, right},
		"zeros":             {zeros},
	} {
		p := &Pending{secret: secret.CopyBytes(right), ak: &key.PublicKey}
		for i, answer := range answers {
			if der, err := a.Issue(p, answer); der != nil || !errors.Is(err, ErrRefused) {
				t.Errorf("%s: answer %d: certified, %v", name, i+1, err)
			}
		}
	}
	p := &Pending{secret: secret.CopyBytes(right), ak: &key.PublicKey}
	if der, err := a.Issue(p, right); err != nil || der == nil {
		t.Errorf("the right answer: %v", err)
	}
	if der, err := a.Issue(p, zeros); der != nil || !errors.Is(err, ErrRefused) {
		t.Errorf("zeros after it: %v", err)
	}
}

// TestEKCertificate: an EK counts by a certificate that says so, from authorities
// that may say so.
func TestEKCertificate(t *testing.T) {
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	certify := func(c, parent *x509.Certificate, key *ecdsa.PublicKey, by *ecdsa.PrivateKey) *x509.Certificate {
		c.SerialNumber, c.NotBefore, c.NotAfter, c.BasicConstraintsValid = big.NewInt(9), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), true
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key, by)
		if err == nil {
			c, err = x509.ParseCertificate(der)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	}
	rootKey, makerKey, ek := newKey(), newKey(), newKey()
	root := certify(authority("root"), nil, &rootKey.PublicKey, rootKey)
	for name, c := range map[string]struct {
		maker, ek func(*x509.Certificate)
		good      bool
	}{
		"an EK's":                     {nil, nil, true},
		"without a usage of its key":  {nil, func(c *x509.Certificate) { c.KeyUsage = 0 }, true},
		"a maker of EKs":              {func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidEK} }, nil, true},
		"a maker of AKs":              {func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidAK} }, nil, false},
		"a maker of TLS certificates": {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil, false},
		"a maker that is none":        {func(c *x509.Certificate) { c.IsCA = false }, nil, false},
		"an AK's":                     {nil, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidAK} }, false},
		"for signing":                 {nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, false},
		"an authority's":              {nil, func(c *x509.Certificate) { c.IsCA = true }, false},
	} {
		m := authority("maker")
		if c.maker != nil {
			c.maker(m)
		}
		m = certify(m, root, &makerKey.PublicKey, rootKey)
		leaf := &x509.Certificate{UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidEK}, KeyUsage: x509.KeyUsageKeyAgreement}
		if c.ek != nil {
			c.ek(leaf)
		}
		leaf = certify(leaf, m, &ek.PublicKey, makerKey)
		a := &Authority{Config{EKRoots: x509.NewCertPool(), EKIntermediates: x509.NewCertPool(), Now: time.Now}}
		a.c.EKRoots.AddCert(root)
		a.c.EKIntermediates.AddCert(m)
		if err := a.checkEK(leaf.Raw, &ek.PublicKey); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err := a.checkEK(leaf.Raw, &makerKey.PublicKey); err == nil {
			t.Errorf("%s: taken for another key", name)
		}
	}
}
