package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
)

func testConfig() Config {
	return Config{Key: FixedKey(secret.NewBytes(bytes.Repeat([]byte{0x5A}, 32))), Device: "unit 1"}
}

func open(t *testing.T, dir string) *Vault {
	t.Helper()
	v, err := Open(t.Context(), dir, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// state is all that a vault holds, by name.
func state(t *testing.T, v *Vault) map[string]string {
	t.Helper()
	names, err := v.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, n := range names {
		b, err := v.Get(t.Context(), n)
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		out[n] = string(b)
	}
	return out
}

func mustPut(t *testing.T, v *Vault, name, value string) {
	t.Helper()
	if err := v.Put(t.Context(), name, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsSurviveReopening(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	mustPut(t, v, "journal/a", "one")
	mustPut(t, v, "journal/b", "two")
	mustPut(t, v, "journal/a", "three")
	mustPut(t, v, "empty", "")
	mustPut(t, v, "gone", "x")
	if err := v.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	if err := v.Delete(t.Context(), "never-there"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"journal/a": "three", "journal/b": "two", "empty": ""}
	if d := cmp.Diff(want, state(t, v)); d != "" {
		t.Fatal(d)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = open(t, dir)
	if d := cmp.Diff(want, state(t, v)); d != "" {
		t.Fatal(d)
	}
	names, err := v.List(t.Context(), "journal/")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"journal/a", "journal/b"}, names); d != "" {
		t.Fatal(d)
	}
	if _, err := v.Get(t.Context(), "gone"); !errors.Is(err, trusted.ErrNotFound) {
		t.Fatalf("Get of a deleted record: %v", err)
	}
}

func TestSecondUnitIsRefused(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	if _, err := Open(t.Context(), dir, testConfig()); !errors.Is(err, trusted.ErrInUse) {
		t.Fatalf("second Open: %v, want ErrInUse", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestWrongKeyOrContext(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	mustPut(t, v, "a", "b")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"key":    func(c *Config) { c.Key = FixedKey(secret.NewBytes(make([]byte, 32))) },
		"device": func(c *Config) { c.Device = "unit 2" },
	} {
		c := testConfig()
		change(&c)
		if _, err := Open(t.Context(), dir, c); !errors.Is(err, trusted.ErrTampered) {
			t.Errorf("other %s: %v, want ErrTampered", name, err)
		}
	}
	if d := cmp.Diff(map[string]string{"a": "b"}, state(t, open(t, dir))); d != "" {
		t.Fatal(d)
	}
}

func TestNameAndValueLimits(t *testing.T) {
	v := open(t, t.TempDir())
	for _, name := range []string{"", "A", "a b", "a\x00", string(bytes.Repeat([]byte{'a'}, 101))} {
		if err := v.Put(t.Context(), name, nil); err == nil {
			t.Errorf("Put(%q) was taken", name)
		}
	}
	if err := v.Put(t.Context(), "a", make([]byte, maxValue+1)); err == nil {
		t.Error("a value over the limit was taken")
	}
	if err := v.Put(t.Context(), "a", make([]byte, maxValue)); err != nil {
		t.Error(err)
	}
}

// TestEveryByteAltered flips each byte of a state file: the vault opens with
// exactly the state that was stored, or says that it was tampered with.
func TestEveryByteAltered(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	mustPut(t, v, "journal/a", "reversal")
	mustPut(t, v, "journal/b", "completion")
	if _, err := v.Next(t.Context(), "stan"); err != nil {
		t.Fatal(err)
	}
	want := state(t, v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "vault")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x01
		if judge(t, path, bad, want) {
			refused++
		} else if i < slotOffset || i >= headerLen {
			t.Errorf("byte %d altered and not noticed", i)
		}
	}
	if refused < len(good)-2*slotLen {
		t.Errorf("%d of %d alterations refused", refused, len(good))
	}
	for n := range good {
		if !judge(t, path, good[:n], want) {
			t.Errorf("cut to %d of %d bytes and not noticed", n, len(good))
		}
	}
	if judge(t, path, append(bytes.Clone(good), 1, 2, 3), want) {
		t.Error("a torn write after the last frame is no tampering")
	}
}

// judge opens a file's bytes and reports whether they were refused; what is not
// refused has to hold want.
func judge(t *testing.T, path string, b []byte, want map[string]string) bool {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), filepath.Dir(path), testConfig())
	if err != nil {
		if !errors.Is(err, trusted.ErrTampered) {
			t.Fatalf("refused without ErrTampered: %v", err)
		}
		return true
	}
	if d := cmp.Diff(want, state(t, v)); d != "" {
		t.Fatalf("another state was accepted: %s", d)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return false
}

// TestOlderFrameReplayed puts an earlier frame in the place of a later one of
// the same length.
func TestOlderFrameReplayed(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	mustPut(t, v, "a", "1")
	first := v.end
	mustPut(t, v, "a", "2")
	second := v.end
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "vault")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[first:second], b[headerLen:first])
	if !judge(t, path, b, nil) {
		t.Fatal("a replayed frame was accepted")
	}
}

// TestPartsOfTwoHistories: a folder of which a copy went on by itself has frames of
// equal numbers, each of them genuine; they do not fit into one another's logs, nor
// does an older head.
func TestPartsOfTwoHistories(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vault")
	after := func(records ...string) []byte {
		v := open(t, dir)
		for i := 0; i < len(records); i += 2 {
			mustPut(t, v, records[i], records[i+1])
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old := after("a", "0")
	one := after("a", "1", "b", "1")
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	two := after("a", "2", "b", "2")
	if len(one) != len(two) {
		t.Fatalf("logs of %d and %d bytes", len(one), len(two))
	}
	middle := (len(old) + len(one)) / 2
	if !judge(t, path, slices.Concat(two[:len(old)], one[len(old):middle], two[middle:]), nil) {
		t.Error("a frame of another history was accepted")
	}
	if !judge(t, path, slices.Concat(old[:headerLen], one[headerLen:]), nil) {
		t.Error("a head two frames older than the log was accepted")
	}
}

// TestCrashAtEveryStep stops a vault at its n-th write, sync or truncation and
// opens the file again: an acknowledged change stands, an unacknowledged one
// stands whole or not at all.
func TestCrashAtEveryStep(t *testing.T) {
	for n := 1; ; n++ {
		dir := t.TempDir()
		v := open(t, dir)
		mustPut(t, v, "keep", "kept")
		mustPut(t, v, "a", "0")
		fired := breakAt(v, n, errDead, false)
		acked, tried := 0, 0
		for i := 1; i <= 3; i++ {
			tried = i
			if err := v.Put(t.Context(), "a", fmt.Append(nil, i)); err != nil {
				break
			}
			acked = i
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if !fired.fired {
			if n == 1 {
				t.Fatal("no fault was ever met")
			}
			return
		}
		got := state(t, open(t, dir))
		if got["keep"] != "kept" {
			t.Fatalf("step %d: another record was lost: %v", n, got)
		}
		if a := got["a"]; a != fmt.Sprint(acked) && a != fmt.Sprint(tried) {
			t.Fatalf("step %d: a = %q, acknowledged %d, tried %d", n, a, acked, tried)
		}
	}
}

func TestFullDisk(t *testing.T) {
	for n := 1; n <= 2; n++ {
		dir := t.TempDir()
		v := open(t, dir)
		mustPut(t, v, "a", "old")
		breakAt(v, n, errNoRoom, true)
		if err := v.Put(t.Context(), "a", []byte("new")); !errors.Is(err, trusted.ErrStorageFull) {
			t.Fatalf("step %d: %v, want ErrStorageFull", n, err)
		}
		if d := cmp.Diff(map[string]string{"a": "old"}, state(t, v)); d != "" {
			t.Fatal(d)
		}
		// Room again: the vault works on.
		mustPut(t, v, "a", "newer")
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string]string{"a": "newer"}, state(t, open(t, dir))); d != "" {
			t.Fatal(d)
		}
	}
}

// TestCompaction crashes at each step of writing the log anew, and lets it
// finish.
func TestCompaction(t *testing.T) {
	big := bytes.Repeat([]byte{7}, 40<<10)
	for n := 1; ; n++ {
		dir := t.TempDir()
		v := open(t, dir)
		mustPut(t, v, "keep", "kept")
		for v.end-headerLen-v.live < compactSlack {
			if err := v.Put(t.Context(), "big", big); err != nil {
				t.Fatal(err)
			}
		}
		before := v.end
		fired := breakAt(v, n, errDead, false)
		perr := v.Put(t.Context(), "after", []byte("x"))
		size := v.end
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		got := state(t, open(t, dir))
		if got["keep"] != "kept" || perr == nil && got["after"] != "x" {
			t.Fatalf("step %d: %v, Put: %v", n, got, perr)
		}
		if !fired.fired {
			if size >= before || n < 4 {
				t.Fatalf("after %d steps the log has %d bytes, had %d", n, size, before)
			}
			return
		}
	}
}

func TestCounterNeverRepeats(t *testing.T) {
	dir := t.TempDir()
	seen := map[uint64]bool{}
	for n := 1; n <= 12; n++ {
		v := open(t, dir)
		breakAt(v, n, errDead, false)
		for range 3 {
			c, err := v.Next(t.Context(), "stan")
			if err != nil {
				break
			}
			if seen[c] {
				t.Fatalf("%d came twice", c)
			}
			seen[c] = true
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) < 12 {
		t.Fatalf("only %d numbers were given", len(seen))
	}
}

func TestConcurrentUse(t *testing.T) {
	v := open(t, t.TempDir())
	var wg sync.WaitGroup
	got := make([]uint64, 40)
	for i := range got {
		wg.Go(func() {
			n, err := v.Next(context.Background(), "c")
			if err != nil {
				t.Error(err)
			}
			got[i] = n
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	for _, n := range got {
		seen[n] = true
	}
	if len(seen) != len(got) || !seen[1] || !seen[40] {
		t.Fatalf("numbers %v", got)
	}
}

func TestClosedAndCancelled(t *testing.T) {
	v := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.Put(ctx, "a", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Put: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Get(t.Context(), "a"); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
}

// TestNoPlaintextOnDisk looks for a record's name and value in the folder.
func TestNoPlaintextOnDisk(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	mustPut(t, v, "record-name-to-find", "record value to find")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("to find")) || bytes.Contains(b, []byte("to-find")) {
			t.Errorf("%s holds a record in clear", e.Name())
		}
	}
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	v, err := Open(f.Context(), dir, testConfig())
	if err != nil {
		f.Fatal(err)
	}
	if err := v.Put(f.Context(), "a", []byte("b")); err != nil {
		f.Fatal(err)
	}
	if err := v.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "vault"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:headerLen])
	f.Fuzz(func(t *testing.T, b []byte) {
		d := t.TempDir()
		if err := os.WriteFile(filepath.Join(d, "vault"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Open(t.Context(), d, testConfig())
		if err != nil {
			if !errors.Is(err, trusted.ErrTampered) {
				t.Fatal(err)
			}
			return
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
