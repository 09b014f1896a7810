package channeltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/channel"
)

// Pair makes the two ends of a kind of channel that trust each other. It is
// called for each test.
type Pair func(t *testing.T) (client, server channel.Handshaker)

// Run checks that a Handshaker and its Conns keep the contract of
// channel.Handshaker and channel.Conn. Time in it is virtual
// (testing/synctest).
func Run(t *testing.T, pair Pair) {
	bubble := func(name string, f func(t *testing.T, p Pair)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, pair) }) })
	}
	bubble("messages", messages)
	bubble("sizes in chunks", chunks)
	bubble("stream", streamBytes)
	bubble("both directions at once", duplex)
	bubble("binding and export", binding)
	bubble("close", closing)
	bubble("truncation without close", truncation)
	bubble("read deadline", readDeadline)
	bubble("cancelled read goes on", cancelledRead)
	bubble("cancelled write", cancelledWrite)
	bubble("cancelled handshake", cancelledHandshake)
	bubble("silent peer", silentPeer)
	bubble("stream without deadlines", plainStream)
	bubble("every byte altered", everyByteAltered)
	bubble("every truncation", everyTruncation)
	bubble("every write dropped, repeated, swapped", everyWrite)
	bubble("reflection", reflection)
	bubble("replay of a client", replay)
	bubble("splice of two channels", splice)
	bubble("nothing in clear", nothingInClear)
}

// Connect brings a channel up over a pipe. It fails the test when it can't, and
// closes the channel at the test's end.
func Connect(t *testing.T, pair Pair, f Faults) (client, server channel.Conn) {
	t.Helper()
	a, b := PipeWith(f)
	c, s := pair(t)
	return connect(t, c, s, a, b)
}

func connect(t *testing.T, c, s channel.Handshaker, a, b io.ReadWriteCloser) (client, server channel.Conn) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		var err error
		server, err = s.Server(t.Context(), b)
		done <- err
	}()
	client, err := c.Client(t.Context(), a)
	if serr := <-done; err != nil || serr != nil {
		t.Fatalf("handshake: client %v, server %v", err, serr)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return client, server
}

// pattern makes bytes that are not all alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return b
}

// pass sends a message and checks that it arrives.
func pass(t *testing.T, from, to channel.Conn, m []byte) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- from.WriteMessage(t.Context(), m) }()
	got, err := to.ReadMessage(t.Context())
	if werr := <-done; err != nil || werr != nil {
		t.Fatalf("%d bytes: writing %v, reading %v", len(m), werr, err)
	}
	if !bytes.Equal(got, m) {
		t.Fatalf("%d bytes arrived as %d others", len(m), len(got))
	}
}

func messages(t *testing.T, p Pair) {
	c, s := Connect(t, p, Faults{})
	for _, n := range []int{0, 1, 253, 254, 255, 256, 4096, 16125, 16126, 16127, 32252, 1<<16 + 1, channel.MaxMessage - 1, channel.MaxMessage} {
		pass(t, c, s, pattern(n))
		pass(t, s, c, pattern(n))
	}
	if err := c.WriteMessage(t.Context(), make([]byte, channel.MaxMessage+1)); !errors.Is(err, channel.ErrTooLarge) {
		t.Errorf("message over the limit: %v", err)
	}
	pass(t, c, s, []byte("and the channel lives"))
	// The reader owns what it was given.
	if err := c.WriteMessage(t.Context(), []byte("first")); err != nil {
		t.Fatal(err)
	}
	first, err := s.ReadMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pass(t, c, s, []byte("later"))
	if string(first) != "first" {
		t.Errorf("a message changed to %q after it was read", first)
	}
}

func chunks(t *testing.T, p Pair) {
	c, s := Connect(t, p, Faults{Chunk: 1})
	pass(t, c, s, pattern(1000))
	pass(t, s, c, pattern(1000))
	c, s = Connect(t, p, Faults{Chunk: 7, Capacity: 64})
	pass(t, c, s, pattern(70000))
}

func streamBytes(t *testing.T, p Pair) {
	c, s := Connect(t, p, Faults{})
	want := pattern(3*channel.MaxMessage + 11)
	done := make(chan error, 1)
	go func() {
		n, err := c.Write(want)
		if err == nil && n != len(want) {
			err = fmt.Errorf("wrote %d", n)
		}
		done <- errors.Join(err, c.Close())
	}()
	got, err := io.ReadAll(s)
	if werr := <-done; err != nil || werr != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes, reading %v, writing %v", len(got), len(want), err, werr)
	}
	if c.LocalAddr() == nil || c.RemoteAddr() == nil {
		t.Error("no address")
	}
}

