package vault

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/trusted"
)

// dial is an anchor that can fail and be turned.
type dial struct {
	n   uint64
	err error
}

func (d *dial) Value(context.Context) (uint64, error) { return d.n, d.err }

func (d *dial) Advance(context.Context) (uint64, error) {
	if d.err != nil {
		return 0, d.err
	}
	d.n++
	return d.n, nil
}

func anchoredConfig(a Anchor) Config {
	c := testConfig()
	c.Anchor = a
	return c
}

func openAnchored(t *testing.T, dir string, a Anchor) *Vault {
	t.Helper()
	v, err := Open(t.Context(), dir, anchoredConfig(a))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func closed(t *testing.T, v *Vault) {
	t.Helper()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "vault"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, dir string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "vault"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, dir string, a Anchor, want error, says string) {
	t.Helper()
	before := read(t, dir)
	v, err := Open(t.Context(), dir, anchoredConfig(a))
	if err == nil {
		closed(t, v)
		t.Fatal("opened")
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want %v, and %q", err, want, says)
	}
	if string(read(t, dir)) != string(before) {
		t.Error("a folder that was refused was written to")
	}
}

// TestOlderFolderIsRefused puts back every state that the folder ever had.
func TestOlderFolderIsRefused(t *testing.T) {
	dir, a := t.TempDir(), &dial{}
	v := openAnchored(t, dir, a)
	var old [][]byte
	for _, value := range []string{"1", "2", "3"} {
		old = append(old, read(t, dir))
		mustPut(t, v, "a", value)
	}
	old = append(old, read(t, dir))
	closed(t, v)
	closed(t, openAnchored(t, dir, a))
	last := read(t, dir)
	for _, b := range old {
		write(t, dir, b)
		refused(t, dir, a, trusted.ErrRollback, "older than its anchor")
	}
	write(t, dir, last)
	if s := state(t, openAnchored(t, dir, a)); s["a"] != "3" {
		t.Errorf("the last state holds %v", s)
	}
}

// TestUnacknowledgedChangeDoesNotComeBack: a change that failed before it
// counted may stand or not, but once another took its place it is older.
func TestUnacknowledgedChangeDoesNotComeBack(t *testing.T) {
	dir, a := t.TempDir(), &dial{}
	v := openAnchored(t, dir, a)
	mustPut(t, v, "a", "1")
	before := read(t, dir)
	a.err = errDead
	if err := v.Put(t.Context(), "a", []byte("2")); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	a.err = nil
	if err := v.Put(t.Context(), "b", nil); !errors.Is(err, errDead) {
		t.Errorf("the vault went on without its anchor: %v", err)
	}
	closed(t, v)
	fork := read(t, dir)
	write(t, dir, before)
	v = openAnchored(t, dir, a)
	mustPut(t, v, "a", "3")
	closed(t, v)
	good := read(t, dir)
	write(t, dir, fork)
	refused(t, dir, a, trusted.ErrRollback, "")
	write(t, dir, good)
	if s := state(t, openAnchored(t, dir, a)); s["a"] != "3" {
		t.Errorf("the acknowledged state holds %v", s)
	}
}

func TestAnchorOfAnother(t *testing.T) {
	dir, a := t.TempDir(), &dial{}
	v := openAnchored(t, dir, a)
	mustPut(t, v, "a", "1")
	a.n++
	if err := v.Put(t.Context(), "a", []byte("2")); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("an anchor that somebody else advances: %v", err)
	}
	closed(t, v)
	refused(t, dir, &dial{n: 1}, trusted.ErrTampered, "another's")
	refused(t, dir, &dial{err: errDead}, errDead, "anchor")
	refused(t, dir, nil, ErrAnchor, "")

	plain := t.TempDir()
	closed(t, open(t, plain))
	refused(t, plain, &dial{}, ErrAnchor, "")
}

// TestEmptyFolderIsRefused: taking the whole state away is a rollback too.
func TestEmptyFolderIsRefused(t *testing.T) {
	a := &dial{}
	closed(t, openAnchored(t, t.TempDir(), a))
	if _, err := Open(t.Context(), t.TempDir(), anchoredConfig(a)); !errors.Is(err, trusted.ErrRollback) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Open(t.Context(), t.TempDir(), anchoredConfig(&dial{err: errDead})); !errors.Is(err, errDead) {
		t.Errorf("an anchor that does not work: %v", err)
	}
}

// TestAdditionalData: under the same key, a frame and a head slot hold for their
// device, number and place alone.
func TestAdditionalData(t *testing.T) {
	v := open(t, t.TempDir())
	mustPut(t, v, "a", "1")
	v.device = "unit 2"
	if _, err := v.Get(t.Context(), "a"); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("a record of another device: %v", err)
	}
	head := make([]byte, headerLen)
	if _, err := v.f.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := v.readHead(head); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("a head of another device: %v", err)
	}
	v.device = "unit 1"
	l := v.index["a"]
	l.number++
	v.index["a"] = l
	if _, err := v.Get(t.Context(), "a"); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("a record of another number: %v", err)
	}
	slots := [2][]byte{append([]byte(nil), head[slotOffset:][:slotLen]...), append([]byte(nil), head[slotOffset+slotLen:][:slotLen]...)}
	copy(head[slotOffset:], slots[1])
	copy(head[slotOffset+slotLen:], slots[0])
	if _, err := v.readHead(head); !errors.Is(err, trusted.ErrTampered) {
		t.Errorf("swapped head slots: %v", err)
	}
}

// TestRecordsReachNoKeyAndNoCounter: what is private to the vault has no name
// that a record could have.
func TestRecordsReachNoKeyAndNoCounter(t *testing.T) {
	v := open(t, t.TempDir())
	if _, err := v.PublicKey(t.Context(), "device"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := v.Next(t.Context(), "stan"); err != nil {
			t.Fatal(err)
		}
	}
	for name := range v.index {
		if b, err := v.Get(t.Context(), name); err == nil {
			t.Errorf("%s is read as a record of %d bytes", name, len(b))
		}
		if err := v.Put(t.Context(), name, make([]byte, 8)); err == nil {
			t.Errorf("%s is written as a record", name)
		}
		if err := v.Delete(t.Context(), name); err == nil {
			t.Errorf("%s is deleted as a record", name)
		}
	}
	if names, err := v.List(t.Context(), ""); err != nil || len(names) != 0 {
		t.Errorf("listed %v, %v", names, err)
	}
	if n, err := v.Next(t.Context(), "stan"); n != 3 || err != nil {
		t.Errorf("the counter gives %d, %v", n, err)
	}
}
