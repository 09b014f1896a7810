package noise

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
)

// Limits of a channel: a new handshake is due after them.
const (
	rekeyEvery = 1024
	maxRecords = 1 << 20
	maxAge     = time.Hour
	// grace is how long a last word, a close or a refusal, waits for a peer
	// that does not read.
	grace = 90 * time.Millisecond
)

// Conn is an established channel. It holds no record buffer while it is idle.
type Conn struct {
	rw         stream
	now        func() time.Time
	until      time.Time
	peer       channel.Identity
	binding    [hashLen]byte
	serverTime time.Time
	buffers    *buffers

	read  reader
	write writer

	deadlines deadlines
	exporter  struct {
		sync.Mutex
		secret secret.Bytes
		wiped  bool
	}
	broken   atomic.Pointer[error] // set by the reading half for the writing one
	closed   atomic.Bool
	once     sync.Once
	closeErr error
}

var _ channel.Conn = (*Conn)(nil)

// endAt brings the end of a channel's life forward; zero leaves it.
func (c *Conn) endAt(t time.Time) {
	if !t.IsZero() && t.Before(c.until) {
		c.until = t
	}
}

// newConn ends a handshake and makes its channel.
func newConn(rw stream, h *handshakeState, now func() time.Time, b *buffers, peer channel.Identity) (*Conn, error) {
	c := &Conn{rw: rw, now: now, until: now().Add(maxAge), peer: peer, binding: h.y.h, buffers: b}
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
	c.exporter.secret = secret.NewBytes(k)
	return c, nil
}

// Peer implements channel.Conn.
func (c *Conn) Peer() channel.Identity { return c.peer }

// Binding implements channel.Conn.
func (c *Conn) Binding() []byte { return append([]byte(nil), c.binding[:]...) }

// ServerTime returns the server's clock as the handshake authenticated it, to
// the second. It is at both ends the same.
func (c *Conn) ServerTime() time.Time { return c.serverTime }

// Export implements channel.Conn. A handshake's last chaining key and its hash,
// as salt, make an exporter secret (HKDF with SHA-256, RFC 5869, info "payunit
// exporter 1"); a label expands it. After Close there is nothing to export.
func (c *Conn) Export(label string, n int) ([]byte, error) {
	c.exporter.Lock()
	defer c.exporter.Unlock()
	if c.exporter.wiped {
		return nil, fmt.Errorf("channel: export: %w", net.ErrClosed)
	}
	k, err := hkdf.Expand(sha256.New, c.exporter.secret.Reveal(), label, n)
	if err != nil {
		return nil, fmt.Errorf("channel: export: %w", err)
	}
	return k, nil
}

// WriteMessage implements channel.Conn. Any error but channel.ErrTooLarge and
// channel.ErrExpired, the end of ctx and a deadline among them, is final for the
// writing half.
func (c *Conn) WriteMessage(ctx context.Context, message []byte) error {
	if len(message) > channel.MaxMessage {
		return fmt.Errorf("%w: %d bytes", channel.ErrTooLarge, len(message))
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("channel: writing: %w", err)
	}
	c.write.Lock()
	defer c.write.Unlock()
	release := c.watch(ctx, false)
	err := c.writeMessageLocked(frameData, message)
	cerr := release()
	switch {
	case err == nil || errors.Is(err, channel.ErrExpired):
		return err
	case cerr != nil:
		err = fmt.Errorf("channel: writing: %w", cerr)
	case c.write.err != nil:
		return err
	default:
		err = fmt.Errorf("channel: writing: %w", err)
	}
	// Half a message may be out, and the next one would be taken for its rest.
	c.write.err = err
	c.write.cipher.wipe()
	c.dropRecordLocked()
	return err
}