func duplex(t *testing.T, p Pair) {
	c, s := Connect(t, p, Faults{Capacity: 1 << 12})
	done := make(chan error, 4)
	for _, x := range []channel.Conn{c, s} {
		go func() {
			for i := range 50 {
				if err := x.WriteMessage(t.Context(), pattern(i*997)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		go func() {
			for i := range 50 {
				if m, err := x.ReadMessage(t.Context()); err != nil || !bytes.Equal(m, pattern(i*997)) {
					done <- fmt.Errorf("message %d of %d bytes: %w", i, len(m), err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func binding(t *testing.T, p Pair) {
	c, s := Connect(t, p, Faults{})
	if d := cmp.Diff(c.Binding(), s.Binding()); d != "" {
		t.Errorf("bindings differ (-client +server):\n%s", d)
	}
	if len(c.Binding()) < 32 {
		t.Errorf("binding of %d bytes", len(c.Binding()))
	}
	c2, _ := Connect(t, p, Faults{})
	if bytes.Equal(c.Binding(), c2.Binding()) {
		t.Error("two channels have one binding")
	}
	export := func(x channel.Conn, label string, n int) string {
		b, err := x.Export(label, n)
		if err != nil || len(b) != n {
			t.Fatalf("Export(%q, %d): %d bytes, %v", label, n, len(b), err)
		}
		return string(b)
	}
	a := export(c, "a", 32)
	if a != export(s, "a", 32) {
		t.Error("the ends export different keys")
	}
	if a == export(c, "b", 32) || a == export(c2, "a", 32) {
		t.Error("another label, or another channel, exports the same key")
	}
	if _, err := c.Export("a", 1<<20); err == nil {
		t.Error("exported a MiB")
	}
	if who := s.Peer(); who.Purpose == channel.PurposeNone || who.Claims.Assurance == channel.AssuranceUnknown {
		t.Errorf("server knows of the client: %+v", who)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Export("a", 32); err == nil {
		t.Error("a closed channel exports")
	}
}

func closing(t *testing.T, p Pair) {
	c, s := Connect(t, p, Faults{})
	if err := c.WriteMessage(t.Context(), []byte("last")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err := s.ReadMessage(t.Context()); err != nil || string(m) != "last" {
		t.Fatalf("what was sent before the close: %q, %v", m, err)
	}
	for range 2 {
		if _, err := s.ReadMessage(t.Context()); err != io.EOF {
			t.Errorf("after the peer's close: %v", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := c.WriteMessage(t.Context(), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing after Close: %v", err)
	}
	if _, err := c.ReadMessage(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading after Close: %v", err)
	}
	// Close ends a Read that is under way.
	c, _ = Connect(t, p, Faults{})
	done := make(chan error, 1)
	go func() {
		_, err := c.ReadMessage(context.Background())
		done <- err
	}()
	synctest.Wait()
	_ = c.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a Read that Close ended: %v", err)
	}
}

func truncation(t *testing.T, p Pair) {
	a, b := Pipe()
	ch, sh := p(t)
	c, s := connect(t, ch, sh, a, b)
	pass(t, c, s, []byte("x"))
	_ = a.Close()
	if _, err := s.ReadMessage(t.Context()); !errors.Is(err, channel.ErrTruncated) {
		t.Errorf("a stream that just ends: %v", err)
	}
}

func readDeadline(t *testing.T, p Pair) {
	c, s := Connect(t, p, Faults{})
	if err := s.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Read past the deadline: %v", err)
	}
	if d := time.Since(start); d != time.Second {
		t.Errorf("it took %v", d)
	}
	if err := s.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	pass(t, c, s, []byte("goes on"))
}

func cancelledRead(t *testing.T, p Pair) {
	// Half a record has come when the reader gives up.
	var held []byte
	hold := false
	a, b := PipeWith(Faults{Alter: func(up bool, _, _ int, b []byte) []byte {
		if !up || !hold {
			return b
		}
		held = b[100:]
		return b[:100]
	}})
	ch, sh := p(t)
	c, s := connect(t, ch, sh, a, b)
	hold = true
	if err := c.WriteMessage(t.Context(), []byte("in two parts")); err != nil {
		t.Fatal(err)
	}
	hold = false
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start := time.Now()
	if _, err := s.ReadMessage(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("reading: %v", err)
	}
	if d := time.Since(start); d > time.Minute+100*time.Millisecond {
		t.Errorf("it took %v", d)
	}
	if _, err := s.ReadMessage(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("reading under a context that has ended: %v", err)
	}
	if _, err := a.Write(held); err != nil {
		t.Fatal(err)
	}
	if m, err := s.ReadMessage(t.Context()); err != nil || string(m) != "in two parts" {
		t.Errorf("the rest: %q, %v", m, err)
	}
}

func cancelledWrite(t *testing.T, p Pair) {
	c, _ := Connect(t, p, Faults{Capacity: 8 << 10})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start := time.Now()
	if err := c.WriteMessage(ctx, make([]byte, channel.MaxMessage)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("to a peer that does not read: %v", err)
	}
	if d := time.Since(start); d > time.Minute+100*time.Millisecond {
		t.Errorf("it took %v", d)
	}
	if err := c.WriteMessage(t.Context(), nil); err == nil {
		t.Error("a message after half a message")
	}
	start = time.Now()
	_ = c.Close()
	if d := time.Since(start); d > 100*time.Millisecond {
		t.Errorf("Close took %v", d)
	}
}
