package link

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func echo(terminal, stan string) *acquirer.Message {
	return acquirer.NewNetworkManagement(acquirer.NetworkEcho, stan, terminal, noon)
}

// host is a peer that a test moves step by step.
type host struct {
	net.Conn
	t *testing.T
}

func (h *host) read() *acquirer.Message {
	h.t.Helper()
	_, b, err := Framing{}.Read(h)
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := acquirer.Default().Unpack(b)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *host) answer(m *acquirer.Message) {
	h.t.Helper()
	r, err := m.Response("00")
	if err != nil {
		h.t.Fatal(err)
	}
	b, err := acquirer.Default().Pack(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.send(b)
}

func (h *host) send(body []byte) {
	h.t.Helper()
	f, err := Framing{}.Append(nil, TPDU{}, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Write(f); err != nil {
		h.t.Fatal(err)
	}
}

// setUp returns a client whose connections come out of the channel.
func setUp(t *testing.T, c Config) (*Client, chan *host) {
	t.Helper()
	hosts := make(chan *host, 4)
	if c.Dial == nil {
		c.Dial = func(context.Context) (net.Conn, error) {
			a, b := net.Pipe()
			hosts <- &host{b, t}
			return a, nil
		}
	}
	cl, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	return cl, hosts
}

type outcome struct {
	m   *acquirer.Message
	err error
}

func start(c *Client, ctx context.Context, m *acquirer.Message) chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := c.Exchange(ctx, m)
		done <- outcome{r, err}
	}()
	return done
}

// TestMatching has three requests in flight, two with one STAN, answered in
// another order, with an answer in between that belongs to none.
func TestMatching(t *testing.T) {
	late := make(chan *acquirer.Message, 4)
	c, hosts := setUp(t, Config{Late: func(m *acquirer.Message) { late <- m }})
	ctx := t.Context()
	a := start(c, ctx, echo("TERM0001", "000001"))
	h := <-hosts
	ma := h.read()
	b := start(c, ctx, echo("TERM0002", "000001"))
	mb := h.read()
	d := start(c, ctx, echo("TERM0001", "000002"))
	md := h.read()
	if r := <-start(c, ctx, echo("TERM0001", "000002")); !errors.Is(r.err, ErrInFlight) || !errors.Is(r.err, ErrNotSent) {
		t.Errorf("the same again: %v", r.err)
	}
	h.answer(md)
	h.answer(echo("TERM0003", "000001"))
	h.answer(mb)
	h.answer(ma)
	for i, w := range []struct {
		done     chan outcome
		terminal string
		stan     string
	}{{a, "TERM0001", "000001"}, {b, "TERM0002", "000001"}, {d, "TERM0001", "000002"}} {
		r := <-w.done
		if r.err != nil || r.m.TerminalID != w.terminal || r.m.STAN != w.stan {
			t.Errorf("request %d: %v, %v", i, r.m, r.err)
		}
	}
	if m := <-late; m.TerminalID != "TERM0003" {
		t.Errorf("late: %s", m)
	}
}

// TestLate: an answer that comes after its request has ended is reported, and
// the connection goes on.
func TestLate(t *testing.T) {
	late := make(chan *acquirer.Message, 1)
	c, hosts := setUp(t, Config{Late: func(m *acquirer.Message) { late <- m }})
	ctx, cancel := context.WithCancel(t.Context())
	a := start(c, ctx, echo("TERM0001", "000001"))
	h := <-hosts
	m := h.read()
	cancel()
	if r := <-a; !errors.Is(r.err, ErrNoAnswer) || !errors.Is(r.err, context.Canceled) {
		t.Fatal(r.err)
	}
	h.answer(m)
	if l := <-late; l.STAN != "000001" {
		t.Errorf("late: %s", l)
	}
	b := start(c, t.Context(), echo("TERM0001", "000002"))
	h.answer(h.read())
	if r := <-b; r.err != nil {
		t.Error(r.err)
	}
}

