// Package channeltest tests channels: an in-memory stream with faults, and a
// contract test for any channel.Handshaker.
package channeltest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Faults is what befalls the bytes of a pipe. The zero value is a good pipe.
type Faults struct {
	// Alter is told of each write with its direction, its number in that
	// direction, and the offset of its first byte in the direction's stream.
	// What it returns arrives in its place, or nothing. It owns b. The writer
	// is told that all went well. It is called from the goroutines of both
	// ends.
	Alter func(up bool, n, offset int, b []byte) []byte
	// Cut ends a direction after so many bytes, as a broken network does: the
	// reader gets them and then io.EOF, the writer io.ErrClosedPipe. Zero
	// means never, and less at once.
	CutUp, CutDown int
	// Chunk is the most bytes that a read returns; zero means all there are.
	Chunk int
	// Capacity is how many bytes a direction holds before a writer has to
	// wait; zero means any number.
	Capacity int
}

// Pipe returns the two ends of a good stream; a's writes go up.
func Pipe() (a, b *End) { return PipeWith(Faults{}) }

// PipeWith returns the two ends of a stream with faults.
func PipeWith(f Faults) (a, b *End) {
	up, down := newHalf(f, true), newHalf(f, false)
	return &End{in: down, out: up}, &End{in: up, out: down}
}

// End is one end of a pipe: a stream with deadlines. What was written before
// Close still arrives. Reads, writes and Close may run at once.
type End struct{ in, out *half }

var _ net.Conn = (*End)(nil)

// Read implements net.Conn.
func (e *End) Read(b []byte) (int, error) { return e.in.read(b) }

// Write implements net.Conn.
func (e *End) Write(b []byte) (int, error) { return e.out.write(b) }

// Close implements net.Conn.
func (e *End) Close() error {
	e.out.close(false)
	e.in.close(true)
	return nil
}

// Written returns how many bytes this end has written, before faults.
func (e *End) Written() int {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	return e.out.offset
}

// SetDeadline implements net.Conn.
func (e *End) SetDeadline(t time.Time) error {
	return errors.Join(e.SetReadDeadline(t), e.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (e *End) SetReadDeadline(t time.Time) error {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	e.in.reader.setLocked(e.in, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (e *End) SetWriteDeadline(t time.Time) error {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	e.out.writer.setLocked(e.out, t)
	return nil
}

type addr struct{}

func (addr) Network() string { return "memory" }
func (addr) String() string  { return "pipe" }

// LocalAddr implements net.Conn.
func (*End) LocalAddr() net.Addr { return addr{} }

// RemoteAddr implements net.Conn.
func (*End) RemoteAddr() net.Addr { return addr{} }

// half is one direction.
type half struct {
	mu             sync.Mutex
	changed        *sync.Cond
	alter          func(n, offset int, b []byte) []byte
	left           int // until the cut
	bounded        bool
	chunk          int
	capacity       int
	writes, offset int
	buf            []byte
	ended          bool // nothing more comes
	gone           bool // nobody reads
	reader, writer deadline
}

func newHalf(f Faults, up bool) *half {
	h := &half{left: f.CutDown, chunk: f.Chunk, capacity: f.Capacity}
	if up {
		h.left = f.CutUp
	}
	h.changed = sync.NewCond(&h.mu)
	if h.left != 0 {
		h.bounded = true
		h.cutLocked()
	}
	if f.Alter != nil {
		h.alter = func(n, offset int, b []byte) []byte { return f.Alter(up, n, offset, b) }
	}
	return h
}

func (h *half) cutLocked() {
	if h.bounded && h.left <= 0 {
		h.ended = true
		h.changed.Broadcast()
	}
}

func (h *half) close(reader bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reader {
		h.gone = true
	}
	h.ended = true
	h.changed.Broadcast()
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone:
			return 0, io.ErrClosedPipe
		case h.reader.expired():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(h.buf) > 0:
			if h.chunk > 0 {
				b = b[:min(len(b), h.chunk)]
			}
			n := copy(b, h.buf)
			// Bytes move to the front, so that a steady stream does not
			// allocate.
			h.buf = h.buf[:copy(h.buf, h.buf[n:])]
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.ended || h.gone:
			return 0, io.ErrClosedPipe
		case h.writer.expired():
			return 0, os.ErrDeadlineExceeded
		}
		if h.capacity == 0 || len(h.buf) == 0 || len(h.buf)+len(b) <= h.capacity {
			break
		}
		h.changed.Wait()
	}
	n, offset := h.writes, h.offset
	h.writes++
	h.offset += len(b)
	arrives := b
	if h.alter != nil {
		arrives = h.alter(n, offset, append([]byte(nil), b...))
	}
	if h.bounded {
		arrives = arrives[:min(len(arrives), h.left)]
		h.left -= len(arrives)
	}
	h.buf = append(h.buf, arrives...)
	h.cutLocked()
	h.changed.Broadcast()
	return len(b), nil
}

// deadline wakes those who wait when its time has come.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) expired() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) setLocked(h *half, t time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}
