package cassette_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/trace"
	"github.com/payunit/payunit/payment/cassette"
	"github.com/payunit/payunit/trusted"
)

var began = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// clock is one that each question moves by a millisecond.
func clock() func() time.Time {
	n := 0
	return func() time.Time {
		n++
		return began.Add(time.Duration(n-1) * time.Millisecond)
	}
}

// modules are a unit's, of which a test says what they answer.
type modules struct {
	connect  func() (cardreader.Card, error)
	transmit func([]byte) ([]byte, error)
	down     [][]byte
	up       bytes.Buffer
	confirm  error
	closed   chan struct{}
	// blocked is closed when a read waits.
	blocked chan struct{}
}

func (m *modules) Name() string                                         { return "a reader" }
func (m *modules) Connect(context.Context) (cardreader.Card, error)     { return m.connect() }
func (m *modules) ATR() []byte                                          { return []byte{0x3B, 0x60, 0, 0} }
func (m *modules) Protocol() cardreader.Protocol                        { return cardreader.T0 }
func (m *modules) WaitRemoval(context.Context) error                    { return nil }
func (m *modules) Transmit(_ context.Context, b []byte) ([]byte, error) { return m.transmit(b) }
func (m *modules) Open(context.Context) (io.ReadWriteCloser, error)     { return m, nil }
func (m *modules) Write(b []byte) (int, error)                          { return m.up.Write(b) }
func (m *modules) Notify(context.Context, trusted.Notice) error         { return nil }
func (m *modules) Confirm(context.Context, trusted.Confirmation) error  { return m.confirm }
func (m *modules) Choose(context.Context, []string) (int, error)        { return 1, nil }

func (m *modules) Read(b []byte) (int, error) {
	if len(m.down) == 0 {
		closed := m.closed
		close(m.blocked)
		<-closed
		return 0, errors.New("closed under the reader")
	}
	n := copy(b, m.down[0])
	m.down = m.down[1:]
	return n, nil
}

func (m *modules) Close() error {
	if m.closed != nil {
		close(m.closed)
		m.closed = nil
	}
	return nil
}

func newModules() *modules {
	m := &modules{down: [][]byte{{5, 6}, {7}}, confirm: trusted.ErrCancelled, closed: make(chan struct{}), blocked: make(chan struct{})}
	m.connect = func() (cardreader.Card, error) { return m, nil }
	m.transmit = func(b []byte) ([]byte, error) {
		if b[1] == 0xB0 {
			return nil, fmt.Errorf("torn out: %w", cardreader.ErrCardRemoved)
		}
		return []byte{1, 0x90, 0}, nil
	}
	return m
}

// unit is what a unit might do. It writes what it saw.
func unit(ctx context.Context, t *cassette.Tape, m *modules, change string) string {
	var saw strings.Builder
	see := func(v ...any) { fmt.Fprintln(&saw, v...) }
	r := make([]byte, 3)
	n, err := t.Rand(strings.NewReader("abc")).Read(r)
	see("rand", n, r, err)
	code, err := t.Value(ctx, "activation", func(context.Context) (string, error) { return "code", nil })
	see("value", code, err)
	l, err := t.Link(m).Open(ctx)
	if err != nil {
		see("link", err)
		return saw.String()
	}
	up := []byte{1, 2, 3}
	if change == "write" {
		up[2]++
	}
	n, err = l.Write(up)
	see("write", n, err)
	b := make([]byte, 8)
	for range 2 {
		n, err = l.Read(b)
		see("read", n, b[:n], err)
	}
	err = t.UI(m).Confirm(ctx, trusted.Confirmation{Merchant: "Corner Shop" + change})
	see("confirm", errors.Is(err, trusted.ErrCancelled), err)
	c, err := t.Reader(m).Connect(ctx)
	if err != nil {
		see("connect", err)
		return saw.String()
	}
	see("card", c.ATR(), c.(cardreader.Protocoler).Protocol())
	_, resets := c.(cardreader.Resetter)
	see("resets", resets, "waits", c.(cardreader.RemovalWaiter).WaitRemoval(ctx))
	for _, cmd := range [][]byte{{0, 0xA4, 4, 0}, {0, 0xB0, 0, 0, 0}} {
		resp, err := c.Transmit(ctx, cmd)
		see("transmit", resp, errors.Is(err, cardreader.ErrCardRemoved), err)
	}
	see("closed", c.Close(), t.Now().Sub(began))
	see("link closed", l.Close())
	return saw.String()
}