// TestTimeout ends an exchange by the client's own limit.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, hosts := setUp(t, Config{Timeout: time.Second})
		a := start(c, t.Context(), echo("TERM0001", "000001"))
		h := <-hosts
		h.read()
		began := time.Now()
		if r := <-a; !errors.Is(r.err, ErrNoAnswer) || !errors.Is(r.err, context.DeadlineExceeded) {
			t.Error(r.err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// TestDeafPeer: a peer that does not read holds nobody beyond their context.
func TestDeafPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, hosts := setUp(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		a := start(c, ctx, echo("TERM0001", "000001"))
		<-hosts
		synctest.Wait() // until the write blocks
		// A second one waits for the first to be written.
		b := start(c, ctx, echo("TERM0001", "000002"))
		synctest.Wait()
		cancel()
		for _, done := range []chan outcome{a, b} {
			if r := <-done; !errors.Is(r.err, ErrNotSent) || !errors.Is(r.err, context.Canceled) {
				t.Errorf("nothing was read, and %v", r.err)
			}
		}
		// A part was read: it may have been carried out.
		ctx, cancel = context.WithCancel(t.Context())
		d := start(c, ctx, echo("TERM0001", "000003"))
		h := <-hosts
		if _, err := io.ReadFull(h, make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if r := <-d; !errors.Is(r.err, ErrNoAnswer) {
			t.Errorf("a part was read, and %v", r.err)
		}
	})
}

// TestReconnect loses the connection and fails to get another one at first.
func TestReconnect(t *testing.T) {
	var waits []time.Duration
	hosts := make(chan *host, 1)
	refused := errors.New("refused")
	dials := 0
	c, _ := setUp(t, Config{
		BackOff: time.Second, MaxBackOff: 3 * time.Second, Now: func() time.Time { return time.Time{} },
		Wait: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil },
		Dial: func(context.Context) (net.Conn, error) {
			if dials++; dials > 1 && dials < 6 {
				return nil, refused
			}
			a, b := net.Pipe()
			hosts <- &host{b, t}
			return a, nil
		},
	})
	a := start(c, t.Context(), echo("TERM0001", "000001"))
	h := <-hosts
	h.read()
	_ = h.Close()
	if r := <-a; !errors.Is(r.err, ErrNoAnswer) || !errors.Is(r.err, io.EOF) {
		t.Fatal(r.err)
	}
	for range 4 {
		if r := <-start(c, t.Context(), echo("TERM0001", "000002")); !errors.Is(r.err, ErrNotSent) || !errors.Is(r.err, refused) {
			t.Fatal(r.err)
		}
	}
	b := start(c, t.Context(), echo("TERM0001", "000003"))
	h = <-hosts
	h.answer(h.read())
	if r := <-b; r.err != nil {
		t.Fatal(r.err)
	}
	if want := fmt.Sprint([]time.Duration{1e9, 2e9, 3e9, 3e9}); fmt.Sprint(waits) != want {
		t.Errorf("waits %v, want %s", waits, want)
	}
}

