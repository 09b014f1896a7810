package attest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/payunit/payunit/channel"
)

type signer struct{ key ed25519.PrivateKey }

func (s signer) VerificationKey(context.Context, string) ([]byte, error) {
	return s.key.Public().(ed25519.PublicKey), nil
}

func (s signer) Sign(_ context.Context, _ string, m []byte) ([]byte, error) {
	return ed25519.Sign(s.key, m), nil
}

func evidence(t *testing.T, seed byte, challenge []byte) channel.Evidence {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	e, err := Software{Keys: signer{key}}.Attest(t.Context(), challenge)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSoftware(t *testing.T) {
	challenge := bytes.Repeat([]byte{7}, 32)
	e := evidence(t, 1, challenge)
	a, err := SoftwareVerifier{}.Verify(t.Context(), challenge, e)
	if err != nil {
		t.Fatal(err)
	}
	if a.Assurance != channel.AssuranceSoftware || a.Device == "" {
		t.Errorf("claims %+v", a)
	}
	b, err := SoftwareVerifier{}.Verify(t.Context(), challenge, evidence(t, 2, challenge))
	if err != nil || b.Device == a.Device {
		t.Errorf("another key has the same name: %v %v", b, err)
	}
}

// TestEveryBitCounts flips each byte of the statement and of the challenge.
func TestEveryBitCounts(t *testing.T) {
	challenge := bytes.Repeat([]byte{7}, 32)
	good := evidence(t, 1, challenge)
	for i := range good.Statement {
		bad := channel.Evidence{Type: good.Type, Statement: bytes.Clone(good.Statement)}
		bad.Statement[i] ^= 1
		if _, err := (SoftwareVerifier{}).Verify(t.Context(), challenge, bad); !errors.Is(err, channel.ErrEvidence) {
			t.Errorf("statement byte %d: %v", i, err)
		}
	}
	for i := range challenge {
		other := bytes.Clone(challenge)
		other[i] ^= 1
		if _, err := (SoftwareVerifier{}).Verify(t.Context(), other, good); !errors.Is(err, channel.ErrEvidence) {
			t.Errorf("challenge byte %d: %v", i, err)
		}
	}
	for n := range good.Statement {
		if _, err := (SoftwareVerifier{}).Verify(t.Context(), challenge, channel.Evidence{Type: good.Type, Statement: good.Statement[:n]}); !errors.Is(err, channel.ErrEvidence) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	if _, err := (SoftwareVerifier{}).Verify(t.Context(), challenge, channel.Evidence{Type: "tpm2-quote", Statement: good.Statement}); !errors.Is(err, channel.ErrEvidence) {
		t.Errorf("other type: %v", err)
	}
}
