package storagetest

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"testing"

	"github.com/payunit/payunit/trusted"
)

// keys: a key is made once, stays, does one thing, and is nobody's to read.
func keys(t *testing.T, b Backend) {
	s := open(t, b)
	k, ok := s.(trusted.KeyStore)
	if !ok {
		return
	}
	peer, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	pub := must(t)(k.PublicKey(t.Context(), "device"))
	shared := must(t)(k.ECDH(t.Context(), "device", peer.PublicKey().Bytes()))
	ours, err := ecdh.X25519().NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	if want := must(t)(peer.ECDH(ours)); !bytes.Equal(shared, want) {
		t.Error("the two ends do not agree")
	}
	vk := must(t)(k.VerificationKey(t.Context(), "device"))
	if sig := must(t)(k.Sign(t.Context(), "device", []byte("statement"))); !ed25519.Verify(vk, []byte("statement"), sig) {
		t.Error("the signature does not verify")
	}
	if bytes.Equal(must(t)(k.PublicKey(t.Context(), "other")), pub) {
		t.Error("two names share a key")
	}
	for name, bad := range map[string][]byte{"nil": nil, "short": make([]byte, 31), "low order": make([]byte, 32)} {
		if _, err := k.ECDH(t.Context(), "device", bad); err == nil {
			t.Errorf("a peer's key that is %s was taken", name)
		}
	}
	same(t, s, map[string]string{})
	shut(t, s)
	s = open(t, b)
	k = s.(trusted.KeyStore)
	if !bytes.Equal(must(t)(k.PublicKey(t.Context(), "device")), pub) {
		t.Error("the key changed with the process")
	}
	if !bytes.Equal(must(t)(k.VerificationKey(t.Context(), "device")), vk) {
		t.Error("the signing key changed with the process")
	}
}

func must(t *testing.T) func(b []byte, err error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}
