package channeltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/payunit/payunit/channel"
)

func cancelledHandshake(t *testing.T, p Pair) {
	for _, side := range []string{"client", "server"} {
		c, s := p(t)
		a, b := Pipe()
		run := c.Client
		if side == "server" {
			run = s.Server
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		conn, err := run(ctx, a)
		if conn != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, %v", side, conn, err)
		}
		if d := time.Since(start); d > 150*time.Millisecond {
			t.Errorf("%s: it took %v", side, d)
		}
		if _, err := io.Copy(io.Discard, b); err != nil {
			t.Errorf("%s: stream left open: %v", side, err)
		}
		cancel()
	}
}

// silentPeer: a handshake has an end of its own.
func silentPeer(t *testing.T, p Pair) {
	for _, side := range []string{"client", "server"} {
		c, s := p(t)
		a, _ := Pipe()
		run := c.Client
		if side == "server" {
			run = s.Server
		}
		start := time.Now()
		conn, err := run(context.Background(), a)
		if conn != nil || err == nil {
			t.Errorf("%s: %v, %v", side, conn, err)
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("%s: it took %v", side, d)
		}
	}
}

// plain hides all but the three methods of a stream.
type plain struct{ rw io.ReadWriteCloser }

func (p plain) Read(b []byte) (int, error)  { return p.rw.Read(b) }
func (p plain) Write(b []byte) (int, error) { return p.rw.Write(b) }
func (p plain) Close() error                { return p.rw.Close() }

// stuck is a stream whose Read, Write and Close do not return until it is
// released, whatever happens.
type stuck struct{ release chan struct{} }

func (s stuck) Read([]byte) (int, error)  { <-s.release; return 0, io.EOF }
func (s stuck) Write([]byte) (int, error) { <-s.release; return 0, io.EOF }
func (s stuck) Close() error              { <-s.release; return nil }

func plainStream(t *testing.T, p Pair) {
	ch, sh := p(t)
	a, b := Pipe()
	c, s := connect(t, ch, sh, plain{a}, plain{b})
	pass(t, c, s, pattern(70000))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.ReadMessage(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reading: %v", err)
	}
	pass(t, c, s, []byte("goes on"))
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.ReadMessage(t.Context()); err != io.EOF {
		t.Errorf("after the peer's close: %v", err)
	}
	for _, run := range []func(context.Context, io.ReadWriteCloser) (channel.Conn, error){ch.Client, sh.Server} {
		x := stuck{make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		start := time.Now()
		if conn, err := run(ctx, x); conn != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("over a stream that is stuck: %v, %v", conn, err)
		}
		if d := time.Since(start); d > time.Second+100*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		cancel()
		close(x.release)
	}
}

// talk is a whole dialogue, and what both ends make of it: the client asks, the
// server answers, the client closes.
type talk struct {
	client, server error
	// asked and answered are what arrived, nil for nothing.
	asked, answered []byte
}

const (
	question = "the question, which is no secret of anybody"
	answer   = "the answer, which is another text than that"
)

// patience is how long an end waits. It is virtual time.
const patience = time.Minute

func dialogue(t *testing.T, c, s channel.Handshaker, a, b io.ReadWriteCloser) talk {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out talk
	done := make(chan struct{})
	go func() {
		defer close(done)
		out.server = func() error {
			conn, err := s.Server(ctx, b)
			if err != nil {
				return err
			}
			defer conn.Close()
			if out.asked, err = conn.ReadMessage(ctx); err != nil {
				return err
			}
			if err := conn.WriteMessage(ctx, []byte(answer)); err != nil {
				return err
			}
			if _, err = conn.ReadMessage(ctx); err != io.EOF {
				return err
			}
			return nil
		}()
	}()
	out.client = func() error {
		conn, err := c.Client(ctx, a)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.WriteMessage(ctx, []byte(question)); err != nil {
			return err
		}
		out.answered, err = conn.ReadMessage(ctx)
		return err
	}()
	<-done
	return out
}

// check judges a dialogue that somebody disturbed: nothing false may arrive, and
// where an end has something to wait for it ends in an error: client and server say
// which must have noticed.
func (d talk) check(t *testing.T, what string, client, server bool) {
	t.Helper()
	if d.asked != nil && string(d.asked) != question || d.answered != nil && string(d.answered) != answer {
		t.Errorf("%s: arrived: %q, %q", what, d.asked, d.answered)
	}
	if client && d.client == nil {
		t.Errorf("%s: the client saw nothing (server: %v)", what, d.server)
	}
	if server && d.server == nil {
		t.Errorf("%s: the server saw nothing (client: %v)", what, d.client)
	}
}

// measure is what passed in a dialogue each way, by direction, up is true.
type measure struct {
	bytes, writes map[bool]int
	sent          map[bool][][]byte
}

// measured runs a dialogue that nobody disturbs.
func measured(t *testing.T, p Pair) measure {
	t.Helper()
	m := measure{map[bool]int{}, map[bool]int{}, map[bool][][]byte{}}
	lock := make(chan struct{}, 1)
	a, b := PipeWith(Faults{Alter: func(up bool, _, _ int, b []byte) []byte {
		lock <- struct{}{}
		defer func() { <-lock }()
		m.bytes[up] += len(b)
		m.writes[up]++
		m.sent[up] = append(m.sent[up], bytes.Clone(b))
		return b
	}})
	c, s := p(t)
	if d := dialogue(t, c, s, a, b); d.client != nil || d.server != nil || d.answered == nil {
		t.Fatalf("a dialogue that nobody disturbs: %+v", d)
	}
	return m
}

