package noise

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

// recordBuffer holds one record.
type recordBuffer [headerLen + maxRecord]byte

// buffers lends record buffers, so that an idle channel holds none. They are
// cleared before they come back.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { return new(recordBuffer) }}}
}

func (b *buffers) get() *recordBuffer {
	if r, ok := b.pool.Get().(*recordBuffer); ok {
		return r
	}
	return new(recordBuffer)
}

func (b *buffers) put(r *recordBuffer, used int) {
	clear(r[:used])
	b.pool.Put(r)
}

// writer is the sending half of a channel. A record that a deadline interrupts
// stays in it, sealed, and goes out before the next one.
type writer struct {
	sync.Mutex
	cipher  cipherState
	records int
	buf     *recordBuffer // lent while a record is on its way
	rest    []byte        // of the record in buf
	err     error         // final
}

// reader is the receiving half. What a deadline interrupts goes on where it was.
type reader struct {
	sync.Mutex
	cipher  cipherState
	records int
	have    int // bytes of the record so far
	head    [headerLen]byte
	buf     *recordBuffer // lent while a record is on its way or being read
	used    int           // bytes of buf to clear
	data    []byte        // of the record in buf, not given out yet
	within  bool          // inside a message
	message []byte        // its fragments so far
	err     error         // final
}

// advance counts a record and changes the key when it is time.
func advance(k *cipherState, records *int) error {
	*records++
	if *records%rekeyEvery == 0 {
		return k.rekey()
	}
	return nil
}

// writeRecordLocked seals one record and sends it, after what is left of the one
// before. sealed reports that its nonce is used: it goes out, now or with the next
// one. A failure is final, but for a deadline that passed and channel.ErrExpired.
func (c *Conn) writeRecordLocked(kind, flags byte, data []byte) (sealed bool, err error) {
	w := &c.write
	if w.err != nil {
		return false, w.err
	}
	if broken := c.broken.Load(); broken != nil {
		w.err = *broken
		return false, w.err
	}
	if err := c.flushLocked(); err != nil {
		return false, err
	}
	switch {
	case kind == frameClose:
	case c.exhausted(w.records):
		return false, channel.ErrExpired
	case c.late():
		return false, os.ErrDeadlineExceeded
	}
	if err := c.sealLocked(kind, flags, data); err != nil {
		return false, c.writeFailedLocked(err)
	}
	return true, c.flushLocked()
}

// sealLocked makes the record that is to go out.
func (c *Conn) sealLocked(kind, flags byte, data []byte) error {
	w := &c.write
	buf := c.buffers.get()
	size := (2 + len(data) + bucket - 1) / bucket * bucket
	plain := buf[headerLen : headerLen+size]
	binary.BigEndian.PutUint16(plain, uint16(len(data)))
	clear(plain[2+copy(plain[2:], data):])
	n := size + tagLen
	head := append(buf[:0], kind, flags, byte(n>>8), byte(n))
	// Sealed in place: nothing of the plaintext stays in the buffer.
	sealed, err := w.cipher.encrypt(head, head, plain)
	if err == nil {
		err = advance(&w.cipher, &w.records)
	}
	if err != nil {
		clear(plain)
		c.buffers.put(buf, 0)
		return err
	}
	w.buf, w.rest = buf, sealed
	return nil
}

// flushLocked sends what is left of a record. After a deadline that passed it can
// go on.
func (c *Conn) flushLocked() error {
	w := &c.write
	if w.buf == nil {
		return nil
	}
	n, err := c.rw.Write(w.rest)
	w.rest = w.rest[min(max(n, 0), len(w.rest)):]
	if err == nil && len(w.rest) > 0 {
		err = io.ErrShortWrite
	}
	if err == nil || len(w.rest) == 0 {
		c.dropRecordLocked()
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return c.writeFailedLocked(err)
	}
	return err
}

// dropRecordLocked gives the buffer of a record back.
func (c *Conn) dropRecordLocked() {
	w := &c.write
	if w.buf != nil {
		// What is sealed is no secret.
		c.buffers.put(w.buf, 0)
	}
	w.buf, w.rest = nil, nil
}

// writeFailedLocked ends the writing half.
func (c *Conn) writeFailedLocked(err error) error {
	w := &c.write
	w.err = c.ended(fmt.Errorf("channel: writing: %w", err))
	w.cipher.wipe()
	c.dropRecordLocked()
	return w.err
}

// writeMessageLocked sends a message in records of a kind, all but the last
// full.
func (c *Conn) writeMessageLocked(kind byte, message []byte) error {
	for {
		n := min(len(message), maxData)
		flags := byte(0)
		if n == len(message) {
			flags = flagLast
		}
		if _, err := c.writeRecordLocked(kind, flags, message[:n]); err != nil {
			return err
		}
		if message = message[n:]; len(message) == 0 {
			return nil
		}
	}
}

