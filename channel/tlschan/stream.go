package tlschan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/payunit/payunit/channel"
)

// frame is room for any frame.
type frame [maxFrame]byte

// frames lends room out, so that an idle channel holds little.
type frames struct{ pool sync.Pool }

func (f *frames) get() *frame {
	if b, ok := f.pool.Get().(*frame); ok {
		return b
	}
	return new(frame)
}

// put takes room back, of which so many bytes were used.
func (f *frames) put(b *frame, used int) {
	clear(b[:used])
	f.pool.Put(b)
}

// reader is the reading half.
type reader struct {
	sync.Mutex
	// buf holds have bytes of the frame that is coming in, or the frame that
	// data is left of: small, or large where that does not do.
	buf   []byte
	small [bucket]byte
	large *frame
	have  int
	data  []byte
	// message is what has come of a message.
	message []byte
	records int
	err     error
}

func (r *reader) wipeLocked() {
	clear(r.buf)
	clear(r.small[:])
	clear(r.message)
	r.buf, r.large, r.have, r.data, r.message = nil, nil, 0, nil, nil
}

// writer is the writing half.
type writer struct {
	sync.Mutex
	small   [bucket]byte
	records int
	err     error
}

// padded is the length of a frame with n bytes of data.
func padded(n int) int { return (headerLen + n + bucket - 1) / bucket * bucket }

// expired is channel.ErrExpired when the channel has reached a limit.
func (c *Conn) expired(records int) error {
	if records >= maxRecords || !c.now().Before(c.until) {
		return channel.ErrExpired
	}
	return nil
}

// writeMessageLocked sends a message in frames.
func (c *Conn) writeMessageLocked(kind byte, message []byte) error {
	for {
		n := min(len(message), maxData)
		flags := byte(0)
		if n == len(message) {
			flags = flagLast
		}
		if _, err := c.writeFrameLocked(kind, flags, message[:n]); err != nil {
			return err
		}
		if message = message[n:]; flags != 0 {
			return nil
		}
	}
}

// writeFrameLocked seals a frame and sends it, after what is left of the one
// before. sealed reports that it goes out, now or with the next one. An error is
// final, but for a deadline that passed and channel.ErrExpired.
func (c *Conn) writeFrameLocked(kind, flags byte, data []byte) (sealed bool, err error) {
	w := &c.write
	if w.err != nil {
		return false, w.err
	}
	if b := c.broken.Load(); b != nil {
		return false, *b
	}
	if err := c.rw.flush(); err != nil {
		return false, c.writeFailedLocked(err)
	}
	if kind == frameData || kind == frameHello {
		if err := c.expired(w.records); err != nil {
			return false, err
		}
		if c.late() {
			return false, os.ErrDeadlineExceeded
		}
	}
	n := padded(len(data))
	b := w.small[:]
	if n > bucket {
		large := c.frames.get()
		defer c.frames.put(large, n)
		b = large[:n]
	}
	b[0], b[1] = kind, flags
	binary.BigEndian.PutUint16(b[2:], uint16(len(data)))
	clear(b[headerLen+copy(b[headerLen:], data):])
	_, err = c.tls.Write(b)
	clear(b)
	w.records++
	if err == nil && c.rw.late() {
		return true, os.ErrDeadlineExceeded
	}
	if err != nil {
		return true, c.writeFailedLocked(err)
	}
	return true, nil
}

// writeFailedLocked ends the writing half, but for a deadline that passed.
func (c *Conn) writeFailedLocked(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	c.write.err = c.ended("writing", err)
	return c.write.err
}

// ended says why the stream gave out.
func (c *Conn) ended(doing string, err error) error {
	if c.closed.Load() {
		return fmt.Errorf("channel: %s: %w", doing, net.ErrClosed)
	}
	if b := c.broken.Load(); b != nil {
		return *b
	}
	return translate(err)
}