// everyByteAltered flips a bit of a byte of a whole dialogue, of each in turn
// (offsets). Both ends see
// an error, or one when the other had nothing left to wait for.
func everyByteAltered(t *testing.T, p Pair) {
	m := measured(t, p)
	for _, up := range []bool{true, false} {
		last := m.sent[up][m.writes[up]-1]
		for _, i := range offsets(m.sent[up]) {
			a, b := PipeWith(Faults{Alter: func(u bool, _, offset int, b []byte) []byte {
				if u == up && offset <= i && i < offset+len(b) {
					b[i-offset] ^= 1 << (i % 8)
				}
				return b
			}})
			c, s := p(t)
			closing := i >= m.bytes[up]-len(last)
			dialogue(t, c, s, a, b).check(t, where(up, i), !closing, up || !closing)
			if t.Failed() {
				return
			}
		}
	}
}

func where(up bool, i int) string {
	way := "down"
	if up {
		way = "up"
	}
	return way + " " + strconv.Itoa(i)
}

// everyTruncation cuts the stream after every byte (offsets).
func everyTruncation(t *testing.T, p Pair) {
	m := measured(t, p)
	for _, up := range []bool{true, false} {
		last := len(m.sent[up][m.writes[up]-1])
		for _, i := range offsets(m.sent[up]) {
			f := Faults{CutUp: i}
			if i == 0 {
				f.CutUp = -1
			}
			if !up {
				f.CutUp, f.CutDown = 0, f.CutUp
			}
			c, s := p(t)
			a, b := PipeWith(f)
			closing := i >= m.bytes[up]-last
			dialogue(t, c, s, a, b).check(t, "cut "+where(up, i), !closing, up || !closing)
			if t.Failed() {
				return
			}
		}
	}
}

// everyWrite drops, repeats, and swaps with its successor every write.
func everyWrite(t *testing.T, p Pair) {
	m := measured(t, p)
	for _, up := range []bool{true, false} {
		for n := range m.writes[up] {
			for _, what := range []string{"drop", "repeat", "swap"} {
				if what == "swap" && n+1 == m.writes[up] {
					continue
				}
				var held []byte
				a, b := PipeWith(Faults{Alter: func(u bool, k, _ int, b []byte) []byte {
					switch {
					case u != up || k != n && (what != "swap" || k != n+1):
						return b
					case what == "drop":
						return nil
					case what == "repeat":
						return append(b, b...)
					case k == n:
						held = b
						return nil
					}
					return append(b, held...)
				}})
				c, s := p(t)
				d := dialogue(t, c, s, a, b)
				// What comes after everything that an end waited for is not
				// seen by anybody.
				closing := n+1 == m.writes[up]
				answered := !up && n+2 >= m.writes[up] && what == "repeat"
				d.check(t, what+" "+where(up, n), !up && !closing && !answered, up && !(closing && what == "repeat"))
			}
		}
	}
}

// reflection sends an end its own bytes.
func reflection(t *testing.T, p Pair) {
	for _, side := range []string{"client", "server"} {
		c, s := p(t)
		a, b := Pipe()
		go func() { _, _ = io.Copy(b, b) }()
		run := c.Client
		if side == "server" {
			run = s.Server
			// A server speaks second: the bytes are a client's.
			m := measured(t, p)
			if _, err := b.Write(m.sent[true][0]); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if conn, err := run(ctx, a); conn != nil || err == nil {
			t.Errorf("%s took its own bytes", side)
		}
		cancel()
		_ = a.Close()
	}
}

// replay plays a recorded client to a server, and a recorded server to a
// client.
func replay(t *testing.T, p Pair) {
	m := measured(t, p)
	for _, up := range []bool{true, false} {
		c, s := p(t)
		a, b := Pipe()
		for _, w := range m.sent[up] {
			if _, err := b.Write(w); err != nil {
				t.Fatal(err)
			}
		}
		run := c.Client
		if up {
			run = s.Server
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if conn, err := run(ctx, a); conn != nil || err == nil {
			t.Errorf("a recording was taken, up %v", up)
		}
		cancel()
	}
}

// splice carries records of one channel into another of the same two parties.
func splice(t *testing.T, p Pair) {
	ch, sh := p(t)
	var record []byte
	a, b := PipeWith(Faults{Alter: func(up bool, _, _ int, b []byte) []byte {
		if up {
			record = bytes.Clone(b)
		}
		return b
	}})
	c1, s1 := connect(t, ch, sh, a, b)
	a2, b2 := Pipe()
	ch, sh = p(t)
	c2, s2 := connect(t, ch, sh, a2, b2)
	pass(t, c1, s1, []byte("pay 1"))
	if _, err := a2.Write(record); err != nil {
		t.Fatal(err)
	}
	if m, err := s2.ReadMessage(t.Context()); !errors.Is(err, channel.ErrAuthentication) {
		t.Errorf("a record of another channel: %q, %v", m, err)
	}
	// The one answer reaches the other end, which is dead as well.
	if _, err := c2.ReadMessage(t.Context()); err == nil || err == io.EOF {
		t.Errorf("the other end: %v", err)
	}
	if err := s2.WriteMessage(t.Context(), nil); err == nil {
		t.Error("the end that was lied to goes on writing")
	}
}

func nothingInClear(t *testing.T, p Pair) {
	m := measured(t, p)
	for up, writes := range m.sent {
		all := bytes.Join(writes, nil)
		for _, text := range []string{question, answer} {
			if bytes.Contains(all, []byte(text)) || bytes.Contains(all, []byte(text[4:20])) {
				t.Errorf("the relay sees %q, up %v", text, up)
			}
		}
	}
}