func record(t *testing.T) (file, saw string) {
	t.Helper()
	var b bytes.Buffer
	m := newModules()
	tape, err := cassette.Record(&b, cassette.Setup{Arguments: []string{"-x"}}, clock())
	if err != nil {
		t.Fatal(err)
	}
	saw = unit(t.Context(), tape, m, "")
	if err := tape.End(map[string]int{"a": 1, "b": 2}, nil); err != nil {
		t.Fatal(err)
	}
	return b.String(), saw
}

func TestPlay(t *testing.T) {
	file, want := record(t)
	tape, err := cassette.Play(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(cassette.Setup{Arguments: []string{"-x"}}, tape.Setup()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, unit(t.Context(), tape, nil, "")); d != "" {
		t.Errorf("-recorded +played\n%s", d)
	}
	if err := tape.End(map[string]int{"a": 1, "b": 2}, nil); err != nil {
		t.Error(err)
	}
}

// TestCutOff: a cassette without its last line does not pass for a whole one.
func TestCutOff(t *testing.T) {
	file, _ := record(t)
	lines := strings.SplitAfter(file, "\n")
	tape, err := cassette.Play(strings.NewReader(strings.Join(lines[:len(lines)-2], "")))
	if err != nil {
		t.Fatal(err)
	}
	unit(t.Context(), tape, nil, "")
	if err := tape.End(map[string]int{"a": 1, "b": 2}, nil); !errors.Is(err, cassette.ErrMismatch) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("got %v", err)
	}
}

// TestMismatch: the first difference is told, with its line, and with no value.
func TestMismatch(t *testing.T) {
	file, _ := record(t)
	for _, c := range []struct {
		name, change string
		result       map[string]int
		failed       error
		port         string
		says         string
	}{
		{"another write", "write", nil, nil, "link/1", "asked"},
		{"another confirmation", "confirm", nil, nil, "ui", "Merchant"},
		{"another result", "", map[string]int{"a": 1, "b": 777}, nil, "end", `["b"]`},
		{"an error", "", map[string]int{"a": 1, "b": 2}, errors.New("777"), "end", "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape, err := cassette.Play(strings.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			unit(t.Context(), tape, nil, c.change)
			err = tape.End(c.result, c.failed)
			var m *cassette.Mismatch
			if !errors.As(err, &m) || !errors.Is(err, cassette.ErrMismatch) || m.Port != c.port || m.Line == 0 || !strings.Contains(m.Reason, c.says) {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), "777") {
				t.Errorf("the value is told: %v", err)
			}
		})
	}
}

// TestWrittenAtOnce: each call is in the file when it has returned, and what was
// written so far is a trace that can be read.
func TestWrittenAtOnce(t *testing.T) {
	var b bytes.Buffer
	tape, err := cassette.Record(&b, cassette.Setup{}, clock())
	if err != nil {
		t.Fatal(err)
	}
	c, err := tape.Reader(newModules()).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0}); err != nil {
			t.Fatal(err)
		}
		tr, err := trace.Parse(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if len(tr.Exchanges) != i+1 || tr.Protocol != cardreader.T0 || !bytes.Equal(tr.ATR, []byte{0x3B, 0x60, 0, 0}) {
			t.Errorf("after %d commands: %+v", i+1, tr)
		}
		if _, err := cassette.Play(bytes.NewReader(b.Bytes())); err != nil {
			t.Error(err)
		}
	}
}

type broken struct{ after int }

var errBroken = errors.New("disk full")

func (b *broken) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

// TestBrokenWriter: the payment goes on, and End tells.
func TestBrokenWriter(t *testing.T) {
	file, _ := record(t)
	lines := strings.Count(file, "\n")
	for after := range lines + 2 {
		tape, err := cassette.Record(&broken{after}, cassette.Setup{}, clock())
		if after == 0 {
			if !errors.Is(err, errBroken) {
				t.Errorf("Record: %v", err)
			}
			continue
		}
		if saw := unit(t.Context(), tape, newModules(), ""); !strings.Contains(saw, "closed <nil>") {
			t.Errorf("after %d lines the unit saw %s", after, saw)
		}
		if err := tape.End(nil, nil); errors.Is(err, errBroken) != (after < lines) {
			t.Errorf("after %d lines: %v", after, err)
		}
	}
}

