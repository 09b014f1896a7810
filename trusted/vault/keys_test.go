package vault

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
)

func TestKeysStayAndAgree(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	pub, err := v.PublicKey(t.Context(), "device")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := v.ECDH(t.Context(), "device", peer.PublicKey().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	devicePub, err := ecdh.X25519().NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.ECDH(devicePub)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shared, want) {
		t.Error("the two ends do not agree")
	}
	vk, err := v.VerificationKey(t.Context(), "device")
	if err != nil {
		t.Fatal(err)
	}
	sig, err := v.Sign(t.Context(), "device", []byte("statement"))
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(vk, []byte("statement"), sig) {
		t.Error("the signature does not verify")
	}
	other, err := v.PublicKey(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(other, pub) {
		t.Error("two names share a key")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := open(t, dir).PublicKey(t.Context(), "device")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pub, again) {
		t.Error("the key changed when the vault was opened again")
	}
}

func TestECDHRefusesBadPeers(t *testing.T) {
	v := open(t, t.TempDir())
	for name, peer := range map[string][]byte{
		"short":     make([]byte, 31),
		"low order": make([]byte, 32),
	} {
		if _, err := v.ECDH(t.Context(), "device", peer); err == nil {
			t.Errorf("%s peer key was taken", name)
		}
	}
}

func TestKeySources(t *testing.T) {
	for name, src := range map[string]KeySource{
		"file":       InsecureKeyFile(),
		"passphrase": DevelopmentPassphrase(secret.CopyBytes([]byte("a long passphrase"))),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var keys [2]secret.Bytes
			for i := range keys {
				k, err := src(t.Context(), dir, bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 64)))
				if err != nil {
					t.Fatal(err)
				}
				keys[i] = k
			}
			if keys[0].Len() != 32 || !keys[0].Equal(keys[1]) {
				t.Error("the key is not the same the second time")
			}
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				s, err := os.Stat(f)
				if err != nil {
					t.Fatal(err)
				}
				if s.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s is readable by others: %v", f, s.Mode())
				}
			}
		})
	}
	if _, err := Open(t.Context(), t.TempDir(), Config{}); err == nil {
		t.Error("a vault without a key source was opened")
	}
	if _, err := FixedKey(secret.CopyBytes([]byte("short")))(t.Context(), "", nil); err == nil {
		t.Error("a short key was taken")
	}
}

// TestWrongPassphrase: another passphrase opens nothing, and neither does the
// right one with another folder's salt.
func TestWrongPassphrase(t *testing.T) {
	config := func(passphrase string) Config {
		return Config{Key: DevelopmentPassphrase(secret.CopyBytes([]byte(passphrase)))}
	}
	dir := t.TempDir()
	v, err := Open(t.Context(), dir, config("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, v, "a", "1")
	closed(t, v)
	if _, err := Open(t.Context(), dir, config("correct horsE")); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("another passphrase: %v", err)
	}
	salt := filepath.Join(dir, "salt")
	b, err := os.ReadFile(salt)
	if err != nil || len(b) != 16 {
		t.Fatalf("salt of %d bytes, %v", len(b), err)
	}
	b[0] ^= 1
	if err := os.WriteFile(salt, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, config("correct horse")); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("another salt: %v", err)
	}
	b[0] ^= 1
	if err := os.WriteFile(salt, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err = Open(t.Context(), dir, config("correct horse")); err != nil {
		t.Fatal(err)
	}
	closed(t, v)
}
