// Package storagetest is the contract of trusted.Storage and trusted.Counter as
// tests: what any backend has to hold to, whoever makes it. Run checks it in one
// process, Kill across processes that are killed in the middle of their work.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/trusted"
)

// Store is an open state.
type Store interface {
	trusted.Storage
	trusted.Counter
	io.Closer
}

// Backend is one place that keeps a state.
type Backend struct {
	// Open opens the state, or makes it. Each call stands for a new process.
	Open func(ctx context.Context) (Store, error)
	// Dir is the folder that holds the state, which the tests alter and put
	// back; empty when there is none.
	Dir string
	// Anchored says that an older copy of Dir is to be noticed. Without it an
	// older copy has to open whole, or not at all.
	Anchored bool
	// Stride is how far apart the bytes are that the tests alter, for a
	// backend that is slow to open; zero means every byte.
	Stride int
}

// Run checks a backend; fresh makes an empty one for each part. A Store that is
// a trusted.KeyStore too is checked as one.
func Run(t *testing.T, fresh func(t *testing.T) Backend) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, b Backend)
	}{
		{"records", records},
		{"ownership", ownership},
		{"limits", limits},
		{"list", list},
		{"counter", counter},
		{"apart", apart},
		{"concurrent", concurrent},
		{"cancelled", cancelled},
		{"alone", alone},
		{"closed", closed},
		{"keys", keys},
		{"altered", altered},
		{"truncated", truncated},
		{"older", older},
		{"mixed", mixed},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, fresh(t)) })
	}
}

