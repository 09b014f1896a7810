//go:build swtpm

package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/storagetest"
	"github.com/payunit/payunit/trusted/tpm/swtpmtest"
)

func config(t Transport) Config {
	return Config{TPM: t, Auth: secret.CopyBytes([]byte("authorisation")), Device: "unit 1"}
}

func open(t *testing.T, dir string, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func closed(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s *Store, value string) {
	t.Helper()
	if err := s.Put(t.Context(), "a", []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, s *Store, value string) {
	t.Helper()
	if b, err := s.Get(t.Context(), "a"); err != nil || string(b) != value {
		t.Errorf("a holds %q, %v, want %q", b, err, value)
	}
}

func refused(t *testing.T, dir string, c Config, want error) {
	t.Helper()
	s, err := Open(t.Context(), dir, c)
	if err == nil {
		closed(t, s)
	}
	if !errors.Is(err, want) {
		t.Errorf("Open: %v, want %v", err, want)
	}
}

// copyTo copies a state folder.
func copyTo(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	m := swtpmtest.Start(t)
	index := uint32(DefaultIndex)
	storagetest.Run(t, func(t *testing.T) storagetest.Backend {
		index++
		c, dir := config(m), t.TempDir()
		c.Index = index
		// Each part leaves a counter, and a TPM has room for some only.
		t.Cleanup(func() {
			if err := Forget(context.Background(), c); err != nil {
				t.Error(err)
			}
		})
		return storagetest.Backend{
			Dir: dir, Anchored: true, Stride: 23,
			Open: func(ctx context.Context) (storagetest.Store, error) { return Open(ctx, dir, c) },
		}
	})
}

// TestPower: the state lasts where the TPM's memory does.
func TestPower(t *testing.T) {
	m, dir := swtpmtest.Start(t), t.TempDir()
	s := open(t, dir, config(m))
	put(t, s, "1")
	closed(t, s)
	m.Restart()
	s = open(t, dir, config(m))
	holds(t, s, "1")
	m.Restart()
	put(t, s, "2")
	m.PowerOff()
	if err := s.Put(t.Context(), "a", []byte("3")); !errors.Is(err, ErrTPM) {
		t.Errorf("without a TPM: %v", err)
	}
	closed(t, s)
	m.PowerOn()
	s = open(t, dir, config(m))
	if b, err := s.Get(t.Context(), "a"); err != nil || string(b) != "2" && string(b) != "3" {
		t.Errorf("a holds %q, %v", b, err)
	}
}

// TestOldFolder puts an older copy back, and takes the folder away.
func TestOldFolder(t *testing.T) {
	m, dir := swtpmtest.Start(t), filepath.Join(t.TempDir(), "state")
	s := open(t, dir, config(m))
	put(t, s, "1")
	closed(t, s)
	old := filepath.Join(t.TempDir(), "old")
	copyTo(t, dir, old)
	s = open(t, dir, config(m))
	put(t, s, "2")
	closed(t, s)
	last := filepath.Join(t.TempDir(), "last")
	copyTo(t, dir, last)

	copyTo(t, old, dir)
	refused(t, dir, config(m), trusted.ErrRollback)
	if err := os.Remove(filepath.Join(dir, "vault")); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, config(m), trusted.ErrRollback)
	refused(t, t.TempDir(), config(m), trusted.ErrRollback)

	// Removing the counter opens no way back either: the next begins higher.
	if err := Forget(t.Context(), config(m)); err != nil {
		t.Fatal(err)
	}
	copyTo(t, last, dir)
	refused(t, dir, config(m), trusted.ErrTampered)
	s = open(t, t.TempDir(), config(m))
	put(t, s, "new")
	closed(t, s)
	copyTo(t, last, dir)
	refused(t, dir, config(m), trusted.ErrTampered)
}

// TestAnotherTPM: the folder is of one TPM, as long as that is not cleared.
func TestAnotherTPM(t *testing.T) {
	m, other, dir := swtpmtest.Start(t), swtpmtest.Start(t), t.TempDir()
	s := open(t, dir, config(m))
	put(t, s, "1")
	closed(t, s)
	refused(t, dir, config(other), trusted.ErrTampered)
	c := config(m)
	c.Device = "unit 2"
	refused(t, dir, c, trusted.ErrTampered)
	holds(t, open(t, dir, config(m)), "1")

	if _, err := (tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}).Execute(m); err != nil {
		t.Fatal(err)
	}
	cleared := t.TempDir()
	copyTo(t, dir, cleared)
	refused(t, cleared, config(m), trusted.ErrTampered)
}

