package cassette

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
)

// State is what a unit keeps its records, counters and private keys in.
type State interface {
	payment.Storage
	trusted.KeyStore
}

// Rand returns a source of randomness.
func (t *Tape) Rand(r io.Reader) io.Reader { return &random{t, r} }

type random struct {
	t *Tape
	r io.Reader
}

func (r *random) Read(b []byte) (int, error) {
	got, err := do(r.t, call{port: "rand", op: "read", ask: len(b)}, func() (hexBytes, error) {
		n, err := r.r.Read(b)
		return b[:n:n], err
	})
	n := copy(b, got)
	return n, err
}

// Panel returns a PIN pad's panel. What it records tells the PIN.
func (t *Tape) Panel(p softpad.Panel) softpad.Panel { return &panel{t, p} }

type panel struct {
	t *Tape
	p softpad.Panel
}

func (p *panel) Open(ctx context.Context, prompt pinpad.Prompt, l softpad.Layout) (softpad.Entry, error) {
	ask := struct {
		Prompt pinpad.Prompt `json:"prompt"`
		Layout hexBytes      `json:"layout"`
	}{prompt, l[:]}
	e := &pinEntry{t: p.t}
	_, err := do(p.t, call{ctx: ctx, port: "panel", op: "open", ask: ask}, func() (_ none, err error) {
		e.e, err = p.p.Open(ctx, prompt, l)
		return none{}, err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

type pinEntry struct {
	t *Tape
	e softpad.Entry
}

func (e *pinEntry) Next(ctx context.Context) (softpad.Key, error) {
	return do(e.t, call{ctx: ctx, port: "panel", op: "next"}, func() (softpad.Key, error) { return e.e.Next(ctx) })
}

func (e *pinEntry) Mask(n int) error {
	_, err := do(e.t, call{port: "panel", op: "mask", ask: n}, func() (none, error) { return none{}, e.e.Mask(n) })
	return err
}

func (e *pinEntry) Close() error {
	_, err := do(e.t, call{port: "panel", op: "close"}, func() (none, error) { return none{}, e.e.Close() })
	return err
}

// State returns a unit's state. Of what is put the digest is recorded, of what
// is got everything. The caller closes s.
func (t *Tape) State(s State) State { return &state{t, s} }

type state struct {
	t *Tape
	s State
}

// named is what is asked of a state.
type named struct {
	Name string `json:"name"`
	// Digest is the SHA-256 of what is put or signed.
	Digest string   `json:"sha256,omitempty"`
	Peer   hexBytes `json:"peer,omitempty"`
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func laneOfState(op string, ask json.RawMessage) string {
	var n named
	// One without a name is a lane of its own, which nobody asks.
	_ = json.Unmarshal(ask, &n)
	return "state " + op + " " + n.Name
}

func (s *state) call(ctx context.Context, op string, n named) call {
	return call{ctx: ctx, port: "state", op: op, lane: op + " " + n.Name, ask: n}
}

func (s *state) Get(ctx context.Context, name string) ([]byte, error) {
	return do(s.t, s.call(ctx, "get", named{Name: name}), func() (hexBytes, error) { return bytesOf(s.s.Get(ctx, name)) })
}

func bytesOf(b []byte, err error) (hexBytes, error) { return b, err }

func (s *state) Put(ctx context.Context, name string, value []byte) error {
	_, err := do(s.t, s.call(ctx, "put", named{Name: name, Digest: digest(value)}), func() (none, error) { return none{}, s.s.Put(ctx, name, value) })
	return err
}

func (s *state) Delete(ctx context.Context, name string) error {
	_, err := do(s.t, s.call(ctx, "delete", named{Name: name}), func() (none, error) { return none{}, s.s.Delete(ctx, name) })
	return err
}

func (s *state) List(ctx context.Context, prefix string) ([]string, error) {
	return do(s.t, s.call(ctx, "list", named{Name: prefix}), func() ([]string, error) { return s.s.List(ctx, prefix) })
}

func (s *state) Next(ctx context.Context, name string) (uint64, error) {
	return do(s.t, s.call(ctx, "next", named{Name: name}), func() (uint64, error) { return s.s.Next(ctx, name) })
}

// Value implements trusted.CounterReader, as far as the state behind it does.
func (s *state) Value(ctx context.Context, name string) (uint64, error) {
	return do(s.t, s.call(ctx, "value", named{Name: name}), func() (uint64, error) {
		r, ok := s.s.(trusted.CounterReader)
		if !ok {
			return 0, fmt.Errorf("cassette: reading a counter: %w", errors.ErrUnsupported)
		}
		return r.Value(ctx, name)
	})
}

func (s *state) PublicKey(ctx context.Context, name string) ([]byte, error) {
	return do(s.t, s.call(ctx, "public-key", named{Name: name}), func() (hexBytes, error) { return bytesOf(s.s.PublicKey(ctx, name)) })
}

func (s *state) ECDH(ctx context.Context, name string, peer []byte) ([]byte, error) {
	return do(s.t, s.call(ctx, "ecdh", named{Name: name, Peer: peer}), func() (hexBytes, error) { return bytesOf(s.s.ECDH(ctx, name, peer)) })
}

func (s *state) VerificationKey(ctx context.Context, name string) ([]byte, error) {
	return do(s.t, s.call(ctx, "verification-key", named{Name: name}), func() (hexBytes, error) { return bytesOf(s.s.VerificationKey(ctx, name)) })
}

func (s *state) Sign(ctx context.Context, name string, message []byte) ([]byte, error) {
	return do(s.t, s.call(ctx, "sign", named{Name: name, Digest: digest(message)}), func() (hexBytes, error) { return bytesOf(s.s.Sign(ctx, name, message)) })
}

// Link returns the app's way to the server.
func (t *Tape) Link(l trusted.Link) trusted.Link { return &link{t, l} }

type link struct {
	t *Tape
	l trusted.Link
}

func isLink(port string) bool { return len(port) > 5 && port[:5] == "link/" }

func (l *link) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	l.t.mu.Lock()
	l.t.conns++
	c := &conn{t: l.t, port: fmt.Sprintf("link/%d", l.t.conns), written: newCounter()}
	l.t.mu.Unlock()
	_, err := do(l.t, call{ctx: ctx, port: c.port, op: "open", lane: "open"}, func() (_ none, err error) {
		c.c, err = l.l.Open(ctx)
		return none{}, err
	})
	if err != nil {
		return nil, err
	}
	l.t.count(1, 0)
	return c, nil
}

// conn is one connection. A read that was recorded after so many bytes had gone
// up is played when they have gone up again.
type conn struct {
	t       *Tape
	port    string
	c       io.ReadWriteCloser
	written *counter

	mu      sync.Mutex
	reading int
	closed  bool
	// ended says that the closing has answered.
	ended bool
}

// closing tells whether a read was waiting when a connection was closed.
type closing struct {
	Pending bool `json:"pending,omitempty"`
}

func (c *conn) Read(b []byte) (int, error) {
	if c.t.playing != nil {
		if c.written.isClosed() {
			return 0, io.ErrClosedPipe
		}
		if c.t.waited(c.port) {
			return 0, c.written.await(math.MaxInt64, 0)
		}
		got, err := do[hexBytes](c.t, call{port: c.port, op: "read", lane: "read", written: c.written}, nil)
		if len(got) > len(b) {
			return 0, c.t.mismatch(call{port: c.port, op: "read"}, 0, "the buffer is smaller than what was read")
		}
		return copy(b, got), err
	}
	c.mu.Lock()
	c.reading++
	c.mu.Unlock()
	n, err := c.c.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading--
	// Of a read that the closing ended, the closing tells.
	if !c.closed {
		c.t.record(call{port: c.port, op: "read", lane: "read", written: c.written}, hexBytes(b[:n]), err)
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	c.t.count(0, 1)
	defer c.t.count(0, -1)
	n, err := do(c.t, call{port: c.port, op: opWrite, lane: opWrite, ask: hexBytes(b)}, func() (int, error) { return c.c.Write(b) })
	c.written.add(n)
	return n, err
}

func (c *conn) Close() error {
	c.t.count(0, 1)
	defer func() {
		c.mu.Lock()
		first := !c.ended
		c.ended = true
		c.mu.Unlock()
		if first {
			c.t.count(-1, 0)
		}
		c.t.count(0, -1)
	}()
	c.written.close()
	_, err := do(c.t, call{port: c.port, op: opClose, lane: opClose}, func() (a closing, err error) {
		c.mu.Lock()
		a.Pending, c.closed = c.reading > 0 && !c.closed, true
		c.mu.Unlock()
		return a, c.c.Close()
	})
	return err
}

// waited reports whether the recorded unit waited at this point until it closed
// the connection: there is no further read, and one was waiting then.
func (t *Tape) waited(port string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	closings := t.playing.lanes[port+" "+opClose]
	if t.playing.err != nil || len(t.playing.lanes[port+" read"]) > 0 || len(closings) == 0 {
		return false
	}
	var a closing
	return json.Unmarshal(closings[0].Answer, &a) == nil && a.Pending
}