// readFrameLocked takes in one frame. A deadline that passed leaves what has
// come; any other error is final.
func (c *Conn) readFrameLocked() (kind, flags byte, err error) {
	r := &c.read
	if r.err != nil {
		return 0, 0, r.err
	}
	if err := c.expired(r.records); err != nil {
		return 0, 0, c.failLocked(err)
	}
	for need := bucket; ; {
		if r.have >= headerLen {
			n := int(binary.BigEndian.Uint16(r.buf[2:]))
			if n > maxData {
				return 0, 0, c.failLocked(fmt.Errorf("%w: frame of %d bytes", channel.ErrFormat, n))
			}
			if need = padded(n); r.have == need {
				break
			}
		}
		if r.buf == nil {
			r.buf = r.small[:]
		}
		if len(r.buf) < need {
			r.large = c.frames.get()
			copy(r.large[:], r.buf[:r.have])
			clear(r.buf)
			r.buf = r.large[:]
		}
		n, err := c.tls.Read(r.buf[r.have:need])
		r.have += n
		if err != nil && r.have != need {
			if errors.Is(err, os.ErrDeadlineExceeded) && !c.closed.Load() {
				return 0, 0, os.ErrDeadlineExceeded
			}
			return 0, 0, c.failLocked(c.ended("reading", err))
		}
	}
	r.records++
	n := headerLen + int(binary.BigEndian.Uint16(r.buf[2:]))
	for _, b := range r.buf[n:r.have] {
		if b != 0 {
			return 0, 0, c.failLocked(fmt.Errorf("%w: padding", channel.ErrFormat))
		}
	}
	r.have = 0
	kind, flags = r.buf[0], r.buf[1]
	// It may have come long after it was first waited for.
	if err := c.expired(r.records - 1); err != nil && kind != frameClose && kind != frameRefusal {
		return 0, 0, c.failLocked(err)
	}
	r.data = r.buf[headerLen:n]
	return kind, flags, nil
}

// failLocked ends the reading half, and the channel with it.
func (c *Conn) failLocked(err error) error {
	c.read.err = err
	c.read.wipeLocked()
	c.abort(err)
	return err
}

// nextLocked takes in a frame of a kind, and says whether it is a message's
// last. io.EOF is the peer's close.
func (c *Conn) nextLocked(want byte) (last bool, err error) {
	kind, flags, err := c.readFrameLocked()
	if err != nil {
		return false, err
	}
	empty := flags == flagLast && len(c.read.data) == 0 && len(c.read.message) == 0
	switch {
	case kind == frameRefusal && empty:
		return false, c.failLocked(channel.ErrRefused)
	case kind == frameClose && empty && want == frameData:
		c.read.err = io.EOF
		return false, io.EOF
	case kind != want || flags&^flagLast != 0:
		return false, c.failLocked(fmt.Errorf("%w: frame of type %d, want %d", channel.ErrFormat, kind, want))
	case flags == 0 && len(c.read.data) != maxData:
		return false, c.failLocked(fmt.Errorf("%w: a fragment that is not full", channel.ErrFormat))
	}
	return flags == flagLast, nil
}

// readMessageLocked returns the next message of a kind.
func (c *Conn) readMessageLocked(kind byte, limit int) ([]byte, error) {
	r := &c.read
	for {
		last, err := c.nextLocked(kind)
		if err != nil {
			return nil, err
		}
		if len(r.message)+len(r.data) > limit {
			return nil, c.failLocked(fmt.Errorf("%w: from the peer", channel.ErrTooLarge))
		}
		if r.message == nil && last {
			r.message = make([]byte, 0, len(r.data))
		}
		r.message = append(r.message, r.data...)
		c.usedLocked()
		if last {
			m := r.message
			r.message = nil
			return m, nil
		}
	}
}

// usedLocked forgets a frame whose data is used.
func (c *Conn) usedLocked() {
	r := &c.read
	clear(r.data)
	r.data = nil
	if r.large != nil {
		c.frames.put(r.large, len(r.large))
		r.buf, r.large = nil, nil
	}
}

// Read implements net.Conn over the messages' bytes.
func (c *Conn) Read(b []byte) (int, error) {
	c.read.Lock()
	defer c.read.Unlock()
	if len(b) == 0 {
		return 0, c.read.err
	}
	for len(c.read.data) == 0 {
		if _, err := c.nextLocked(frameData); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.read.data)
	clear(c.read.data[:n])
	if c.read.data = c.read.data[n:]; len(c.read.data) == 0 {
		c.usedLocked()
	}
	return n, nil
}

// Write implements net.Conn: each call is one message or more. After a deadline
// that passed the bytes counted are on their way, at the latest with the next
// Write, and the writer may go on behind them.
func (c *Conn) Write(b []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	done := 0
	for message := channel.MaxMessage; done < len(b); {
		n := min(len(b)-done, maxData, message)
		flags := byte(0)
		if message -= n; done+n == len(b) || message == 0 {
			flags, message = flagLast, channel.MaxMessage
		}
		sealed, err := c.writeFrameLocked(frameData, flags, b[done:done+n])
		if sealed {
			done += n
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