// exhausted reports that a channel is at the end of its life.
func (c *Conn) exhausted(records int) bool { return records >= maxRecords || c.now().After(c.until) }

// readRecordLocked reads and opens one record of a kind, or the peer's close,
// which is io.EOF. Its data are in r.data until releaseLocked.
func (c *Conn) readRecordLocked(want byte) (flags byte, err error) {
	r := &c.read
	if r.err != nil {
		return 0, r.err
	}
	for r.have < headerLen {
		if err := c.fillLocked(r.head[r.have:]); err != nil {
			return 0, err
		}
	}
	n := int(binary.BigEndian.Uint16(r.head[2:]))
	switch {
	case isRefusal(r.head, n):
		return 0, c.failLocked(channel.ErrRefused)
	case n < bucket+tagLen || n > maxRecord || (n-tagLen)%bucket != 0:
		return 0, c.failLocked(fmt.Errorf("%w: record of %d bytes", channel.ErrFormat, n))
	}
	if r.buf == nil {
		r.buf = c.buffers.get()
	}
	r.used = n
	for r.have < headerLen+n {
		if err := c.fillLocked(r.buf[r.have-headerLen : n]); err != nil {
			return 0, err
		}
	}
	r.have = 0
	plain, err := r.cipher.decrypt(r.buf[:0], r.head[:], r.buf[:n])
	if err != nil {
		return 0, c.failLocked(channel.ErrAuthentication)
	}
	return c.judgeLocked(want, plain)
}

// judgeLocked checks a record that verified.
func (c *Conn) judgeLocked(want byte, plain []byte) (flags byte, err error) {
	r := &c.read
	kind, flags := r.head[0], r.head[1]
	l := int(binary.BigEndian.Uint16(plain))
	switch {
	case kind != frameClose && c.exhausted(r.records):
		// The writing half can still send its close.
		r.err = channel.ErrExpired
		c.releaseLocked()
		return 0, r.err
	case l > len(plain)-2 || len(plain)-2-l >= bucket:
		return 0, c.failLocked(fmt.Errorf("%w: record's inner length", channel.ErrFormat))
	case flags&^flagLast != 0 || flags == 0 && l != maxData:
		return 0, c.failLocked(fmt.Errorf("%w: record's flags", channel.ErrFormat))
	case kind == frameClose && r.within:
		return 0, c.failLocked(fmt.Errorf("%w: inside a message", channel.ErrTruncated))
	case kind == frameClose:
		r.err = io.EOF
		c.releaseLocked()
		return 0, io.EOF
	case kind != want:
		return 0, c.failLocked(fmt.Errorf("%w: record type %d", channel.ErrFormat, kind))
	}
	if err := advance(&r.cipher, &r.records); err != nil {
		return 0, c.failLocked(err)
	}
	r.data = plain[2 : 2+l]
	r.within = flags&flagLast == 0
	return flags, nil
}

// releaseLocked gives the record's buffer back.
func (c *Conn) releaseLocked() {
	r := &c.read
	if r.buf != nil {
		c.buffers.put(r.buf, r.used)
	}
	r.buf, r.data = nil, nil
}

// readMessageLocked reads a whole message of records of a kind.
func (c *Conn) readMessageLocked(kind byte) ([]byte, error) {
	r := &c.read
	for {
		flags, err := c.readRecordLocked(kind)
		if err != nil {
			return nil, err
		}
		if len(r.message)+len(r.data) > channel.MaxMessage {
			return nil, c.failLocked(channel.ErrTooLarge)
		}
		r.message = append(r.message, r.data...)
		c.releaseLocked()
		if flags&flagLast != 0 {
			m := r.message
			r.message = nil
			if m == nil {
				m = []byte{}
			}
			return m, nil
		}
	}
}

// fillLocked reads some bytes of a record.
func (c *Conn) fillLocked(b []byte) error {
	n, err := c.rw.Read(b)
	c.read.have += n
	switch {
	case n > 0, err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		return c.failLocked(fmt.Errorf("%w: %w", channel.ErrTruncated, err))
	}
	return c.failLocked(fmt.Errorf("%w: reading: %w", channel.ErrTruncated, err))
}

// failLocked ends the channel for a reason that its reading half found, in both
// directions, and returns the reason.
func (c *Conn) failLocked(err error) error {
	r := &c.read
	r.err = c.ended(err)
	r.cipher.wipe()
	c.releaseLocked()
	clear(r.message)
	r.message = nil
	// A peer that is gone, or that refused, is told nothing.
	c.abort(r.err, !errors.Is(err, channel.ErrTruncated) && !errors.Is(err, channel.ErrRefused))
	return r.err
}

// ended gives an error its right name when this side has closed the channel.
func (c *Conn) ended(err error) error {
	if c.closed.Load() {
		return fmt.Errorf("channel: %w", net.ErrClosed)
	}
	return err
}
