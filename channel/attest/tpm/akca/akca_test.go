package akca

import (
	"bytes"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
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
