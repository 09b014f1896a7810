// Package patient gives deadlines to byte streams that have none, for channels
// over what an app hands in.
package patient

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Stream is what a channel runs over: a byte stream whose reads and writes can
// be given up.
type Stream interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// With returns rw as a stream. One that has no deadlines of its own,
// as an app's relay may hand one in, is wrapped.
func With(rw io.ReadWriteCloser) Stream {
	if s, ok := rw.(Stream); ok {
		return s
	}
	return newPatient(rw)
}

// patient gives deadlines to a stream that has none, and does not rely on its
// Close to end a Read. What blocks runs in a goroutine that ends when the
// stream lets it; at most one Read, one Write and one Close are under way.
type patient struct {
	rw            io.ReadWriteCloser
	reading       operation
	writing       operation
	once          sync.Once
	closed        chan struct{}
	closeReturned chan error
}

// operation is one direction of a patient stream.
type operation struct {
	deadline deadline
	buf      []byte // lent to the stream while pending
	ready    []byte // read, and not given out yet
	done     chan result
	pending  bool
}

type result struct {
	n   int
	err error
}

const (
	patientBuffer = 4 << 10
	// closePatience is how long the Close of a wrapped stream is waited for.
	closePatience = 20 * time.Millisecond
)

func newPatient(rw io.ReadWriteCloser) *patient {
	p := &patient{rw: rw, closed: make(chan struct{}), closeReturned: make(chan error, 1)}
	for _, o := range []*operation{&p.reading, &p.writing} {
		o.done = make(chan result, 1)
		o.deadline.passed = make(chan struct{})
	}
	return p
}

// Read implements Stream. One that a deadline gave up goes on in the
// background, and the next Read has its bytes.
func (p *patient) Read(b []byte) (int, error) {
	o := &p.reading
	if len(o.ready) == 0 && len(b) > 0 {
		if !o.pending {
			if o.buf == nil {
				o.buf = make([]byte, patientBuffer)
			}
			o.pending = true
			go func() {
				n, err := p.rw.Read(o.buf)
				o.done <- result{n, err}
			}()
		}
		r, err := p.await(o)
		if err != nil {
			return 0, err
		}
		if r.n < 0 || r.n > len(o.buf) {
			return 0, io.ErrUnexpectedEOF
		}
		o.ready = o.buf[:r.n]
		if r.n == 0 {
			return 0, r.err
		}
		// An error beside bytes comes again when there are none.
	}
	n := copy(b, o.ready)
	o.ready = o.ready[n:]
	return n, nil
}

// Write implements Stream. One that a deadline gave up goes on in the background
// with all of its bytes, which it counts as written, and the next waits for it.
func (p *patient) Write(b []byte) (int, error) {
	o := &p.writing
	if o.pending {
		r, err := p.await(o)
		if err == nil && r.n != len(o.buf) {
			err = errors.Join(io.ErrShortWrite, r.err)
		}
		if err == nil {
			err = r.err
		}
		if err != nil {
			return 0, err
		}
	}
	// The stream may hold on to the bytes after this Write was given up, and
	// the caller's buffer has other uses by then.
	o.buf = append(o.buf[:0], b...)
	o.pending = true
	go func() {
		n, err := p.rw.Write(o.buf)
		o.done <- result{n, err}
	}()
	r, err := p.await(o)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return len(b), err
	}
	if err != nil {
		return 0, err
	}
	if r.n != len(b) && r.err == nil {
		r.err = io.ErrShortWrite
	}
	return max(0, min(r.n, len(b))), r.err
}

func (p *patient) await(o *operation) (result, error) {
	select {
	case r := <-o.done:
		o.pending = false
		return r, nil
	default:
	}
	select {
	case r := <-o.done:
		o.pending = false
		return r, nil
	case <-o.deadline.wait():
		return result{}, os.ErrDeadlineExceeded
	case <-p.closed:
		return result{}, io.ErrClosedPipe
	}
}

// Close implements Stream.
func (p *patient) Close() error {
	p.once.Do(func() {
		close(p.closed)
		go func() { p.closeReturned <- p.rw.Close() }()
	})
	t := time.NewTimer(closePatience)
	defer t.Stop()
	select {
	case err := <-p.closeReturned:
		p.closeReturned <- err
		return err
	case <-t.C:
		return os.ErrDeadlineExceeded
	}
}

// SetReadDeadline implements Stream.
func (p *patient) SetReadDeadline(t time.Time) error {
	p.reading.deadline.set(t)
	return nil
}

// SetWriteDeadline implements Stream.
func (p *patient) SetWriteDeadline(t time.Time) error {
	p.writing.deadline.set(t)
	return nil
}

// deadline closes a channel when its time has come.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // the timer is about to close it, or has
	}
	d.timer = nil
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	passed := d.passed
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(passed) })
		return
	}
	close(passed)
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}
