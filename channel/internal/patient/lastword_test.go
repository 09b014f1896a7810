package patient

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestLastWordOverTCP: a peer that has sent more than is read still gets what is
// said last: a socket closed with unread bytes would be reset.
func TestLastWordOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		_, err = io.ReadFull(c, make([]byte, 1))
		LastWord(context.Background(), With(c), func() error { _, err := c.Write([]byte("no")); return err })
		done <- errors.Join(err, c.Close())
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 32<<10)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || string(b) != "no" {
		t.Errorf("%q, %v", b, err)
	}
	if err := errors.Join(c.Close(), <-done); err != nil {
		t.Error(err)
	}
}

// stalled is a stream whose peer does not read; or, where it does, does not close.
type stalled struct {
	Stream
	reads  bool
	halved bool
}

func (s *stalled) CloseWrite() error { s.halved = true; return nil }

func (s *stalled) Write(b []byte) (int, error) {
	if s.reads {
		return len(b), nil
	}
	return s.Stream.Write(b)
}

// TestLastWordWaits: for a reader until the context ends, for the peer's close a
// moment.
func TestLastWordWaits(t *testing.T) {
	for _, c := range []struct {
		name  string
		reads bool
		want  time.Duration
	}{{"nobody reads", false, 10 * time.Second}, {"nobody closes", true, linger}} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := &stalled{Stream: near, reads: c.reads}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			var sent error
			LastWord(ctx, s, func() error { _, sent = s.Write([]byte("no")); return sent })
			if d := time.Since(began); d != c.want || s.halved != c.reads {
				t.Errorf("%s: %v, half closed %v", c.name, d, s.halved)
			}
			if c.reads != (sent == nil) || sent != nil && !errors.Is(sent, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", c.name, sent)
			}
			_, _ = near.Close(), far.Close()
		})
	}
}

// TestLastWordLate: a machine that comes to sending late sends all the same.
func TestLastWordLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			time.Sleep(5 * time.Second)
			b, err := io.ReadAll(io.LimitReader(far, 2))
			if string(b) != "no" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		}()
		LastWord(t.Context(), near, func() error {
			time.Sleep(3 * time.Second)
			_, err := near.Write([]byte("no"))
			return err
		})
		synctest.Wait()
	})
}
