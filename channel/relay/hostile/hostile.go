// Package hostile is an app that does not play fair: a trusted.Link that
// alters, drops, repeats, delays, cuts and splices what it is to relay, and
// remembers all of it. App developers can run it against their own units.
package hostile

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/payunit/payunit/trusted"
)

// Frame is one frame on its way.
type Frame struct {
	// Connection counts the connections of the link from 0, Index the frames
	// of one direction of it from 0.
	Connection, Index int
	// Up is towards the server.
	Up bool
	// Bytes are header and body.
	Bytes []byte
}

// Verdict is what becomes of a frame.
type Verdict struct {
	// Out are the frames that go on in its place: none drops it, two repeat
	// it, others alter it.
	Out [][]byte
	// Cut ends the connection after Out.
	Cut bool
}

// Pass lets a frame go on as it is.
func Pass(f Frame) Verdict { return Verdict{Out: [][]byte{f.Bytes}} }

// Drop holds a frame back.
func Drop(Frame) Verdict { return Verdict{} }

// Cut ends the connection instead of passing a frame on.
func Cut(Frame) Verdict { return Verdict{Cut: true} }

// Link is the hostile app. Safe for concurrent use.
type Link struct {
	under trusted.Link
	judge func(Frame) Verdict
	// judging lets one frame be judged at a time.
	judging sync.Mutex

	mu    sync.Mutex
	count int
	seen  []Frame
}

var _ trusted.Link = (*Link)(nil)

// New returns a link over another; judge decides each frame's fate, one frame
// at a time, and may keep its bytes.
func New(under trusted.Link, judge func(Frame) Verdict) *Link {
	return &Link{under: under, judge: judge}
}

// Seen returns every frame that came, as it came.
func (l *Link) Seen() []Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Frame(nil), l.seen...)
}

// Open implements trusted.Link.
func (l *Link) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	c, err := l.under.Open(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	n := l.count
	l.count++
	l.mu.Unlock()
	s := &stream{under: c}
	s.up = direction{link: l, connection: n, up: true}
	s.down = direction{link: l, connection: n}
	return s, nil
}

// direction cuts one direction's bytes into frames and judges them.
type direction struct {
	link       *Link
	connection int
	up         bool
	index      int
	held       []byte
}

// feed takes bytes and returns those that go on.
func (d *direction) feed(b []byte) (out []byte, cut bool) {
	d.link.judging.Lock()
	defer d.link.judging.Unlock()
	d.held = append(d.held, b...)
	for len(d.held) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(d.held[2:]))
		if len(d.held) < n {
			break
		}
		f := Frame{Connection: d.connection, Index: d.index, Up: d.up, Bytes: append([]byte(nil), d.held[:n]...)}
		d.held = d.held[n:]
		d.index++
		d.link.mu.Lock()
		d.link.seen = append(d.link.seen, f)
		d.link.mu.Unlock()
		f.Bytes = append([]byte(nil), f.Bytes...)
		v := d.link.judge(f)
		for _, o := range v.Out {
			out = append(out, o...)
		}
		if v.Cut {
			return out, true
		}
	}
	return out, false
}

type stream struct {
	under    io.ReadWriteCloser
	up, down direction
	pending  []byte
	cut      bool
}

// errCut is what the unit sees of a connection that was cut.
var errCut = errors.New("hostile: connection cut")

func (s *stream) Write(b []byte) (int, error) {
	out, cut := s.up.feed(b)
	if len(out) > 0 {
		if _, err := s.under.Write(out); err != nil {
			return 0, err
		}
	}
	if cut {
		return 0, errors.Join(errCut, s.under.Close())
	}
	return len(b), nil
}

func (s *stream) Read(b []byte) (int, error) {
	for len(s.pending) == 0 {
		if s.cut {
			return 0, io.EOF
		}
		buf := make([]byte, 32<<10)
		n, err := s.under.Read(buf)
		out, cut := s.down.feed(buf[:n])
		s.pending = append(s.pending, out...)
		if cut {
			s.cut = true
			_ = s.under.Close()
			continue
		}
		if err != nil && len(s.pending) == 0 {
			return 0, err
		}
	}
	n := copy(b, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

func (s *stream) Close() error { return s.under.Close() }
