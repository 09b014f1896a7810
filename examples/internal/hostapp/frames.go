package hostapp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Frames carries connections over one pair of pipes, which is all that a program
// in a sandbox may have. A frame is the connection's number, a byte; the length
// of what follows, 2 bytes big endian; the bytes. No bytes are the connection's
// end. Number 0 is for what is no connection.
type Frames struct {
	w     io.Writer
	wlock sync.Mutex

	mu    sync.Mutex
	conns map[byte]*frameConn
	next  byte
	err   error
}

// NewFrames makes frames on a writer; Run reads the other side's.
func NewFrames(w io.Writer) *Frames {
	return &Frames{w: w, conns: map[byte]*frameConn{}}
}

const longestFrame = 0xFFFF

// Send writes b as frames of a number, and an empty one when b is empty.
func (f *Frames) Send(number byte, b []byte) error {
	f.wlock.Lock()
	defer f.wlock.Unlock()
	for {
		n := min(len(b), longestFrame)
		head := []byte{number, 0, 0}
		binary.BigEndian.PutUint16(head[1:], uint16(n))
		if _, err := f.w.Write(append(head, b[:n]...)); err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
}

// Receive reads one frame.
func Receive(r io.Reader) (number byte, b []byte, err error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	b = make([]byte, binary.BigEndian.Uint16(head[1:]))
	_, err = io.ReadFull(r, b)
	return head[0], b, err
}

// Run gives what comes in to the connections that were opened here, until r
// ends.
func (f *Frames) Run(r io.Reader) error {
	for {
		number, b, err := Receive(r)
		f.mu.Lock()
		if err != nil {
			f.err = err
			for _, c := range f.conns {
				c.end(err)
			}
			f.mu.Unlock()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		c := f.conns[number]
		f.mu.Unlock()
		switch {
		case c == nil:
			// A connection that was closed here: the rest of it is let go.
		case len(b) == 0:
			c.end(io.EOF)
		default:
			c.give(b)
		}
	}
}

// Open opens a connection.
func (f *Frames) Open(context.Context) (io.ReadWriteCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if f.next == 255 {
		return nil, errors.New("hostapp: 255 connections were opened")
	}
	f.next++
	r, w := io.Pipe()
	c := &frameConn{PipeReader: r, in: w, frames: f, number: f.next, queue: make(chan []byte, 64)}
	f.conns[c.number] = c
	go c.pump()
	return c, nil
}

type frameConn struct {
	*io.PipeReader
	in     *io.PipeWriter
	frames *Frames
	number byte
	queue  chan []byte
	once   sync.Once
	ended  error
}

func (c *frameConn) pump() {
	for b := range c.queue {
		if _, err := c.in.Write(b); err != nil {
			break
		}
	}
	_ = c.in.CloseWithError(c.ended)
	for range c.queue {
		// The reader has gone: what still comes is let go.
	}
}

func (c *frameConn) give(b []byte) { c.queue <- b }

func (c *frameConn) end(err error) {
	c.once.Do(func() {
		c.ended = err
		close(c.queue)
	})
}

func (c *frameConn) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := c.frames.Send(c.number, b); err != nil {
		return 0, fmt.Errorf("hostapp: %w", err)
	}
	return len(b), nil
}

func (c *frameConn) Close() error {
	c.frames.mu.Lock()
	_, open := c.frames.conns[c.number]
	delete(c.frames.conns, c.number)
	c.frames.mu.Unlock()
	if !open {
		return nil
	}
	c.end(io.ErrClosedPipe)
	return errors.Join(c.PipeReader.Close(), c.frames.Send(c.number, nil))
}
