package noise

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/channeltest"
)

// TestEvidenceEndsTheChannel: a channel lives no longer than the evidence that it
// came up with, at either end, in a whole handshake and in a resumption.
func TestEvidenceEndsTheChannel(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.client.Resume = true
			inner := w.server.Verifier
			w.server.Verifier = verifierFunc(func(c []byte, e channel.Evidence) (channel.Claims, error) {
				claims, err := inner.Verify(t.Context(), c, e)
				claims.Expires = time.Now().Add(10 * time.Minute)
				return claims, err
			})
			ch, sh := w.pair(t)
			rounds := 1
			if resumed {
				rounds = 2
			}
			var c, s channel.Conn
			for range rounds {
				var cerr, serr error
				if c, s, cerr, serr = meet(t, ch, sh, channeltest.Faults{}); cerr != nil || serr != nil {
					t.Fatal(cerr, serr)
				}
			}
			time.Sleep(10*time.Minute - time.Second)
			if err := c.WriteMessage(t.Context(), []byte("in time")); err != nil {
				t.Fatal(err)
			}
			if m, err := s.ReadMessage(t.Context()); err != nil || string(m) != "in time" {
				t.Fatalf("%q, %v", m, err)
			}
			time.Sleep(2 * time.Second)
			for name, x := range map[string]channel.Conn{"client": c, "server": s} {
				if err := x.WriteMessage(t.Context(), nil); !errors.Is(err, channel.ErrExpired) {
					t.Errorf("resumed %v, %s: writing: %v", resumed, name, err)
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, err := s.ReadMessage(t.Context()); err != io.EOF {
				t.Errorf("resumed %v: the close of a channel past its time: %v", resumed, err)
			}
		})
	}
}

// TestEvidencePast: evidence that has ended brings nothing up.
func TestEvidencePast(t *testing.T) {
	w := newWorld(t)
	w.server.Verifier = verifierFunc(func([]byte, channel.Evidence) (channel.Claims, error) {
		return channel.Claims{Device: "d", Expires: time.Now()}, nil
	})
	c, s := w.pair(t)
	client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
	var refused *channel.EvidenceError
	if client != nil || server != nil || !errors.Is(serr, channel.ErrPolicy) || !errors.As(serr, &refused) || refused.Reason != channel.ReasonExpired {
		t.Errorf("server: %v", serr)
	}
	if !errors.Is(cerr, channel.ErrRefused) {
		t.Errorf("client: %v", cerr)
	}
}

func TestReadyRecord(t *testing.T) {
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

// TestHalfOpenFlood: strangers who connect and say nothing, or half a handshake,
// are bounded, the oldest make room, and a client gets through, whatever its
// purpose.
func TestHalfOpenFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, flood = 8, 50
		w := newWorld(t)
		w.server.Pending = limit
		c, s := w.pair(t)
		half := firstFrame(t, c)
		ended := make(chan error, flood)
		for n := range flood {
			a, b := channeltest.Pipe()
			if n%2 == 0 {
				if _, err := a.Write(half); err != nil {
					t.Fatal(err)
				}
			}
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
		// The rest, but for the one that the client took the place of, ends with
		// the time limit.
		began := time.Now()
		for range limit {
			if err := <-ended; !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrCrowded) {
				t.Errorf("%v", err)
			}
		}
		if d := time.Since(began); d > defaultTimeout {
			t.Errorf("it took %v", d)
		}
		if at := s.pending.Len(); at != 0 {
			t.Errorf("%d are left", at)
		}
	})
}

// firstFrame is what a client says first.
func firstFrame(t *testing.T, c *Client) []byte {
	t.Helper()
	a, b := channeltest.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Client(ctx, a)
	}()
	out := make([]byte, maxFirst)
	n, err := b.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	return out[:n]
}

// TestWipedKeys: the zeros that a wiped key leaves, which everybody knows, enrol and
// resume nothing.
func TestWipedKeys(t *testing.T) {
	w := newWorld(t)
	w.server.Activations = func(context.Context, string) (secret.Bytes, error) { return secret.NewBytes(make([]byte, keyLen)), nil }
	_, s := w.pair(t)
	v := &visitor{open: &hello{purpose: channel.PurposeEnrol, credential: "AAAABBBB"}}
	if err := s.credential(t.Context(), v); err != nil || v.refused == nil || v.psk.Blank() {
		t.Errorf("the server goes by an activation of zeros: %v, %v", v.refused, err)
	}
	now := time.Now()
	if err := (Ticket{Secret: secret.NewBytes(make([]byte, keyLen)), Expires: now.Add(time.Hour)}).check(channel.Identity{}, now); !errors.Is(err, ErrTicket) {
		t.Errorf("the server goes by a ticket of zeros: %v", err)
	}
	a := activation(bytes.Repeat([]byte{1}, activationIDLen+activationSecretLen))
	a.Wipe()
	if k, err := a.PSK(); !errors.Is(err, ErrActivation) || k.Len() != 0 {
		t.Errorf("the client goes by zeros: %v", err)
	}
}
