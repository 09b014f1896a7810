// Package hostile is an app that does not play fair: a trusted.Link that alters,
// drops, repeats, swaps, delays, truncates, cuts, reflects and splices what it is
// to relay, floods both ends, and remembers all of it. App developers can run it
// against their own units:
//
//	calm := hostile.New(link, hostile.Pass)
//	// make a payment over calm, then, for each of hostile.Trials(calm.Seen()),
//	// one over hostile.New(link, trial.Judge()), and look at the ledger.
//
// A payment under any trial has to end right, or in an error with nothing
// charged; Trial.Benign says which of them must not even be noticed. The package
// knows the headers that channels send in clear, and no more: type, flags, and a
// length of two bytes, big endian, of a frame of channel/noise; type, version and
// length of a record of TLS (RFC 8446, 5.1).
package hostile

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/payunit/payunit/trusted"
)

// headerLen is the length of a frame's header.
func headerLen(b []byte) int {
	if len(b) > 1 && b[0] >= 0x14 && b[0] <= 0x17 && b[1] == 3 {
		return 5
	}
	return 4
}

// frameLen is the length of the frame that begins with b, 0 while its header is
// not there.
func frameLen(b []byte) int {
	h := headerLen(b)
	if len(b) < h {
		return 0
	}
	return h + int(binary.BigEndian.Uint16(b[h-2:]))
}

// Frame is one frame on its way.
type Frame struct {
	// Connection counts the connections of the link from 0, Index the frames
	// of one direction of it from 0, and Order all frames of the link.
	Connection, Index, Order int
	// Up is towards the server.
	Up bool
	// Bytes are header and body.
	Bytes []byte
}

// Verdict is what becomes of a frame.
type Verdict struct {
	// Delay holds back Out, and all that follows it in its direction.
	Delay time.Duration
	// Out are the bytes that go on in its place: none drops it, two times the
	// frame repeat it, others alter it.
	Out [][]byte
	// Back are bytes for the end that sent the frame.
	Back [][]byte
	// Cut ends the connection after Out.
	Cut bool
}

// Pass lets a frame go on as it is.
func Pass(f Frame) Verdict { return Verdict{Out: [][]byte{f.Bytes}} }

// Drop holds a frame back for ever.
func Drop(Frame) Verdict { return Verdict{} }

// Cut ends the connection instead of passing a frame on.
func Cut(Frame) Verdict { return Verdict{Cut: true} }

// Link is the hostile app. Safe for concurrent use.
type Link struct {
	under trusted.Link

	mu    sync.Mutex
	judge func(Frame) Verdict
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
	s := &stream{under: c, done: make(chan struct{}), writing: make(chan struct{}, 1)}
	s.arrived = sync.NewCond(&s.mu)
	s.up = cutter{link: l, connection: n, up: true}
	s.down = cutter{link: l, connection: n}
	go s.pump()
	return s, nil
}

// verdict judges a frame.
func (l *Link) verdict(f Frame) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.Order = len(l.seen)
	kept := f
	kept.Bytes = append([]byte(nil), f.Bytes...)
	l.seen = append(l.seen, kept)
	return l.judge(f)
}

// cutter cuts one direction's bytes into frames and has them judged.
type cutter struct {
	link       *Link
	connection int
	up         bool
	index      int
	held       []byte
}

// feed takes bytes and returns what becomes of the frames that they end.
func (d *cutter) feed(b []byte) []Verdict {
	d.held = append(d.held, b...)
	var out []Verdict
	for {
		n := frameLen(d.held)
		if n == 0 || len(d.held) < n {
			return out
		}
		f := Frame{Connection: d.connection, Index: d.index, Up: d.up, Bytes: append([]byte(nil), d.held[:n]...)}
		d.held = d.held[n:]
		d.index++
		out = append(out, d.link.verdict(f))
	}
}

// stream is one connection. A goroutine moves what comes down, until either end
// closes.
type stream struct {
	under    io.ReadWriteCloser
	up, down cutter
	once     sync.Once
	done     chan struct{}
	closeErr error

	writing chan struct{} // the turn of who writes to the server

	mu      sync.Mutex
	arrived *sync.Cond
	pending []byte
	ended   error
}

// maxPending is how much waits for a unit that does not read.
const maxPending = 1 << 20

// Write takes the unit's bytes. A unit whose connection was cut learns it as it
// would from a network: at some later Write.
func (s *stream) Write(b []byte) (int, error) {
	if !s.turn() {
		return 0, io.ErrClosedPipe
	}
	defer func() { <-s.writing }()
	for _, v := range s.up.feed(b) {
		if !s.wait(v.Delay) {
			return 0, io.ErrClosedPipe
		}
		for _, back := range v.Back {
			s.push(back)
		}
		for _, o := range v.Out {
			if _, err := s.under.Write(o); err != nil {
				return 0, err
			}
		}
		if v.Cut {
			s.end(io.EOF)
			return len(b), s.shut()
		}
	}
	return len(b), nil
}

// pump moves what comes from the server.
func (s *stream) pump() {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.under.Read(buf)
		for _, v := range s.down.feed(buf[:n]) {
			if !s.wait(v.Delay) {
				return
			}
			s.giveBack(v.Back)
			for _, o := range v.Out {
				s.push(o)
			}
			if v.Cut {
				s.end(io.EOF)
				_ = s.shut()
				return
			}
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// turn waits for the turn to write to the server; false when the connection
// ended meanwhile.
func (s *stream) turn() bool {
	select {
	case s.writing <- struct{}{}:
		return true
	case <-s.done:
		return false
	}
}

// giveBack sends bytes back to the server, in the background, since a server that
// writes may not read. What a connection that ends does not take is lost.
func (s *stream) giveBack(back [][]byte) {
	if len(back) == 0 {
		return
	}
	had := false
	select {
	case s.writing <- struct{}{}:
		had = true
	default:
	}
	go func() {
		if !had && !s.turn() {
			return
		}
		defer func() { <-s.writing }()
		for _, b := range back {
			if _, err := s.under.Write(b); err != nil {
				return
			}
		}
	}()
}

// wait holds a frame back; false when the connection ended meanwhile.
func (s *stream) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

// push lets bytes arrive at the unit; what a unit does not read in time is lost
// with the connection.
func (s *stream) push(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending)+len(b) > maxPending {
		s.ended = io.ErrUnexpectedEOF
	} else {
		s.pending = append(s.pending, b...)
	}
	s.arrived.Broadcast()
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = err
	}
	s.arrived.Broadcast()
}

// Read gives the unit what arrived.
func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) == 0 {
		if s.ended != nil {
			return 0, s.ended
		}
		s.arrived.Wait()
	}
	n := copy(b, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// Close ends the connection.
func (s *stream) Close() error {
	s.end(io.ErrClosedPipe)
	return s.shut()
}

func (s *stream) shut() error {
	s.once.Do(func() {
		close(s.done)
		s.closeErr = s.under.Close()
	})
	return s.closeErr
}