// lockoutCommand sends a command of the lockout hierarchy, whose authorisation
// value is empty (TPM 2.0 Part 3, 25.2 and 25.3).
func lockoutCommand(t *testing.T, m Transport, code uint32, parameters ...uint32) {
	t.Helper()
	be := binary.BigEndian
	body := be.AppendUint32(nil, uint32(tpm2.TPMRHLockout))
	body = be.AppendUint32(body, 9) // one authorisation: a password of no bytes
	body = be.AppendUint32(body, uint32(tpm2.TPMRSPW))
	body = append(body, 0, 0, 0, 0, 0)
	for _, p := range parameters {
		body = be.AppendUint32(body, p)
	}
	command := be.AppendUint16(nil, uint16(tpm2.TPMSTSessions))
	command = be.AppendUint32(command, uint32(10+len(body)))
	command = be.AppendUint32(command, code)
	r, err := m.Send(append(command, body...))
	if err != nil {
		t.Fatal(err)
	}
	if rc := be.Uint32(r[6:]); rc != 0 {
		t.Fatalf("command %X: %v", code, tpm2.TPMRC(rc))
	}
}

// TestLockout: the TPM counts wrong authorisations, and then takes none.
func TestLockout(t *testing.T) {
	m, dir := swtpmtest.Start(t), t.TempDir()
	const tries = 3
	lockoutCommand(t, m, 0x13A, tries, 1000, 1000) // TPM2_DictionaryAttackParameters
	s := open(t, dir, config(m))
	put(t, s, "1")
	closed(t, s)
	wrong := config(m)
	wrong.Auth = secret.CopyBytes([]byte("authorisatioN"))
	for i := range tries {
		_, err := Open(t.Context(), dir, wrong)
		if !errors.Is(err, ErrAuth) || errors.Is(err, ErrLockout) {
			t.Fatalf("wrong authorisation %d: %v, want ErrAuth", i+1, err)
		}
	}
	for name, c := range map[string]Config{"wrong": wrong, "right": config(m)} {
		_, err := Open(t.Context(), dir, c)
		if !errors.Is(err, ErrLockout) || errors.Is(err, ErrAuth) {
			t.Errorf("%s authorisation, locked out: %v, want ErrLockout", name, err)
		}
	}
	lockoutCommand(t, m, 0x139) // TPM2_DictionaryAttackLockReset
	holds(t, open(t, dir, config(m)), "1")
}

// TestIndexOfAnother: what is at the NV index has to be this folder's.
func TestIndexOfAnother(t *testing.T) {
	m := swtpmtest.Start(t)
	for name, p := range map[string]tpm2.TPMSNVPublic{
		"ordinary": {NVIndex: DefaultIndex, NameAlg: tpm2.TPMAlgSHA256, Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, NoDA: true}, DataSize: 8},
		"owner's":  {NVIndex: DefaultIndex, NameAlg: tpm2.TPMAlgSHA256, Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, OwnerWrite: true, NoDA: true, NT: tpm2.TPMNTCounter}, DataSize: 8},
		"same":     {NVIndex: DefaultIndex, NameAlg: tpm2.TPMAlgSHA256, Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, NoDA: true, NT: tpm2.TPMNTCounter}, DataSize: 8},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, config(m))
			put(t, s, "1")
			if err := Forget(t.Context(), config(m)); err != nil {
				t.Fatal(err)
			}
			if _, err := (tpm2.NVDefineSpace{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}, PublicInfo: tpm2.New2B(p)}).Execute(m); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(t.Context(), "a", nil); !errors.Is(err, trusted.ErrTampered) || errors.Is(err, ErrAuth) {
				t.Errorf("Put: %v, want ErrTampered", err)
			}
			closed(t, s)
			refused(t, dir, config(m), trusted.ErrTampered)
			refused(t, t.TempDir(), config(m), trusted.ErrRollback)
			if err := Forget(t.Context(), config(m)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestNothingIsLeftInTheTPM: each call unloads what it loaded, and Exclusive
// what a dead process left.
func TestNothingIsLeftInTheTPM(t *testing.T) {
	m, dir := swtpmtest.Start(t), t.TempDir()
	loaded := func() (n int) {
		for _, kind := range []tpm2.TPMHT{tpm2.TPMHTTransient, tpm2.TPMHTHMACSession, tpm2.TPMHTPolicySession} {
			r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(kind) << 24, PropertyCount: 64}.Execute(m)
			if err != nil {
				t.Fatal(err)
			}
			h, err := r.CapabilityData.Data.Handles()
			if err != nil {
				t.Fatal(err)
			}
			n += len(h.Handle)
		}
		return n
	}
	s := open(t, dir, config(m))
	put(t, s, "1")
	if _, err := s.P256("device", UsageAgree).PublicKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	wrong := config(m)
	wrong.Auth = secret.CopyBytes([]byte("x"))
	refused(t, dir, wrong, ErrAuth)
	if n := loaded(); n != 0 {
		t.Errorf("%d objects and sessions are left", n)
	}
	for range 3 {
		if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}).Execute(m); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, dir, config(m), ErrTPM)
	c := config(m)
	c.Exclusive = true
	holds(t, open(t, dir, c), "1")
}

