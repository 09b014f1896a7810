package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/channel/channeltest"
	"github.com/payunit/payunit/trusted"
)

// linkFunc is a link made of a function.
type linkFunc func(ctx context.Context) (io.ReadWriteCloser, error)

func (f linkFunc) Open(ctx context.Context) (io.ReadWriteCloser, error) { return f(ctx) }

var _ trusted.Link = linkFunc(nil)

// between starts a relay over two pipes and returns their outer ends.
func between(t *testing.T, ctx context.Context, c Config, up, down channeltest.Faults) (unit, server *channeltest.End, done chan error) {
	t.Helper()
	unit, near := channeltest.PipeWith(up)
	far, server := channeltest.PipeWith(down)
	c.Link = linkFunc(func(context.Context) (io.ReadWriteCloser, error) { return far, nil })
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan error, 1)
	go func() { done <- r.Forward(ctx, near) }()
	return unit, server, done
}

func TestForwardBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up, down int64
		unit, server, done := between(t, t.Context(), Config{Observe: func(u, d int64, _ error) { up, down = u, d }}, channeltest.Faults{}, channeltest.Faults{})
		text := bytes.Repeat([]byte("frame "), 50_000)
		go func() {
			_, _ = unit.Write(text)
			_, _ = server.Write([]byte("answer"))
		}()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("up: %v", err)
		}
		if _, err := io.ReadFull(unit, got[:6]); err != nil || string(got[:6]) != "answer" {
			t.Fatalf("down: %q, %v", got[:6], err)
		}
		_ = unit.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := server.Read(got); err != io.EOF {
			t.Errorf("after the unit's close: %v", err)
		}
		if up != int64(len(text)) || down != 6 {
			t.Errorf("passed %d and %d", up, down)
		}
	})
}

// TestServersLastWord: what a server says before it closes arrives.
func TestServersLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unit, server, done := between(t, t.Context(), Config{}, channeltest.Faults{}, channeltest.Faults{})
		if _, err := server.Write([]byte("no")); err != nil {
			t.Fatal(err)
		}
		_ = server.Close()
		if got, err := io.ReadAll(unit); err != nil || string(got) != "no" {
			t.Errorf("%q, %v", got, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestIdle: a connection on which nothing passes ends, and one on which something
// does lives.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unit, server, done := between(t, t.Context(), Config{Idle: time.Minute}, channeltest.Faults{}, channeltest.Faults{})
		began := time.Now()
		for range 5 {
			time.Sleep(50 * time.Second)
			if _, err := unit.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; !errors.Is(err, ErrIdle) {
			t.Errorf("%v", err)
		}
		if d := time.Since(began); d != 250*time.Second+time.Minute {
			t.Errorf("it took %v", d)
		}
	})
}

// TestPeerThatNeverReads: the writer is stopped after what the pipes and one
// buffer hold, and the connection is let go.
func TestPeerThatNeverReads(t *testing.T) {
	const capacity = 1 << 12
	synctest.Test(t, func(t *testing.T) {
		f := channeltest.Faults{Capacity: capacity}
		unit, _, done := between(t, t.Context(), Config{Idle: time.Minute}, f, f)
		taken := 0
		for {
			n, err := unit.Write(make([]byte, 1024))
			if err != nil {
				break
			}
			taken += n
		}
		if err := <-done; !errors.Is(err, ErrIdle) {
			t.Errorf("%v", err)
		}
		if most := 2*capacity + bufferSize; taken > most {
			t.Errorf("%d bytes were taken for a peer that never reads, want at most %d", taken, most)
		}
	})
}

func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		unit, server, done := between(t, ctx, Config{}, channeltest.Faults{}, channeltest.Faults{})
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		for _, e := range []*channeltest.End{unit, server} {
			if _, err := e.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("an end stays open: %v", err)
			}
		}
	})
}

func TestNoWayToTheServer(t *testing.T) {
	down := errors.New("no network")
	r, err := New(Config{Link: linkFunc(func(context.Context) (io.ReadWriteCloser, error) { return nil, down })})
	if err != nil {
		t.Fatal(err)
	}
	unit, near := channeltest.Pipe()
	if err := r.Forward(t.Context(), near); !errors.Is(err, down) {
		t.Errorf("%v", err)
	}
	if _, err := unit.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the unit's end stays open: %v", err)
	}
	if _, err := New(Config{}); !errors.Is(err, ErrConfig) {
		t.Errorf("no link: %v", err)
	}
}

// TestServe runs units over TCP through a relay to an echo, more than there is
// room for.
func TestServe(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Link: Dialer{Address: echo.Addr().String()}, Connections: 3})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, l) }()
	var units []net.Conn
	for n := range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		units = append(units, c)
		said := fmt.Appendf(nil, "unit %d", n)
		if _, err := c.Write(said); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(said))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, said) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	extra, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	if _, err := extra.Read(make([]byte, 1)); err == nil {
		t.Error("one more than there is room for")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	for _, c := range units {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives the relay")
		}
	}
}

// tired is a listener that has no descriptors left a few times, and then is
// closed.
type tired struct {
	net.Listener
	left int
}

type temporary struct{}

func (temporary) Error() string   { return "too many open files" }
func (temporary) Temporary() bool { return true }

func (l *tired) Accept() (net.Conn, error) {
	if l.left--; l.left >= 0 {
		return nil, temporary{}
	}
	return nil, net.ErrClosed
}

func (*tired) Close() error { return nil }

func TestTiredListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Config{Link: Dialer{}})
		if err != nil {
			t.Fatal(err)
		}
		l := &tired{left: 3}
		if err := r.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) || l.left >= 0 {
			t.Errorf("%v, %d left", err, l.left)
		}
	})
}

// TestBrokenListener: a listener that fails is an error.
func TestBrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Link: Dialer{Address: "127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := r.Serve(t.Context(), l); err == nil {
		t.Error("a closed listener serves")
	}
}
