package storagetest

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/trusted"
)

// folder is what a directory holds, by path.
type folder map[string][]byte

// read takes a copy. An empty file holds no state: it is a lock.
func read(t *testing.T, dir string) folder {
	t.Helper()
	f := folder{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if len(b) > 0 {
			f[path] = b
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// write puts a copy in the place of what is there.
func (f folder) write(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Remove(path)
	})
	for path, b := range f {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// with is a copy in which one file is another.
func (f folder) with(path string, b []byte) folder {
	g := maps.Clone(f)
	g[path] = b
	return g
}

// filled is a state with something of everything, closed.
func filled(t *testing.T, b Backend) map[string]string {
	t.Helper()
	s := open(t, b)
	put(t, s, "journal/a", "reversal")
	put(t, s, "journal/b", "completion")
	put(t, s, "journal/a", "settled")
	if _, err := s.Next(t.Context(), "stan"); err != nil {
		t.Fatal(err)
	}
	if k, ok := s.(trusted.KeyStore); ok {
		if _, err := k.PublicKey(t.Context(), "device"); err != nil {
			t.Fatal(err)
		}
	}
	want := content(t, s)
	shut(t, s)
	return want
}

// judge opens a folder that somebody changed: it is refused, or it is as it was.
func judge(t *testing.T, b Backend, f folder, want map[string]string, how string, at int) (refused bool) {
	t.Helper()
	f.write(t, b.Dir)
	s, err := b.Open(t.Context())
	if err != nil {
		if !errors.Is(err, trusted.ErrTampered) && !errors.Is(err, trusted.ErrRollback) {
			t.Fatalf("%s %d: %v, want ErrTampered or ErrRollback", how, at, err)
		}
		return true
	}
	defer shut(t, s)
	if d := cmp.Diff(want, content(t, s)); d != "" {
		t.Fatalf("%s %d: another state was taken (-want +got):\n%s", how, at, d)
	}
	if n, err := s.Next(t.Context(), "stan"); err != nil || n < 2 {
		t.Fatalf("%s %d: the counter gives %d, %v", how, at, n, err)
	}
	return false
}

// altered flips a bit of the state's bytes, one at a time.
func altered(t *testing.T, b Backend) {
	if b.Dir == "" {
		return
	}
	want := filled(t, b)
	good := read(t, b.Dir)
	refused, all := 0, 0
	for path, content := range good {
		for i := 0; i < len(content); i += max(b.Stride, 1) {
			bad := bytes.Clone(content)
			bad[i] ^= 1 << (i % 8)
			all++
			if judge(t, b, good.with(path, bad), want, filepath.Base(path)+" altered at", i) {
				refused++
			}
		}
	}
	// What is kept twice may do without the one.
	if refused < all/2 {
		t.Errorf("%d of %d alterations were refused", refused, all)
	}
}

// truncated cuts the state's files off.
func truncated(t *testing.T, b Backend) {
	if b.Dir == "" {
		return
	}
	want := filled(t, b)
	good := read(t, b.Dir)
	for path, content := range good {
		for n := 0; n < len(content); n += max(b.Stride, 1) {
			if !judge(t, b, good.with(path, content[:n]), want, filepath.Base(path)+" cut to", n) {
				t.Errorf("%s cut to %d of %d bytes was taken", filepath.Base(path), n, len(content))
			}
		}
	}
}

// older puts back the folder as it was before each change.
func older(t *testing.T, b Backend) {
	if b.Dir == "" {
		return
	}
	var copies []folder
	var states []map[string]string
	s := open(t, b)
	for _, v := range []string{"1", "2", "3"} {
		put(t, s, "a", v)
		copies, states = append(copies, read(t, b.Dir)), append(states, content(t, s))
	}
	put(t, s, "a", "4")
	want := content(t, s)
	shut(t, s)
	last := read(t, b.Dir)
	for i, f := range copies {
		f.write(t, b.Dir)
		s, err := b.Open(t.Context())
		switch {
		case err == nil && b.Anchored:
			shut(t, s)
			t.Fatalf("state %d of 4 was taken for the last", i+1)
		case err == nil:
			same(t, s, states[i])
			shut(t, s)
		case !errors.Is(err, trusted.ErrRollback):
			t.Fatalf("state %d of 4: %v, want ErrRollback", i+1, err)
		}
	}
	if b.Anchored {
		folder{}.write(t, b.Dir)
		if s, err := b.Open(t.Context()); !errors.Is(err, trusted.ErrRollback) && !errors.Is(err, trusted.ErrTampered) {
			if err == nil {
				shut(t, s)
			}
			t.Fatalf("an emptied folder: %v, want ErrRollback", err)
		}
	}
	last.write(t, b.Dir)
	same(t, open(t, b), want)
}

// mixed puts one file of an older state among the files of a later one.
func mixed(t *testing.T, b Backend) {
	if b.Dir == "" {
		return
	}
	s := open(t, b)
	put(t, s, "a", "1")
	shut(t, s)
	before := read(t, b.Dir)
	s = open(t, b)
	put(t, s, "a", "2")
	put(t, s, "b", "3")
	if _, err := s.Next(t.Context(), "stan"); err != nil {
		t.Fatal(err)
	}
	want := content(t, s)
	shut(t, s)
	after := read(t, b.Dir)
	if len(after) < 2 {
		return // one file: older is the test of it
	}
	for path, old := range before {
		if !bytes.Equal(after[path], old) && b.Anchored {
			judge(t, b, after.with(path, old), want, filepath.Base(path)+" of state", 1)
		}
	}
}
