//go:build swtpm

package tpm

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/tpm/swtpmtest"
	"github.com/payunit/payunit/trusted/vault"
)

// hanging is a way to a TPM that can hang: it tells of the first command that it
// keeps, and lets all go on when it is released.
type hanging struct {
	Transport
	mu      sync.Mutex
	asked   chan struct{}
	release chan struct{}
}

func (h *hanging) hang() (asked, release chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked, h.release = make(chan struct{}), make(chan struct{})
	return h.asked, h.release
}

func (h *hanging) Send(command []byte) ([]byte, error) {
	h.mu.Lock()
	asked, release := h.asked, h.release
	h.asked = nil
	h.mu.Unlock()
	if asked != nil {
		close(asked)
	}
	if release != nil {
		<-release
	}
	return h.Transport.Send(command)
}

// TestHungTPM: whoever waits for a TPM that hangs is let go with the context, and
// once the TPM goes on nothing is lost and nothing is half.
func TestHungTPM(t *testing.T) {
	h, dir := &hanging{Transport: swtpmtest.Start(t)}, t.TempDir()
	s := open(t, dir, config(h))
	put(t, s, "old")
	first, err := s.Next(t.Context(), "n")
	if err != nil {
		t.Fatal(err)
	}
	abandon := func(what string, do func(ctx context.Context) error) {
		t.Helper()
		asked, release := h.hang()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		if err := do(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := s.P256("another", UsageSign).PublicKey(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, vault.ErrClosed) {
			t.Errorf("%s, and another after it: %v", what, err)
		}
		close(release)
	}
	abandon("put", func(ctx context.Context) error { return s.Put(ctx, "a", []byte("new")) })
	holds(t, s, "new")
	abandon("next", func(ctx context.Context) error { _, err := s.Next(ctx, "n"); return err })
	if n, err := s.Next(t.Context(), "n"); err != nil || n != first+1 {
		t.Errorf("number %d, %v, want %d", n, err, first+1)
	}
	abandon("key", func(ctx context.Context) error { _, err := s.P256("k", UsageSign).PublicKey(ctx); return err })
	if _, err := s.P256("k", UsageSign).PublicKey(t.Context()); err != nil {
		t.Error(err)
	}
	closed(t, s)
	abandon("open", func(ctx context.Context) error { _, err := Open(ctx, dir, config(h)); return err })
	for s = nil; s == nil; {
		// The one that was left behind lets go of the folder when it is through.
		if s, err = Open(t.Context(), dir, config(h)); err != nil && !errors.Is(err, trusted.ErrInUse) {
			t.Fatal(err)
		}
	}
	holds(t, s, "new")
	closed(t, s)
}

// TestKeyMadeOnce: two first uses at once have one key.
func TestKeyMadeOnce(t *testing.T) {
	s := open(t, t.TempDir(), config(swtpmtest.Start(t)))
	var got [4]string
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			b, err := s.P256("k", UsageSign).PublicKey(t.Context())
			if err != nil {
				t.Error(err)
			}
			got[i] = string(b)
		})
	}
	wg.Wait()
	for _, k := range got {
		if k != got[0] {
			t.Fatal("two first uses at once made two keys")
		}
	}
}
