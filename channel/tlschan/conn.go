package tlschan

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/internal/patient"
)

// Limits of a channel: a new handshake is due after them. TLS may seal more
// under one key (RFC 8446, 5.5).
const (
	maxRecords = 1 << 20
	maxAge     = time.Hour
	// grace is how long a last word, a close or a refusal, waits for a peer
	// that does not read.
	grace = 50 * time.Millisecond
)

// Conn is an established channel.
type Conn struct {
	rw         *strict
	tls        *tls.Conn
	now        func() time.Time
	until      time.Time
	peer       channel.Identity
	binding    [digestLen]byte
	serverTime time.Time
	frames     *frames

	read      reader
	write     writer
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

func newConn(rw *strict, t *tls.Conn, now func() time.Time, f *frames) *Conn {
	return &Conn{rw: rw, tls: t, now: now, until: now().Add(maxAge), frames: f}
}

// endAt brings the end of a channel's life forward; zero leaves it.
func (c *Conn) endAt(t time.Time) {
	if !t.IsZero() && t.Before(c.until) {
		c.until = t
	}
}

// bind derives what both ends have in common.
func (c *Conn) bind(s tls.ConnectionState, hello []byte, w *welcome) error {
	exported, err := s.ExportKeyingMaterial(bindingLabel, nil, digestLen)
	if err != nil {
		return fmt.Errorf("%w: exporter: %w", errModule, err)
	}
	c.binding = bind(exported, hello, w)
	c.serverTime = w.time()
	k, err := s.ExportKeyingMaterial(exporterLabel, c.binding[:], keyLen)
	if err != nil {
		return fmt.Errorf("%w: exporter: %w", errModule, err)
	}
	c.exporter.secret = secret.NewBytes(k)
	return nil
}

// Peer implements channel.Conn.
func (c *Conn) Peer() channel.Identity { return c.peer }

// Binding implements channel.Conn.
func (c *Conn) Binding() []byte { return append([]byte(nil), c.binding[:]...) }

// ServerTime returns the server's clock as the handshake authenticated it, to
// the second. It is at both ends the same.
func (c *Conn) ServerTime() time.Time { return c.serverTime }

// Export implements channel.Conn: a TLS exporter with the binding as its context
// makes a secret, and a label expands it (HKDF with SHA-256, RFC 5869). After
// Close there is nothing to export.
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
	return c.send(ctx, frameData, message)
}

func (c *Conn) send(ctx context.Context, kind byte, message []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("channel: writing: %w", err)
	}
	c.write.Lock()
	defer c.write.Unlock()
	release := c.watch(ctx, false)
	err := c.writeMessageLocked(kind, message)
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
	return err
}

// ReadMessage implements channel.Conn. What the end of ctx interrupts the next
// call goes on with.
func (c *Conn) ReadMessage(ctx context.Context) ([]byte, error) {
	return c.receive(ctx, frameData, channel.MaxMessage)
}

func (c *Conn) receive(ctx context.Context, kind byte, limit int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("channel: reading: %w", err)
	}
	c.read.Lock()
	defer c.read.Unlock()
	release := c.watch(ctx, true)
	m, err := c.readMessageLocked(kind, limit)
	if cerr := release(); err != nil && cerr != nil && c.read.err == nil {
		err = fmt.Errorf("channel: reading: %w", cerr)
	}
	return m, err
}

// abort ends the writing half and closes the stream.
func (c *Conn) abort(reason error) {
	c.broken.CompareAndSwap(nil, &reason)
	// A writer that is stuck is released by closing the stream.
	if c.write.TryLock() {
		c.write.err = reason
		c.write.Unlock()
	}
	_ = c.rw.Close()
}

// giveUp ends a channel whose handshake failed; tell sends the peer the one fixed
// answer before, as far as it still reads.
func (c *Conn) giveUp(ctx context.Context, tell bool) {
	if tell && c.write.TryLock() {
		patient.LastWord(ctx, c.rw.Stream, func() error {
			_, err := c.writeFrameLocked(frameRefusal, flagLast, nil)
			return err
		})
		c.write.Unlock()
	}
	_ = c.rw.Close()
	c.wipe()
}

// Close sends an authenticated close, as far as the peer still reads, and
// closes the stream. A second Close does nothing more.
func (c *Conn) Close() error {
	c.once.Do(func() {
		if c.write.TryLock() {
			_ = c.rw.SetWriteDeadline(time.Now().Add(grace))
			_, _ = c.writeFrameLocked(frameClose, flagLast, nil)
			c.write.err = fmt.Errorf("channel: %w", net.ErrClosed)
			c.write.Unlock()
		}
		c.closed.Store(true)
		c.closeErr = c.rw.Close()
		c.wipe()
	})
	return c.closeErr
}

// wipe makes a closed channel forget what it can, as far as no call is inside
// it.
func (c *Conn) wipe() {
	gone := fmt.Errorf("channel: %w", net.ErrClosed)
	if c.write.TryLock() {
		if c.write.err == nil {
			c.write.err = gone
		}
		c.write.Unlock()
	}
	if c.read.TryLock() {
		if c.read.err == nil {
			c.read.err = gone
		}
		c.read.wipeLocked()
		c.read.Unlock()
	}
	c.exporter.Lock()
	defer c.exporter.Unlock()
	c.exporter.secret.Wipe()
	c.exporter.wiped = true
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
	defer c.deadlines.Unlock()
	at := c.deadlines.write.at
	return !at.IsZero() && !time.Now().Before(at)
}

func (c *Conn) setDeadline(reading bool, t time.Time) error {
	if reading {
		return c.rw.SetReadDeadline(t)
	}
	return c.rw.SetWriteDeadline(t)
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.tls.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.tls.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. A read that it interrupts can go on.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.deadlines.read.at = t
	if c.deadlines.read.cut {
		return nil
	}
	return c.setDeadline(true, t)
}

// SetWriteDeadline implements net.Conn. A Write that it interrupts can go on; a
// WriteMessage ends the writing half, since half a message is none.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.deadlines.write.at = t
	if c.deadlines.write.cut {
		return nil
	}
	return c.setDeadline(false, t)
}