// TestReconnectForTheImpatient: requests that wait less than the longest back-off
// don't put the next connection off, and those that can't wait for it know at once.
func TestReconnectForTheImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, dials := true, 0
		c, err := NewClient(Config{Dial: func(context.Context) (net.Conn, error) {
			dials++
			if down {
				return nil, errors.New("refused")
			}
			a, b := net.Pipe()
			go func() {
				h := &host{b, t}
				h.answer(h.read())
			}()
			return a, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ask := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			asked := time.Now()
			m, err := c.Exchange(ctx, echo("TERM0001", "000001"))
			if err == nil {
				m.Wipe()
			} else if !errors.Is(err, ErrNotSent) {
				t.Errorf("after %v: %v", time.Since(began), err)
			} else if took := time.Since(asked); errors.Is(err, errPause) && took != 0 {
				t.Errorf("who can't wait for the next connection was told after %v", took)
			}
			return err
		}
		for time.Since(began) < 5*time.Minute {
			if ask() == nil {
				t.Fatal("a host that is down answered")
			}
			time.Sleep(time.Second)
		}
		if least, most := 10, 20; dials < least || dials > most {
			t.Errorf("%d connections were tried in five minutes, want %d to %d", dials, least, most)
		}
		down = false
		for back := time.Now(); ask() != nil; time.Sleep(time.Second) {
			if time.Since(back) > 31*time.Second {
				t.Fatal("no connection although the host is back")
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestLimits: too many in flight, a closed client, bad configurations.
func TestLimits(t *testing.T) {
	c, hosts := setUp(t, Config{MaxInFlight: 1})
	a := start(c, t.Context(), echo("TERM0001", "000001"))
	h := <-hosts
	h.read()
	if r := <-start(c, t.Context(), echo("TERM0001", "000002")); !errors.Is(r.err, ErrFull) || !errors.Is(r.err, ErrNotSent) {
		t.Error(r.err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if r := <-a; !errors.Is(r.err, ErrNoAnswer) || !errors.Is(r.err, ErrClosed) {
		t.Error(r.err)
	}
	if r := <-start(c, t.Context(), echo("TERM0001", "000003")); !errors.Is(r.err, ErrClosed) {
		t.Error(r.err)
	}
	if r := <-start(c, t.Context(), &acquirer.Message{MTI: "0800"}); !errors.Is(r.err, acquirer.ErrInvalid) || !errors.Is(r.err, ErrNotSent) {
		t.Error(r.err)
	}
	if _, err := NewClient(Config{}); err == nil {
		t.Error("a client without Dial")
	}
	if _, err := NewClient(Config{Dial: func(context.Context) (net.Conn, error) { return nil, nil }, Seal: acquirer.Default().Pack}); err == nil {
		t.Error("a client that seals and does not open")
	}
}

// TestGarbage: a frame that is no message is passed over, one that is no frame
// ends the connection.
func TestGarbage(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	c, hosts := setUp(t, Config{Framing: Framing{Max: 300}, Observe: func(s string, _ error) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, s)
	}})
	a := start(c, t.Context(), echo("TERM0001", "000001"))
	h := <-hosts
	m := h.read()
	h.send([]byte("0810 and then nothing of use"))
	h.answer(m)
	if r := <-a; r.err != nil {
		t.Error(r.err)
	}
	b := start(c, t.Context(), echo("TERM0001", "000002"))
	h.read()
	if _, err := h.Write([]byte{0xFF, 0xFF}); err != nil {
		t.Fatal(err)
	}
	if r := <-b; !errors.Is(r.err, ErrNoAnswer) || !errors.Is(r.err, ErrTooLong) {
		t.Error(r.err)
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(seen) != "[connected unreadable message connection lost]" {
		t.Errorf("observed %v", seen)
	}
}

// TestKeep echoes twice and gives the connection up when no answer comes.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, hosts := setUp(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		n := 0
		began := time.Now()
		go func() {
			done <- c.Keep(ctx, time.Minute, func() (*acquirer.Message, error) {
				n++
				return echo("TERM0001", fmt.Sprintf("%06d", n)), nil
			})
		}()
		h := <-hosts
		h.answer(h.read())
		h.answer(h.read())
		h.read()
		if d := time.Since(began); d != 3*time.Minute {
			t.Errorf("third echo after %v", d)
		}
		if _, err := h.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is still there: %v", err)
		}
		h = <-hosts
		h.answer(h.read())
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// sealer authenticates messages with a key of its own.
type sealer string

func (s sealer) mac(b []byte) ([]byte, error) {
	h := hmac.New(sha256.New, []byte(s))
	h.Write(b)
	return h.Sum(nil)[:8], nil
}

func (s sealer) seal(m *acquirer.Message) ([]byte, error) { return acquirer.Default().Seal(m, s.mac) }

func (s sealer) open(b []byte) (*acquirer.Message, error) {
	return acquirer.Default().Open(b, func(_ *acquirer.Message, data, mac []byte) error {
		if want, _ := s.mac(data); !bytes.Equal(want, mac) {
			return errors.New("wrong")
		}
		return nil
	})
}

// TestServe connects a client and a host over a loopback socket, with MACs, and
// a stranger without the key.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan string, 8)
	h := &Host{
		Framing: Framing{HasTPDU: true}, Seal: sealer("key").seal, Open: sealer("key").open,
		Handle: func(_ context.Context, m *acquirer.Message) *acquirer.Message {
			r, err := m.Response("00")
			if err != nil {
				t.Error(err)
			}
			return r
		},
		Observe: func(s string, err error) {
			seen <- s
			if !errors.Is(err, acquirer.ErrMAC) {
				t.Error(err)
			}
		},
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _ = h.ServeConn(ctx, conn) })
		}
	})
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}
	c, _ := setUp(t, Config{Dial: dial, Framing: Framing{HasTPDU: true}, TPDU: TPDU{0x60, 0, 1, 0, 2}, Seal: sealer("key").seal, Open: sealer("key").open})
	var all []chan outcome
	for i := range 40 {
		all = append(all, start(c, t.Context(), echo(fmt.Sprintf("TERM%04d", i%7), fmt.Sprintf("%06d", i+1))))
	}
	for i, done := range all {
		if r := <-done; r.err != nil || r.m.STAN != fmt.Sprintf("%06d", i+1) {
			t.Errorf("%d: %v", i, r.err)
		}
	}
	stranger, _ := setUp(t, Config{Dial: dial, Framing: Framing{HasTPDU: true}, TPDU: TPDU{0x60}, Seal: sealer("other").seal, Open: sealer("other").open})
	sctx, give := context.WithCancel(ctx)
	refused := start(stranger, sctx, echo("TERM0001", "000001"))
	if s := <-seen; s != "unreadable request" {
		t.Errorf("observed %q", s)
	}
	give()
	if r := <-refused; !errors.Is(r.err, ErrNoAnswer) {
		t.Error(r.err)
	}
	// The answer's TPDU goes back where the request's came from.
	raw, err := dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	b, err := sealer("key").seal(echo("TERM0001", "000099"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := h.Framing.Append(nil, TPDU{0x60, 0x00, 0x22, 0x00, 0x01}, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Write(f); err != nil {
		t.Fatal(err)
	}
	if tpdu, _, err := h.Framing.Read(raw); err != nil || tpdu != (TPDU{0x60, 0x00, 0x01, 0x00, 0x22}) {
		t.Errorf("TPDU %X, %v", tpdu, err)
	}
	cancel()
	_ = l.Close()
	wg.Wait()
}