// TestReadWaits: an answer is not given before the request that it was recorded
// after, and a read that waited until the link was closed waits again.
func TestReadWaits(t *testing.T) {
	var b bytes.Buffer
	m := newModules()
	tape, err := cassette.Record(&b, cassette.Setup{}, clock())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tape.Link(m).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := tape.Now()
	if _, err := l.Write([]byte{9}); err != nil {
		t.Fatal(err)
	}
	if moved := tape.Now().Sub(before); moved != 0 {
		t.Errorf("a write moved the clock by %v", moved)
	}
	buf := make([]byte, 8)
	for range 2 {
		if _, err := l.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { _, err := l.Read(buf); ended <- err }()
	<-m.blocked
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("a closed link was read")
	}
	if err := tape.End(nil, nil); err != nil {
		t.Fatal(err)
	}

	tape, err = cassette.Play(&b)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = tape.Link(nil).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := make(chan int, 1)
	go func() { n, _ := l.Read(buf); read <- n }()
	for range 1000 {
		runtime.Gosched()
		if len(read) > 0 {
			t.Fatal("read before the request was written")
		}
	}
	if _, err := l.Write([]byte{9}); err != nil {
		t.Fatal(err)
	}
	if n := <-read; n != 2 {
		t.Errorf("%d bytes", n)
	}
	if n, err := l.Read(buf); n != 1 || err != nil {
		t.Error(n, err)
	}
	go func() { _, err := l.Read(buf); ended <- err }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a closed link was read")
	}
	if err := tape.End(nil, nil); err != nil {
		t.Error(err)
	}
}

// slow is a link whose writes wait.
type slow struct {
	modules
	began, release chan struct{}
}

func (s *slow) Open(context.Context) (io.ReadWriteCloser, error) { return s, nil }
func (s *slow) Write(b []byte) (int, error)                      { close(s.began); <-s.release; return len(b), nil }

