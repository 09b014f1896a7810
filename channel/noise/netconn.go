package noise

import (
	"errors"
	"net"
	"time"

	"github.com/payunit/payunit/channel"
)

// Read implements net.Conn over the messages' bytes. It does not allocate.
func (c *Conn) Read(b []byte) (int, error) {
	c.read.Lock()
	defer c.read.Unlock()
	if len(b) == 0 {
		return 0, c.read.err
	}
	for len(c.read.data) == 0 {
		c.releaseIfDoneLocked()
		if _, err := c.readRecordLocked(frameData); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.read.data)
	c.read.data = c.read.data[n:]
	c.releaseIfDoneLocked()
	return n, nil
}

// releaseIfDoneLocked gives the buffer of a record back that is read to its end
// and not of one that is on its way.
func (c *Conn) releaseIfDoneLocked() {
	if len(c.read.data) == 0 && c.read.have == 0 {
		c.releaseLocked()
	}
}

// Write implements net.Conn: each call is one message or more. It does not
// allocate, but for a new key every 1024 records. After a deadline that passed the
// bytes counted are on their way, at the latest with the next Write, and the
// writer may go on behind them.
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
		sealed, err := c.writeRecordLocked(frameData, flags, b[done:done+n])
		if sealed {
			done += n
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// address stands for the ends of a stream that has none.
type address struct{}

func (address) Network() string { return "payunit" }
func (address) String() string  { return "channel" }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr {
	if n, ok := c.rw.(interface{ LocalAddr() net.Addr }); ok {
		return n.LocalAddr()
	}
	return address{}
}

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr {
	if n, ok := c.rw.(interface{ RemoteAddr() net.Addr }); ok {
		return n.RemoteAddr()
	}
	return address{}
}

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
