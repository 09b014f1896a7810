package noise

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
)

// Limits of a channel: a new handshake is due after them.
const (
	rekeyEvery = 1024
	maxRecords = 1 << 20
	maxAge     = time.Hour
	// closeGrace is how long a Close waits for a peer that does not read.
	closeGrace = time.Second
)

// deadliner is a stream whose reads and writes can be given up.
type deadliner interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Conn is an established channel.
type Conn struct {
	rw       io.ReadWriteCloser
	deadline deadliner // nil where the stream has none
	now      func() time.Time
	until    time.Time
	peer     channel.Identity
	binding  [hashLen]byte
	exporter secret.Bytes

	read struct {
		sync.Mutex
		cipher  cipherState
		records int
		head    [headerLen]byte
		headN   int
		body    []byte
		bodyN   int
		message []byte
		stream  []byte // what Read has not given out yet
		err     error
	}
	write struct {
		sync.Mutex
		cipher  cipherState
		records int
		buf     []byte
		plain   []byte
		err     error
	}
	once     sync.Once
	closeErr error
}

var _ channel.Conn = (*Conn)(nil)

func newConn(rw io.ReadWriteCloser, h *handshakeState, now func() time.Time, peer channel.Identity) (*Conn, error) {
	c := &Conn{rw: rw, now: now, until: now().Add(maxAge), peer: peer, binding: h.y.h}
	c.deadline, _ = rw.(deadliner)
	send, receive, ck, err := h.split()
	if err != nil {
		return nil, err
	}
	defer clear(ck[:])
	c.write.cipher, c.read.cipher = send, receive
	k, err := hkdf.Key(sha256.New, ck[:], c.binding[:], "payunit exporter 1", keyLen)
	if err != nil {
		return nil, fmt.Errorf("noise: exporter: %w", err)
	}
	c.exporter = secret.NewBytes(k)
	return c, nil
}

// Peer implements channel.Conn.
func (c *Conn) Peer() channel.Identity { return c.peer }

// Binding implements channel.Conn.
func (c *Conn) Binding() []byte { return append([]byte(nil), c.binding[:]...) }

// Export implements channel.Conn: HKDF-Expand (RFC 5869) of a secret of the
// handshake, with the label as its info.
func (c *Conn) Export(label string, n int) ([]byte, error) {
	k, err := hkdf.Expand(sha256.New, c.exporter.Reveal(), label, n)
	if err != nil {
		return nil, fmt.Errorf("channel: export: %w", err)
	}
	return k, nil
}

// sendReady tells the client that it is taken.
func (c *Conn) sendReady() error {
	c.write.Lock()
	defer c.write.Unlock()
	return c.writeRecordLocked(frameReady, flagLast, nil)
}

// awaitReady waits for the server's word.
func (c *Conn) awaitReady() error {
	c.read.Lock()
	defer c.read.Unlock()
	kind, _, _, err := c.readRecordLocked()
	if err == nil && kind != frameReady {
		err = fmt.Errorf("%w: no word from the server", channel.ErrFormat)
	}
	return err
}

// WriteMessage implements channel.Conn.
func (c *Conn) WriteMessage(ctx context.Context, message []byte) error {
	if len(message) > channel.MaxMessage {
		return fmt.Errorf("%w: %d bytes", channel.ErrTooLarge, len(message))
	}
	c.write.Lock()
	defer c.write.Unlock()
	release := c.watch(ctx, false)
	err := c.writeMessageLocked(message)
	if cerr := release(); err != nil && cerr != nil {
		err = fmt.Errorf("channel: writing: %w", cerr)
		c.write.err = err
	}
	return err
}

func (c *Conn) writeMessageLocked(message []byte) error {
	for {
		n := min(len(message), maxData)
		flags := byte(0)
		if n == len(message) {
			flags = flagLast
		}
		if err := c.writeRecordLocked(frameData, flags, message[:n]); err != nil {
			return err
		}
		if message = message[n:]; len(message) == 0 {
			return nil
		}
	}
}

func (c *Conn) writeRecordLocked(kind, flags byte, data []byte) error {
	w := &c.write
	if w.err != nil {
		return w.err
	}
	if w.records >= maxRecords || c.now().After(c.until) {
		return channel.ErrExpired
	}
	plain := append(w.plain[:0], byte(len(data)>>8), byte(len(data)))
	plain = append(plain, data...)
	for len(plain)%bucket != 0 {
		plain = append(plain, 0)
	}
	w.plain = plain
	n := len(plain) + tagLen
	w.buf = append(w.buf[:0], kind, flags, byte(n>>8), byte(n))
	var err error
	if w.buf, err = w.cipher.encrypt(w.buf, w.buf[:headerLen], plain); err == nil {
		_, err = c.rw.Write(w.buf)
	}
	clear(plain)
	if err == nil {
		err = next(&w.cipher, &w.records)
	}
	if err != nil {
		// A record that went out in part can't be sent again: its nonce is
		// used.
		w.err = fmt.Errorf("channel: writing: %w", err)
		return w.err
	}
	return nil
}

// next counts a record and changes the key when it is time.
func next(k *cipherState, records *int) error {
	*records++
	if *records%rekeyEvery == 0 {
		return k.rekey()
	}
	return nil
}