// TestLastWord: a write that a channel left to itself, and the closing after it,
// are in the cassette though the payment has ended by then, and move no clock.
// Played, they may come late as well.
func TestLastWord(t *testing.T) {
	var b bytes.Buffer
	m := &slow{began: make(chan struct{}), release: make(chan struct{})}
	tape, err := cassette.Record(&b, cassette.Setup{}, clock())
	if err != nil {
		t.Fatal(err)
	}
	// last begins the last word, and ends the tape before there is an answer.
	last := func(l io.ReadWriteCloser, begun <-chan struct{}, release func()) {
		t.Helper()
		before := tape.Now()
		said, ended := make(chan error, 1), make(chan error, 1)
		go func() {
			if begun == nil {
				for range 1000 {
					runtime.Gosched()
				}
			}
			_, err := l.Write([]byte{9})
			said <- errors.Join(err, l.Close())
		}()
		if begun != nil {
			<-begun
		}
		go func() { ended <- tape.End(1, nil) }()
		for range 1000 {
			runtime.Gosched()
		}
		if begun != nil && len(ended) > 0 {
			t.Error("End did not wait")
		}
		release()
		if err := errors.Join(<-said, <-ended); err != nil {
			t.Error(err)
		}
		if moved := tape.Now().Sub(before); begun == nil && moved != 0 {
			t.Errorf("the clock moved by %v", moved)
		}
	}
	l, err := tape.Link(m).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last(l, m.began, func() { close(m.release) })
	for _, want := range []string{`"op":"write"`, `"op":"close"`, `"port":"end"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in %s", want, b.String())
		}
	}
	if tape, err = cassette.Play(&b); err != nil {
		t.Fatal(err)
	}
	if l, err = tape.Link(nil).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	last(l, nil, func() {})
}

// TestCancelled: what was cancelled in the recording is cancelled in the play.
func TestCancelled(t *testing.T) {
	var b bytes.Buffer
	m := newModules()
	m.connect = func() (cardreader.Card, error) { return nil, fmt.Errorf("waiting: %w", context.Canceled) }
	tape, err := cassette.Record(&b, cassette.Setup{}, clock())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tape.Reader(m).Connect(t.Context()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if tape, err = cassette.Play(&b); err != nil {
		t.Fatal(err)
	}
	ctx, stop := tape.Context(t.Context())
	defer stop()
	if ctx.Err() != nil {
		t.Fatal("cancelled at the start")
	}
	if _, err := tape.Reader(nil).Connect(ctx); !errors.Is(err, context.Canceled) || ctx.Err() == nil {
		t.Errorf("%v; context %v", err, ctx.Err())
	}
}

func TestFormat(t *testing.T) {
	head := `{"trace":1,"cassette":1,"interface":"contact","atr":"","began":"2026-11-24T10:00:00Z","setup":{}}` + "\n"
	for _, c := range []struct {
		name, in string
		line     int
		says     string
	}{
		{"empty", "", 1, "empty"},
		{"a trace", `{"trace":1,"interface":"contact","atr":""}`, 1, "edition"},
		{"another edition", strings.Replace(head, `"cassette":1`, `"cassette":2`, 1), 1, "edition"},
		{"no beginning", `{"trace":1,"cassette":1,"interface":"contact","atr":"","setup":{}}`, 1, "began"},
		{"unknown member", head + `{"port":"ui","op":"x","at":1,"pan":"1"}`, 2, "format"},
		{"no port", head + `{"op":"x","at":1}`, 2, "port or op"},
		{"no op", head + `{"port":"ui","at":1}`, 2, "port or op"},
		{"before the beginning", head + `{"port":"ui","op":"x","at":-1}`, 2, "range"},
		{"no response", head + `{"us":1,"cmd":"00A40400","at":1}`, 2, "resp"},
		{"after the end", head + `{"port":"end","op":"result","at":1}` + "\n" + `{"port":"ui","op":"x","at":1}`, 3, "after the end"},
		{"two objects", head + `{"port":"ui","op":"x","at":1}{}`, 2, "more than one"},
		{"too long", head + strings.Repeat("x", 5<<20), 2, "long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := cassette.Play(strings.NewReader(c.in))
			var f *cassette.FormatError
			if !errors.As(err, &f) || !errors.Is(err, cassette.ErrFormat) || f.Line != c.line || !strings.Contains(f.Reason, c.says) {
				t.Errorf("%v, want line %d: %s", err, c.line, c.says)
			}
		})
	}
	if _, err := cassette.Play(io.MultiReader(strings.NewReader(head), errReader{})); !errors.Is(err, errBroken) {
		t.Errorf("a file that can't be read: %v", err)
	}
	for in, want := range map[string]bool{strings.TrimSpace(head): true, `{"trace":1}`: false, "": false, "age": false} {
		if cassette.IsCassette([]byte(in)) != want {
			t.Errorf("IsCassette(%q)", in)
		}
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

func FuzzPlay(f *testing.F) {
	f.Add([]byte(`{"trace":1,"cassette":1,"interface":"contact","atr":"","began":"2026-11-24T10:00:00Z","setup":{}}` + "\n" +
		`{"us":1,"cmd":"00A40400","resp":"9000","at":1}` + "\n" + `{"port":"link/1","op":"read","at":2,"up":3,"answer":"00"}`))
	f.Add([]byte(`{"trace":1,"cassette":1,"interface":"contact","atr":"","began":"2026-11-24T10:00:00Z","setup":{}}` + "\n" +
		`{"port":"ui","op":"can","at":1,"answer":{"keys":true,"tips":true}}` + "\n" +
		`{"port":"ui","op":"key-card","at":2,"ask":{"Amount":{"minor":0,"currency":""},"Language":"","Again":false},"answer":{"pan":"3132333435363734","expiry":"3112","cvv2":"313233"}}` + "\n" +
		`{"port":"stripe","op":"swipe","at":3,"answer":{"tracks":"3b"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		tape, err := cassette.Play(bytes.NewReader(b))
		if err != nil {
			return
		}
		// Whatever it holds, a unit that asks it gets an answer or an error.
		_, _ = tape.Rand(nil).Read(make([]byte, 4))
		u := tape.UI(nil)
		if k, ok := u.(trusted.CardKeyer); ok {
			_, _ = k.KeyCard(t.Context(), trusted.CardPrompt{})
		}
		if k, ok := u.(trusted.Tipper); ok {
			_, _ = k.Tip(t.Context(), trusted.TipPrompt{})
		}
		_, _ = tape.Stripe(nil).Swipe(t.Context())
		_ = u.Confirm(t.Context(), trusted.Confirmation{})
		if c, err := tape.Reader(nil).Connect(t.Context()); err == nil {
			_, _ = c.Transmit(t.Context(), []byte{0, 0xA4, 4, 0})
		}
		_ = tape.End(nil, nil)
	})
}
