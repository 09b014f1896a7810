//go:build swtpm

package tpm

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"math/big"
	"testing"

	"github.com/payunit/payunit/trusted/tpm/swtpmtest"
)

func TestP256(t *testing.T) {
	m, dir := swtpmtest.Start(t), t.TempDir()
	s := open(t, dir, config(m))
	k := s.P256("device", UsageAgree)
	pub, err := k.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ecdh.P256().NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		scalar := bytes.Repeat([]byte{byte(i + 1)}, 32)
		peer, err := ecdh.P256().NewPrivateKey(scalar)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.ECDH(t.Context(), peer.PublicKey().Bytes())
		if err != nil {
			t.Fatal(err)
		}
		want, err := peer.ECDH(ours)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("the two ends do not agree (%v)", err)
		}
	}
	sign := s.P256("device", UsageSign)
	sig, err := sign.Sign(t.Context(), []byte("statement"))
	if err != nil {
		t.Fatal(err)
	}
	vk, err := sign.VerificationKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("statement"))
	if !ecdsa.Verify(vk, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		t.Error("the signature does not verify")
	}
	// One name, two usages: two keys, each for its own use.
	if p, err := sign.PublicKey(t.Context()); err != nil || bytes.Equal(p, pub) {
		t.Errorf("two usages share a key (%v)", err)
	}
	if _, err := sign.ECDH(t.Context(), pub); !errors.Is(err, ErrUsage) {
		t.Errorf("agreed with a signing key: %v", err)
	}
	if _, err := k.Sign(t.Context(), nil); !errors.Is(err, ErrUsage) {
		t.Errorf("signed with a key of agreement: %v", err)
	}
	if _, err := s.P256("device", "other").PublicKey(t.Context()); !errors.Is(err, ErrUsage) {
		t.Errorf("a key for something else: %v", err)
	}
	// The TPM itself holds to it.
	forced := &P256{s: s, name: "device", usage: UsageSign}
	b, err := k.wrapped(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "tpm/sign/device", b); err != nil {
		t.Fatal(err)
	}
	if _, err := forced.Sign(t.Context(), []byte("statement")); !errors.Is(err, ErrTPM) {
		t.Errorf("the TPM signed with a key of agreement: %v", err)
	}
	for name, bad := range map[string][]byte{"nil": nil, "short": pub[:64], "compressed": pub[:33], "off the curve": append(bytes.Clone(pub[:64]), pub[64]^1)} {
		if _, err := k.ECDH(t.Context(), bad); err == nil {
			t.Errorf("a peer's key that is %s was taken", name)
		}
	}
	closed(t, s)
	m.Restart()
	again, err := open(t, dir, config(m)).P256("device", UsageAgree).PublicKey(t.Context())
	if err != nil || !bytes.Equal(again, pub) {
		t.Errorf("the key changed with the power (%v)", err)
	}
}