// ReadMessage implements channel.Conn. What the end of ctx interrupts the next
// call goes on with.
func (c *Conn) ReadMessage(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("channel: reading: %w", err)
	}
	c.read.Lock()
	defer c.read.Unlock()
	release := c.watch(ctx, true)
	m, err := c.readMessageLocked(frameData)
	if cerr := release(); err != nil && cerr != nil && c.read.err == nil {
		err = fmt.Errorf("channel: reading: %w", cerr)
	}
	return m, err
}

// watch makes the end of ctx pass the deadline of a read or a write. release
// restores the deadline, and returns ctx's error when it had ended.
func (c *Conn) watch(ctx context.Context, reading bool) (release func() error) {
	if ctx.Done() == nil {
		return func() error { return nil }
	}
	half := &c.deadlines.write
	if reading {
		half = &c.deadlines.read
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		c.deadlines.Lock()
		defer c.deadlines.Unlock()
		half.cut = true
		_ = c.setDeadline(reading, time.Unix(1, 0))
	})
	return func() error {
		if stop() {
			return nil
		}
		<-fired
		c.deadlines.Lock()
		defer c.deadlines.Unlock()
		half.cut = false
		_ = c.setDeadline(reading, half.at)
		return ctx.Err()
	}
}

// deadlines are what the user of the channel set; a context that ended goes
// before them.
type deadlines struct {
	sync.Mutex
	read, write struct {
		at  time.Time
		cut bool
	}
}

// late reports that the user's write deadline has passed: then nothing new is
// sealed.
func (c *Conn) late() bool {
	c.deadlines.Lock()
	at := c.deadlines.write.at
	c.deadlines.Unlock()
	return !at.IsZero() && !time.Now().Before(at)
}

func (c *Conn) setDeadline(reading bool, t time.Time) error {
	if reading {
		return c.rw.SetReadDeadline(t)
	}
	return c.rw.SetWriteDeadline(t)
}

// abort ends the writing half and closes the stream; tell sends the peer the
// one fixed answer before.
func (c *Conn) abort(reason error, tell bool) {
	c.broken.CompareAndSwap(nil, &reason)
	// A writer that is stuck is released by closing the stream.
	if c.write.TryLock() {
		if tell && c.write.err == nil && c.write.buf == nil {
			refuse(c.rw)
		}
		c.write.err = reason
		c.write.cipher.wipe()
		c.dropRecordLocked()
		c.write.Unlock()
	}
	_ = c.rw.Close()
}

// refuse sends the one fixed answer, as far as the peer still reads.
func refuse(rw stream) {
	_ = rw.SetWriteDeadline(time.Now().Add(grace))
	_ = writeFrame(rw, frameRefusal, nil)
}

// Close sends an authenticated close, as far as the peer still reads, and
// closes the stream. A second Close does nothing more.
func (c *Conn) Close() error {
	c.once.Do(func() {
		if c.write.TryLock() {
			_ = c.rw.SetWriteDeadline(time.Now().Add(grace))
			_, _ = c.writeRecordLocked(frameClose, flagLast, nil)
			c.dropRecordLocked()
			c.write.err = fmt.Errorf("channel: %w", net.ErrClosed)
			c.write.Unlock()
		}
		c.closed.Store(true)
		c.closeErr = c.rw.Close()
		c.wipe()
	})
	return c.closeErr
}

// wipe makes a closed channel forget its keys, as far as no call is inside it.
func (c *Conn) wipe() {
	gone := fmt.Errorf("channel: %w", net.ErrClosed)
	if c.write.TryLock() {
		if c.write.err == nil {
			c.write.err = gone
		}
		c.write.cipher.wipe()
		c.dropRecordLocked()
		c.write.Unlock()
	}
	if c.read.TryLock() {
		if c.read.err == nil {
			c.read.err = gone
		}
		c.read.cipher.wipe()
		clear(c.read.message)
		c.read.message = nil
		c.releaseLocked()
		c.read.Unlock()
	}
	c.exporter.Lock()
	defer c.exporter.Unlock()
	c.exporter.secret.Wipe()
	c.exporter.wiped = true
}