// ReadMessage implements channel.Conn.
func (c *Conn) ReadMessage(ctx context.Context) ([]byte, error) {
	c.read.Lock()
	defer c.read.Unlock()
	release := c.watch(ctx, true)
	m, err := c.readMessageLocked()
	if cerr := release(); err != nil && cerr != nil {
		err = fmt.Errorf("channel: reading: %w", cerr)
		if c.deadline == nil {
			c.read.err = err
		}
	}
	return m, err
}

func (c *Conn) readMessageLocked() ([]byte, error) {
	r := &c.read
	for {
		kind, flags, data, err := c.readRecordLocked()
		switch {
		case err != nil:
			return nil, err
		case kind == frameClose:
			if len(r.message) > 0 {
				return nil, c.brokenLocked(fmt.Errorf("%w: inside a message", channel.ErrTruncated))
			}
			r.err = io.EOF
			return nil, io.EOF
		case kind != frameData:
			return nil, c.brokenLocked(fmt.Errorf("%w: record type %d", channel.ErrFormat, kind))
		}
		if len(r.message)+len(data) > channel.MaxMessage {
			return nil, c.brokenLocked(channel.ErrTooLarge)
		}
		r.message = append(r.message, data...)
		clear(data)
		if flags&flagLast != 0 {
			m := r.message
			r.message = nil
			return m, nil
		}
	}
}

// brokenLocked makes a failure of the reading side final.
func (c *Conn) brokenLocked(err error) error {
	c.read.err = err
	return err
}

// readRecordLocked reads and opens one record. What a timeout interrupts goes on
// where it was. data points into a buffer that the next call uses again.
func (c *Conn) readRecordLocked() (kind, flags byte, data []byte, err error) {
	r := &c.read
	if r.err != nil {
		return 0, 0, nil, r.err
	}
	if r.records >= maxRecords || c.now().After(c.until) {
		return 0, 0, nil, channel.ErrExpired
	}
	if err := c.fill(r.head[:], &r.headN); err != nil {
		return 0, 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(r.head[2:]))
	if n < bucket+tagLen || n > maxRecord || (n-tagLen)%bucket != 0 {
		return 0, 0, nil, c.brokenLocked(c.malformed(n))
	}
	if cap(r.body) < n {
		r.body = make([]byte, n)
	}
	r.body = r.body[:n]
	if err := c.fill(r.body, &r.bodyN); err != nil {
		return 0, 0, nil, err
	}
	r.headN, r.bodyN = 0, 0
	plain, err := r.cipher.decrypt(r.body[:0], r.head[:], r.body)
	if err != nil {
		return 0, 0, nil, c.brokenLocked(channel.ErrAuthentication)
	}
	if err := next(&r.cipher, &r.records); err != nil {
		return 0, 0, nil, c.brokenLocked(err)
	}
	l := int(binary.BigEndian.Uint16(plain))
	if l > len(plain)-2 {
		return 0, 0, nil, c.brokenLocked(fmt.Errorf("%w: record's inner length", channel.ErrFormat))
	}
	return r.head[0], r.head[1], plain[2 : 2+l], nil
}

// malformed judges a header that no record has: a refusal, which is in clear
// and only a hint, or garbage.
func (c *Conn) malformed(n int) error {
	if c.read.head[0] == frameRefusal && n == 0 && c.read.records == 0 {
		return channel.ErrRefused
	}
	return fmt.Errorf("%w: record of %d bytes", channel.ErrFormat, n)
}

func (c *Conn) fill(b []byte, have *int) error {
	for *have < len(b) {
		n, err := c.rw.Read(b[*have:])
		*have += n
		if *have == len(b) {
			return nil
		}
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
			err = fmt.Errorf("%w: %w", channel.ErrTruncated, err)
		} else {
			err = fmt.Errorf("channel: reading: %w", err)
		}
		c.read.err = err
		return err
	}
	return nil
}

// watch makes ctx end a read or a write: by a deadline where the stream has
// them, which leaves a read where it was, else by closing it. release returns
// ctx's error when it did so.
func (c *Conn) watch(ctx context.Context, reading bool) (release func() error) {
	if ctx.Done() == nil {
		return func() error { return nil }
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		past := time.Unix(1, 0)
		switch {
		case c.deadline == nil:
			_ = c.rw.Close()
		case reading:
			_ = c.deadline.SetReadDeadline(past)
		default:
			_ = c.deadline.SetWriteDeadline(past)
		}
	})
	return func() error {
		if stop() {
			return nil
		}
		<-fired
		if c.deadline != nil {
			if reading {
				_ = c.deadline.SetReadDeadline(time.Time{})
			} else {
				_ = c.deadline.SetWriteDeadline(time.Time{})
			}
		}
		return ctx.Err()
	}
}

// Close sends an authenticated close, as far as the peer still reads, and
// closes the stream.
func (c *Conn) Close() error {
	c.once.Do(func() {
		// A writer that is stuck is released by closing the stream.
		timer := time.AfterFunc(closeGrace, func() { _ = c.rw.Close() })
		if c.write.TryLock() {
			_ = c.writeRecordLocked(frameClose, flagLast, nil)
			c.write.err = net.ErrClosed
			c.write.cipher.wipe()
			c.write.Unlock()
		}
		timer.Stop()
		c.closeErr = c.rw.Close()
		c.exporter.Wipe()
	})
	return c.closeErr
}
