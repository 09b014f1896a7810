package vault

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/payunit/payunit/trusted"
)

// hung is an anchor that does not answer until it is told to.
type hung struct {
	shared
	asked, answer chan struct{}
}

// shared is a dial of two vaults.
type shared struct {
	mu *sync.Mutex
	d  *dial
}

func (s shared) Value(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.d.Value(ctx)
}

func (s shared) Advance(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.d.Advance(ctx)
}

func newHung() *hung {
	return &hung{shared{new(sync.Mutex), &dial{}}, make(chan struct{}), make(chan struct{})}
}

func (h *hung) Advance(ctx context.Context) (uint64, error) {
	if h.asked != nil {
		h.asked <- struct{}{}
		<-h.answer
	}
	return h.shared.Advance(ctx)
}

// responsive lets an anchor answer by itself.
func (h *hung) responsive() { h.asked = nil }

// abandon calls do, and ends its context once the anchor hangs.
func abandon(t *testing.T, h *hung, do func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-h.asked
		cancel()
	}()
	if err := do(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("while the anchor hangs: %v", err)
	}
}

// TestHungAnchor: whoever waits for a device that does not answer is let go with
// the context, others too, and what was begun is whole once the device answers.
func TestHungAnchor(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(ctx context.Context, v *Vault) error
		state string // of the record a afterwards
	}{
		"put": {func(ctx context.Context, v *Vault) error {
			value := []byte("new")
			err := v.Put(ctx, "a", value)
			copy(value, "XXX") // the caller's again
			return err
		}, "new"},
		"delete": {func(ctx context.Context, v *Vault) error { return v.Delete(ctx, "a") }, ""},
		"next":   {func(ctx context.Context, v *Vault) error { _, err := v.Next(ctx, "n"); return err }, "old"},
		"key":    {func(ctx context.Context, v *Vault) error { _, err := v.PublicKey(ctx, "k"); return err }, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHung()
			dir, asked := t.TempDir(), h.asked
			h.responsive()
			v := openAnchored(t, dir, h)
			mustPut(t, v, "a", "old")
			h.asked = asked
			abandon(t, h, func(ctx context.Context) error { return c.do(ctx, v) })

			// The device still hangs: nobody else is held up beyond a context.
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			for what, err := range map[string]error{
				"get":   func() error { _, err := v.Get(ended, "a"); return err }(),
				"put":   v.Put(ended, "b", nil),
				"list":  func() error { _, err := v.List(ended, ""); return err }(),
				"value": func() error { _, err := v.Value(ended, "n"); return err }(),
				"sign":  func() error { _, err := v.Sign(ended, "k", nil); return err }(),
			} {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", what, err)
				}
			}

			close(h.answer)
			h.responsive()
			got, err := v.Get(t.Context(), "a")
			if c.state == "" && !errors.Is(err, trusted.ErrNotFound) || c.state != "" && (err != nil || string(got) != c.state) {
				t.Errorf("afterwards: %q, %v", got, err)
			}
			mustPut(t, v, "b", "after")
			closed(t, v)
			if s := state(t, openAnchored(t, dir, h)); s["a"] != c.state || s["b"] != "after" {
				t.Errorf("opened again: %v", s)
			}
		})
	}
}

// TestHungCounter: a number that nobody got is the next caller's, and a crash
// leaves it out.
func TestHungCounter(t *testing.T) {
	h, dir := newHung(), t.TempDir()
	asked := h.asked
	h.responsive()
	v := openAnchored(t, dir, h)
	next := func(want uint64) {
		t.Helper()
		if n, err := v.Next(t.Context(), "n"); err != nil || n != want {
			t.Errorf("number %d, %v, want %d", n, err, want)
		}
	}
	value := func(want uint64) {
		t.Helper()
		if n, err := v.Value(t.Context(), "n"); err != nil || n != want {
			t.Errorf("value %d, %v, want %d", n, err, want)
		}
	}
	leave := func() {
		t.Helper()
		h.asked, h.answer = asked, make(chan struct{})
		abandon(t, h, func(ctx context.Context) error { _, err := v.Next(ctx, "n"); return err })
		close(h.answer)
		if _, err := v.List(t.Context(), ""); err != nil { // waits for what is under way
			t.Fatal(err)
		}
		h.responsive()
	}
	next(1)
	leave()
	value(1)
	next(2)
	value(2)
	next(3)
	leave()
	closed(t, v)
	v = openAnchored(t, dir, h)
	value(4)
	next(5)
}

// TestHungOpen: a vault that nobody waits for any more closes by itself.
func TestHungOpen(t *testing.T) {
	h, dir := newHung(), t.TempDir()
	abandon(t, h, func(ctx context.Context) error {
		_, err := Open(ctx, dir, anchoredConfig(h))
		return err
	})
	if _, err := Open(t.Context(), dir, anchoredConfig(h.shared)); !errors.Is(err, trusted.ErrInUse) {
		t.Errorf("while the first is not through: %v", err)
	}
	h.answer <- struct{}{}
	<-h.asked // Open's own frame
	close(h.answer)
	for {
		v, err := Open(t.Context(), dir, anchoredConfig(h.shared))
		if errors.Is(err, trusted.ErrInUse) {
			continue // it has not let go of the folder yet
		}
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, v, "a", "1")
		closed(t, v)
		return
	}
}

// TestOpenWithoutTime: a context that ended before leaves the folder unlocked.
func TestOpenWithoutTime(t *testing.T) {
	dir := t.TempDir()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ended, dir, testConfig()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), dir, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	closed(t, v)
}
