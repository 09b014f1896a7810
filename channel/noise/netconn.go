package noise

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// Read implements net.Conn over the messages' bytes.
func (c *Conn) Read(b []byte) (int, error) {
	c.read.Lock()
	defer c.read.Unlock()
	for len(c.read.stream) == 0 {
		m, err := c.readMessageLocked()
		if err != nil {
			return 0, err
		}
		c.read.stream = m
	}
	n := copy(b, c.read.stream)
	clear(c.read.stream[:n])
	c.read.stream = c.read.stream[n:]
	return n, nil
}

// Write implements net.Conn: each call is one message or more.
func (c *Conn) Write(b []byte) (int, error) {
	const piece = 1 << 19
	done := 0
	for done < len(b) {
		n := min(len(b)-done, piece)
		if err := c.WriteMessage(context.Background(), b[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// address stands for the ends of a stream that has none.
type address struct{}

func (address) Network() string { return "payunit" }
func (address) String() string  { return "channel" }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr {
	if n, ok := c.rw.(net.Conn); ok {
		return n.LocalAddr()
	}
	return address{}
}

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr {
	if n, ok := c.rw.(net.Conn); ok {
		return n.RemoteAddr()
	}
	return address{}
}

// SetDeadline implements net.Conn. A stream without deadlines returns
// os.ErrNoDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.deadline == nil {
		return os.ErrNoDeadline
	}
	return c.deadline.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn. A write that it interrupts ends the
// channel: a record can't be sent in two halves.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.deadline == nil {
		return os.ErrNoDeadline
	}
	return c.deadline.SetWriteDeadline(t)
}

var _ io.ReadWriteCloser = (*Conn)(nil)