func open(t *testing.T, b Backend) Store {
	t.Helper()
	s, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A part that fails may leave it open.
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func shut(t *testing.T, s Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s Store, name, value string) {
	t.Helper()
	if err := s.Put(t.Context(), name, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

// content is all that a store lists.
func content(t *testing.T, s Store) map[string]string {
	t.Helper()
	names, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, n := range names {
		b, err := s.Get(t.Context(), n)
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		all[n] = string(b)
	}
	return all
}

func same(t *testing.T, s Store, want map[string]string) {
	t.Helper()
	if d := cmp.Diff(want, content(t, s)); d != "" {
		t.Fatalf("content (-want +got):\n%s", d)
	}
}

func records(t *testing.T, b Backend) {
	s := open(t, b)
	same(t, s, map[string]string{})
	put(t, s, "journal/a", "one")
	put(t, s, "journal/b", "two")
	put(t, s, "journal/a", "three")
	put(t, s, "empty", "")
	put(t, s, "gone", "x")
	for _, name := range []string{"gone", "never-there"} {
		if err := s.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"journal/a": "three", "journal/b": "two", "empty": ""}
	same(t, s, want)
	shut(t, s)
	s = open(t, b)
	same(t, s, want)
	if _, err := s.Get(t.Context(), "gone"); !errors.Is(err, trusted.ErrNotFound) {
		t.Errorf("a record that was deleted: %v, want ErrNotFound", err)
	}
	// Enough to make a backend clean up after itself.
	big := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	for range 8 {
		put(t, s, "big", string(big))
	}
	want["big"] = string(big)
	same(t, s, want)
	shut(t, s)
	same(t, open(t, b), want)
}

func ownership(t *testing.T, b Backend) {
	s := open(t, b)
	given := []byte("given")
	if err := s.Put(t.Context(), "a", given); err != nil {
		t.Fatal(err)
	}
	clear(given)
	got, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	same(t, s, map[string]string{"a": "given"})
}

func limits(t *testing.T, b Backend) {
	s := open(t, b)
	long := string(bytes.Repeat([]byte{'a'}, 100))
	for _, name := range []string{"", "A", "a b", "a\x00", "ä", "#a", "a#", long + "a"} {
		if err := s.Put(t.Context(), name, nil); err == nil {
			t.Errorf("Put took the name %q", name)
		}
		if _, err := s.Get(t.Context(), name); err == nil {
			t.Errorf("Get took the name %q", name)
		}
		if err := s.Delete(t.Context(), name); err == nil {
			t.Errorf("Delete took the name %q", name)
		}
		if _, err := s.Next(t.Context(), name); err == nil {
			t.Errorf("Next took the name %q", name)
		}
	}
	want := map[string]string{}
	for _, name := range []string{long, "a-b_c.d/0", ".", "..", "../a", "/"} {
		put(t, s, name, name)
		want[name] = name
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	put(t, s, "bytes", string(all))
	want["bytes"] = string(all)
	same(t, s, want)
	if n, err := s.Next(t.Context(), long); n != 1 || err != nil {
		t.Errorf("a counter with a long name: %d, %v", n, err)
	}
}

func list(t *testing.T, b Backend) {
	s := open(t, b)
	for _, name := range []string{"b", "a/2", "a/10", "a", "ab"} {
		put(t, s, name, "")
	}
	for prefix, want := range map[string][]string{
		"": {"a", "a/10", "a/2", "ab", "b"}, "a": {"a", "a/10", "a/2", "ab"}, "a/": {"a/10", "a/2"}, "c": nil,
	} {
		got, err := s.List(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			got = nil
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("List(%q) (-want +got):\n%s", prefix, d)
		}
	}
}

func counter(t *testing.T, b Backend) {
	var last uint64
	for range 3 {
		s := open(t, b)
		reader, readable := s.(trusted.CounterReader)
		for range 3 {
			if readable {
				if n, err := reader.Value(t.Context(), "stan"); n != last || err != nil {
					t.Errorf("the counter reads %d, %v after %d", n, err, last)
				}
			}
			n, err := s.Next(t.Context(), "stan")
			if err != nil {
				t.Fatal(err)
			}
			if n <= last {
				t.Fatalf("%d after %d", n, last)
			}
			last = n
		}
		shut(t, s)
	}
	if n, err := open(t, b).Next(t.Context(), "other"); n != 1 || err != nil {
		t.Errorf("another counter begins at %d, %v", n, err)
	}
}

// apart: a record can't be named so that it is a counter's or a key's.
func apart(t *testing.T, b Backend) {
	s := open(t, b)
	for range 3 {
		if _, err := s.Next(t.Context(), "stan"); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"stan", "counter/stan", "counters/stan", "key/device", "key/x25519/device"}
	for _, name := range names {
		if b, err := s.Get(t.Context(), name); !errors.Is(err, trusted.ErrNotFound) {
			t.Errorf("%s, which nobody put, holds %d bytes (%v)", name, len(b), err)
		}
		put(t, s, name, "\x00\x00\x00\x00\x00\x00\x00\x00")
	}
	if n, err := s.Next(t.Context(), "stan"); n != 4 || err != nil {
		t.Errorf("the counter gives %d, %v after records were put, want 4", n, err)
	}
	for _, name := range names {
		if err := s.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Next(t.Context(), "stan"); n != 5 || err != nil {
		t.Errorf("the counter gives %d, %v after records were deleted, want 5", n, err)
	}
	same(t, s, map[string]string{})
}

func concurrent(t *testing.T, b Backend) {
	s := open(t, b)
	const workers, rounds = 8, 4
	numbers := make([]uint64, workers*rounds)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for r := range rounds {
				n, err := s.Next(t.Context(), "c")
				if err != nil {
					t.Error(err)
				}
				numbers[w*rounds+r] = n
				name := fmt.Sprintf("r/%d", w)
				if err := s.Put(t.Context(), name, fmt.Append(nil, r)); err != nil {
					t.Error(err)
				}
				if v, err := s.Get(t.Context(), name); err != nil || string(v) != fmt.Sprint(r) {
					t.Errorf("%s holds %q, %v, want %d", name, v, err, r)
				}
			}
		})
	}
	all.Wait()
	seen := map[uint64]bool{}
	for _, n := range numbers {
		if seen[n] {
			t.Errorf("%d came twice", n)
		}
		seen[n] = true
	}
}

func cancelled(t *testing.T, b Backend) {
	s := open(t, b)
	put(t, s, "a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, gerr := s.Get(ctx, "a")
	_, lerr := s.List(ctx, "")
	_, nerr := s.Next(ctx, "c")
	for call, err := range map[string]error{
		"Get": gerr, "List": lerr, "Next": nerr, "Put": s.Put(ctx, "a", []byte("2")), "Delete": s.Delete(ctx, "a"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want one that wraps context.Canceled", call, err)
		}
	}
	same(t, s, map[string]string{"a": "1"})
}

// alone: two units never work on one state.
func alone(t *testing.T, b Backend) {
	s := open(t, b)
	if second, err := b.Open(t.Context()); !errors.Is(err, trusted.ErrInUse) {
		if err == nil {
			err = second.Close()
		}
		t.Fatalf("opened twice: %v, want ErrInUse", err)
	}
	put(t, s, "a", "1")
	shut(t, s)
	same(t, open(t, b), map[string]string{"a": "1"})
}

func closed(t *testing.T, b Backend) {
	s := open(t, b)
	put(t, s, "a", "1")
	shut(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := s.Get(t.Context(), "a"); err == nil {
		t.Error("a closed store was read")
	}
	if err := s.Put(t.Context(), "a", nil); err == nil {
		t.Error("a closed store was written")
	}
	if _, err := s.Next(t.Context(), "c"); err == nil {
		t.Error("a closed store counted")
	}
}
