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

	"github.com/payunit/payunit/cardreader/secret"
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
				// Before the test knows of the look, and turns the clock.
				at := start.Add(time.Duration(past.Load()))
				asked <- struct{}{}
				return at
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
	synctest.Test(t, func(t *testing.T) {
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
	})
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

// TestClientKnowsTheEnd: the client knows when the server will hear it no more, by
// its own clock, and says nothing after it.
func TestClientKnowsTheEnd(t *testing.T) {
	w := newWorld(t)
	servers, clients := time.Unix(1800000000, 0), time.Unix(1700000000, 0)
	w.server.Now = func() time.Time { return servers }
	w.client.Now = func() time.Time { return clients }
	w.server.Verifier = judge(func(c channel.Claims, err error) (channel.Claims, error) {
		c.Expires = servers.Add(time.Minute)
		return c, err
	})
	c, s := w.pair(t)
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	if cerr != nil || serr != nil {
		t.Fatal(cerr, serr)
	}
	clients = clients.Add(time.Minute - 1)
	if err := client.WriteMessage(t.Context(), nil); err != nil {
		t.Errorf("just before: %v", err)
	}
	if _, err := server.ReadMessage(t.Context()); err != nil {
		t.Error(err)
	}
	clients = clients.Add(1)
	if err := client.WriteMessage(t.Context(), nil); !errors.Is(err, channel.ErrExpired) {
		t.Errorf("after it: %v", err)
	}
}

func TestReady(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, 1500 * time.Millisecond: time.Second, maxAge: maxAge, 2 * maxAge: maxAge,
	} {
		if got, err := parseReady(appendReady(nil, life)); err != nil || got != want {
			t.Errorf("%v: %v, %v", life, got, err)
		}
	}
	for _, b := range [][]byte{nil, {0, 0, 1}, {0, 0, 0, 1, 0}, {0, 0, 0x0E, 0x11}, {255, 255, 255, 255}} {
		if d, err := parseReady(b); !errors.Is(err, channel.ErrFormat) {
			t.Errorf("%x: %v, %v", b, d, err)
		}
	}
}

// TestHalfOpenFlood: strangers who connect and say nothing are bounded, the oldest
// make room, and a client gets through.
func TestHalfOpenFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, flood = 8, 50
		w := newWorld(t)
		w.server.Pending = limit
		c, s := w.pair(t)
		ended := make(chan error, flood)
		for range flood {
			_, b := channeltest.Pipe()
			go func() {
				conn, err := s.Server(t.Context(), b)
				if conn != nil {
					err = errors.New("a channel")
				}
				ended <- err
			}()
			synctest.Wait()
			if at := s.pending.Len(); at > limit {
				t.Fatalf("%d handshakes under way", at)
			}
		}
		for range flood - limit {
			if err := <-ended; !errors.Is(err, ErrCrowded) {
				t.Errorf("%v", err)
			}
		}
		if _, _, cerr, serr := meet(t, c, s, channeltest.Faults{}); cerr != nil || serr != nil {
			t.Errorf("a client: %v, %v", cerr, serr)
		}
		for range limit {
			if err := <-ended; !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrCrowded) {
				t.Errorf("%v", err)
			}
		}
		if at := s.pending.Len(); at != 0 {
			t.Errorf("%d are left", at)
		}
	})
}

// TestWipedActivation: the zeros that a wiped key leaves, which everybody knows,
// enrol nobody and prove no server.
func TestWipedActivation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		enrol(w)
		w.server.Activations = func(context.Context, string) (secret.Bytes, error) { return secret.NewBytes(make([]byte, keyLen)), nil }
		if _, refused, err := mustServer(t, w).credential(t.Context(), &hello{purpose: channel.PurposeEnrol, activation: "AAAABBBB"}); refused == nil || err != nil {
			t.Errorf("the server goes by zeros: %v, %v", refused, err)
		}
		c, s := w.pair(t)
		w.activation.Key.Wipe()
		client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
		if client != nil || server != nil || !errors.Is(cerr, ErrConfig) || serr == nil {
			t.Errorf("zeros at both ends: client %v, server %v", cerr, serr)
		}
		if _, err := NewClient(w.client); !errors.Is(err, ErrConfig) {
			t.Errorf("a client of zeros: %v", err)
		}
	})
}

func mustServer(t *testing.T, w *world) *Server {
	t.Helper()
	s, err := NewServer(w.server)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
