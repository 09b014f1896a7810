package keyring

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/pinpad/mac"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/comm"
	"github.com/payunit/payunit/trusted/vault"
)

func bytesOf(b byte, n int) secret.Bytes { return secret.NewBytes(bytes.Repeat([]byte{b}, n)) }

func header(usage string, algorithm, mode, exportability byte) keyblock.Header {
	return keyblock.Header{Version: 'D', Usage: usage, Algorithm: algorithm, Mode: mode, KeyVersion: "00", Exportability: exportability}
}

// transport is the key that both ends have, and blocks are keys under it.
func transport(t *testing.T) *keyblock.Key {
	t.Helper()
	k, err := keyblock.NewKey(header("K1", 'A', 'B', 'N'), bytesOf(0x11, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func block(t *testing.T, h keyblock.Header, key secret.Bytes) string {
	t.Helper()
	b, err := keyblock.Wrap(bytesOf(0x11, 32), h, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openVault(t *testing.T, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), dir, vault.Config{Key: vault.FixedKey(bytesOf(9, 32))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func ring(t *testing.T, s trusted.Storage, root Root) *Ring {
	t.Helper()
	r, err := New(t.Context(), s, root, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kept fills a ring with a key of each kind.
func kept(t *testing.T, r *Ring) {
	t.Helper()
	for name, h := range map[string]keyblock.Header{
		"pin": header("P0", 'A', 'E', 'N'), "mac": header("M6", 'A', 'C', 'N'), "verify": header("M6", 'A', 'V', 'N'), "wrap": header("K1", 'A', 'B', 'N'),
		"retail": header("M3", 'T', 'C', 'N'), "initial": header("B1", 'A', 'X', 'N'),
	} {
		if _, err := r.Load(t.Context(), name, transport(t), block(t, h, bytesOf(name[0], 16))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// contract is what a ring does over any storage and root.
func contract(t *testing.T, s trusted.Storage, root, other Root) {
	kept(t, ring(t, s, root))
	r := ring(t, s, root) // and in the next process
	data, pin := []byte("message"), secret.CopyBytes([]byte("1234"))
	pan, err := secret.NewPAN([]byte("4761739001010010"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := r.Handle("mac").MAC(t.Context(), data, mac.Padding1)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := keyblock.NewKey(header("M6", 'A', 'C', 'N'), bytesOf('m', 16))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := bare.MAC(data, mac.Padding1); err != nil || !bytes.Equal(code, want) {
		t.Errorf("MAC %X, want %X (%v)", code, want, err)
	}
	if _, err := r.Handle("pin").EncryptPIN(t.Context(), 4, pin, pan); err != nil {
		t.Errorf("PIN block: %v", err)
	}
	if _, err := r.Handle("retail").MAC(t.Context(), data, mac.Padding2); err != nil {
		t.Errorf("retail MAC: %v", err)
	}
	if err := r.Handle("mac").VerifyMAC(t.Context(), data, mac.Padding1, code); err != nil {
		t.Errorf("verifying: %v", err)
	}
	if err := r.Handle("verify").VerifyMAC(t.Context(), data, mac.Padding1, code); !errors.Is(err, mac.ErrMAC) {
		t.Errorf("verifying with another key: %v", err)
	}
	// Each key against each operation that is not its own.
	for _, name := range []string{"pin", "mac", "verify", "wrap", "retail", "initial"} {
		h := r.Handle(name)
		_, merr := h.MAC(t.Context(), data, mac.Padding1)
		_, perr := h.EncryptPIN(t.Context(), 4, pin, pan)
		_, uerr := h.Unwrap(t.Context(), "new", block(t, header("P0", 'A', 'E', 'N'), bytesOf(1, 16)))
		for op, c := range map[string]struct {
			err  error
			uses []string
		}{
			"MAC": {merr, []string{"mac", "retail"}}, "PIN": {perr, []string{"pin"}}, "unwrap": {uerr, []string{"wrap"}},
		} {
			mine := strings.Contains(strings.Join(c.uses, " "), name)
			if !mine && !errors.Is(c.err, keyblock.ErrUsage) {
				t.Errorf("%s key, %s: %v, want ErrUsage", name, op, c.err)
			}
		}
	}
	if _, err := r.Handle("new").Header(t.Context()); !errors.Is(err, trusted.ErrNotFound) {
		t.Errorf("a key that was refused is kept: %v", err)
	}
	// A further key under one that is kept.
	under, err := keyblock.Wrap(bytesOf('w', 16), header("M6", 'A', 'C', 'N'), bytesOf('m', 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.Handle("wrap").Unwrap(t.Context(), "second", under)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := h.MAC(t.Context(), data, mac.Padding1); err != nil || !bytes.Equal(again, code) {
		t.Errorf("the unwrapped key makes %X, %v, want %X", again, err, code)
	}
	got, err := h.Header(t.Context())
	if err != nil || got.Usage != "M6" || got.Mode != 'C' || got.Exportability != 'N' {
		t.Errorf("header %+v, %v", got, err)
	}
	kcv, err := h.KCV(t.Context())
	if want, werr := bare.KCV(); err != nil || werr != nil || !bytes.Equal(kcv, want) {
		t.Errorf("KCV %X, want %X (%v)", kcv, want, err)
	}
	hostile(t, s, r, other)
}

// hostile reads and exchanges what is stored.
func hostile(t *testing.T, s trusted.Storage, r *Ring, other Root) {
	names, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	records := map[string][]byte{}
	for _, n := range names {
		if records[n], err = s.Get(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		for _, b := range "pmvwri" {
			if bytes.Contains(records[n], bytes.Repeat([]byte{byte(b)}, 16)) || bytes.Contains(records[n], []byte(strings.Repeat(strings.ToUpper(string("0123456789abcdef"[b>>4])+string("0123456789abcdef"[b&15])), 16))) {
				t.Errorf("the record %s holds a key", n)
			}
		}
	}
	if err := s.Put(t.Context(), prefix+"mac", records[prefix+"second"]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Handle("mac").MAC(t.Context(), nil, mac.Padding1); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("a key under another's name: %v", err)
	}
	altered := bytes.Clone(records[prefix+"pin"])
	altered[5] = 'D' // usage P0 becomes D0: data may be deciphered
	if err := s.Put(t.Context(), prefix+"pin", altered); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Handle("pin").Header(t.Context()); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("a key with another usage: %v", err)
	}
	if err := s.Put(t.Context(), prefix+"pin", records[prefix+"pin"]); err != nil {
		t.Fatal(err)
	}
	if _, err := ring(t, s, other).Handle("pin").Header(t.Context()); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("under another root: %v", err)
	}
	if err := r.Delete(t.Context(), "pin"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Handle("pin").KCV(t.Context()); !errors.Is(err, trusted.ErrNotFound) {
		t.Errorf("a deleted key: %v", err)
	}
}

func TestRing(t *testing.T) {
	v := openVault(t, t.TempDir())
	contract(t, v, comm.StaticKey{Keys: v, Name: "ring"}, comm.StaticKey{Keys: v, Name: "other"})
}

func TestLoadRefuses(t *testing.T) {
	v := openVault(t, t.TempDir())
	r := ring(t, v, comm.StaticKey{Keys: v, Name: "ring"})
	good := block(t, header("P0", 'A', 'E', 'N'), bytesOf(1, 16))
	notForKeys, err := keyblock.NewKey(header("D0", 'A', 'B', 'N'), bytesOf(0x11, 32))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := keyblock.NewKey(header("K1", 'A', 'B', 'N'), bytesOf(0x12, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		transport *keyblock.Key
		block     string
		want      error
	}{
		"a data key for transport": {notForKeys, good, keyblock.ErrUsage},
		"another transport key":    {wrong, good, keyblock.ErrAuthentication},
		"cut off":                  {transport(t), good[:40], keyblock.ErrFormat},
		"incoherent":               {transport(t), block(t, header("P0", 'A', 'G', 'N'), bytesOf(1, 16)), keyblock.ErrUsage},
	} {
		if _, err := r.Load(t.Context(), "pin", c.transport, c.block); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := r.Load(t.Context(), "Not A Name", transport(t), good); err == nil {
		t.Error("a name that no record may have was taken")
	}
	names, err := v.List(t.Context(), "keyring/")
	if err != nil || len(names) != 0 {
		t.Errorf("kept %v, %v", names, err)
	}
	if _, err := New(t.Context(), nil, nil, nil); err == nil {
		t.Error("a ring of nothing")
	}
}

// broken is a root, and a storage, that does not work.
type broken struct{ trusted.Storage }

var errBroken = errors.New("broken")

func (broken) PublicKey(context.Context) ([]byte, error)      { return nil, errBroken }
func (broken) ECDH(context.Context, []byte) ([]byte, error)   { return nil, errBroken }
func (broken) Get(context.Context, string) ([]byte, error)    { return nil, errBroken }
func (broken) Put(context.Context, string, []byte) error      { return errBroken }
func (broken) List(context.Context, string) ([]string, error) { return nil, errBroken }

func TestBrokenModules(t *testing.T) {
	v := openVault(t, t.TempDir())
	if _, err := New(t.Context(), broken{}, comm.StaticKey{Keys: v, Name: "ring"}, nil); !errors.Is(err, errBroken) {
		t.Errorf("storage: %v", err)
	}
	if _, err := New(t.Context(), v, broken{}, nil); !errors.Is(err, errBroken) {
		t.Errorf("root: %v", err)
	}
	r := ring(t, v, comm.StaticKey{Keys: v, Name: "ring"})
	kept(t, r)
	r.root = broken{}
	if _, err := r.Handle("pin").KCV(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("root of a kept key: %v", err)
	}
	if _, err := r.Load(t.Context(), "new", transport(t), block(t, header("P0", 'A', 'E', 'N'), bytesOf(1, 16))); !errors.Is(err, errBroken) {
		t.Errorf("root of a new key: %v", err)
	}
	want := []string{"initial", "mac", "pin", "retail", "verify", "wrap"}
	names, err := v.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], prefix)
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("kept (-want +got):\n%s", d)
	}
}
