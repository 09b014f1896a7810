package tlschan

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/channeltest"
	"github.com/payunit/payunit/channel/internal/patient"
)

// TestEndWhileReading: what comes after the end of a channel does not count, also
// for a read that had begun before; the peer's close still does.
func TestEndWhileReading(t *testing.T) {
	for name, closes := range map[string]bool{"a message": false, "a close": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
			var past atomic.Int64
			asked := make(chan struct{}, 100)
			w.server.Now = func() time.Time {
				asked <- struct{}{}
				return start.Add(time.Duration(past.Load()))
			}
			c, s := w.pair(t)
			client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
			if cerr != nil || serr != nil {
				t.Fatal(cerr, serr)
			}
			for len(asked) > 0 {
				<-asked
			}
			type read struct {
				m   []byte
				err error
			}
			done := make(chan read, 1)
			go func() {
				m, err := server.ReadMessage(t.Context())
				done <- read{m, err}
			}()
			// The read looks at the clock before it waits.
			<-asked
			past.Store(int64(maxAge))
			want := channel.ErrExpired
			if closes {
				want = io.EOF
				if err := client.Close(); err != nil {
					t.Fatal(err)
				}
			} else if err := client.WriteMessage(t.Context(), []byte("too late")); err != nil {
				t.Fatal(err)
			}
			if got := <-done; got.m != nil || !errors.Is(got.err, want) {
				t.Errorf("%q, %v, want %v", got.m, got.err, want)
			}
		})
	}
}

// TestEndedEvidence: evidence that has ended when it is accepted opens nothing.
func TestEndedEvidence(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	w.server.Now = func() time.Time { return now }
	w.server.Verifier = judge(func(c channel.Claims, err error) (channel.Claims, error) {
		c.Expires = now
		return c, err
	})
	c, s := w.pair(t)
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	var refused *channel.EvidenceError
	if client != nil || server != nil || !errors.Is(cerr, channel.ErrRefused) || !errors.Is(serr, channel.ErrPolicy) ||
		!errors.As(serr, &refused) || refused.Reason != channel.ReasonExpired {
		t.Errorf("client %v, server %v", cerr, serr)
	}
	if len(w.seen) != 0 {
		t.Error("it was authorised")
	}
}

// TestAbandonedHandshake: a handshake that comes to its end after it was given up
// leaves no keys.
func TestAbandonedHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newWorld(t).pair(t)
		made, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
		if cerr != nil || serr != nil {
			t.Fatal(cerr, serr)
		}
		late := made.(*Conn)
		if _, err := late.Export("x", keyLen); err != nil {
			t.Fatal(err)
		}
		a, _ := channeltest.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		_, err := bounded(ctx, time.Hour, a, func(context.Context, patient.Stream) (*Conn, error) {
			cancel()
			<-release
			return late, nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		close(release)
		synctest.Wait()
		if _, err := late.Export("x", keyLen); !errors.Is(err, net.ErrClosed) {
			t.Errorf("its keys are still there: %v", err)
		}
	})
}