// bus sees and may change what passes.
type bus struct {
	Transport
	seen  [][]byte
	after func(n int, response []byte) []byte
}

func (b *bus) Send(command []byte) ([]byte, error) {
	r, err := b.Transport.Send(command)
	b.seen = append(b.seen, bytes.Clone(command), bytes.Clone(r))
	if b.after != nil && err == nil {
		r = b.after(len(b.seen)/2, bytes.Clone(r))
	}
	return r, err
}

// TestBusSeesNoSecret looks for everything that is secret in all that passes.
func TestBusSeesNoSecret(t *testing.T) {
	b, dir := &bus{Transport: swtpmtest.Start(t)}, t.TempDir()
	random := bytes.Repeat([]byte("sealed secret!! "), 64)
	c := config(b)
	c.Rand = bytes.NewReader(random)
	closed(t, open(t, dir, c))
	c.Rand = nil
	s := open(t, dir, c)
	put(t, s, "a record's value")
	k := s.P256("device", UsageAgree)
	pub, err := k.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shared, err := k.ECDH(t.Context(), pub)
	if err != nil {
		t.Fatal(err)
	}
	all := bytes.Join(b.seen, nil)
	for name, x := range map[string][]byte{
		"sealed secret": random[:16], "authorisation": []byte("authorisation"), "counter's authorisation": s.counter.auth.Reveal(),
		"keys' authorisation": s.keyAuth.Reveal(), "shared secret": shared, "record": []byte("a record's"),
	} {
		if bytes.Contains(all, x) {
			t.Errorf("the bus saw the %s", name)
		}
	}
	if !bytes.Contains(all, pub[1:33]) {
		t.Error("the bus did not even see a public key: it was not listened to")
	}
}

// TestBusChangesNothing flips a bit in each answer of an opening and a put: what
// is told is true or refused, and the state behind is whole.
func TestBusChangesNothing(t *testing.T) {
	m, dir := swtpmtest.Start(t), t.TempDir()
	c := config(m)
	c.Exclusive = true
	s := open(t, dir, c)
	put(t, s, "0")
	closed(t, s)
	refusals := 0
	for n := 1; ; n++ {
		b := &bus{Transport: m}
		hit := false
		b.after = func(i int, r []byte) []byte {
			if i == n {
				hit = true
				r[len(r)-1] ^= 1
			}
			return r
		}
		c := config(b)
		s, err := Open(t.Context(), dir, c)
		if err == nil {
			err = errors.Join(s.Put(t.Context(), "a", []byte{byte('0' + n%10)}), s.Close())
		}
		if err != nil {
			refusals++
		}
		clean := config(m)
		clean.Exclusive = true
		s = open(t, dir, clean)
		got, gerr := s.Get(t.Context(), "a")
		if gerr != nil || err == nil && string(got) != string([]byte{byte('0' + n%10)}) {
			t.Fatalf("answer %d changed: acknowledged %v, and the record is %q, %v", n, err == nil, got, gerr)
		}
		closed(t, s)
		if !hit {
			break
		}
	}
	if refusals < 10 {
		t.Errorf("only %d changed answers were refused", refusals)
	}
}
