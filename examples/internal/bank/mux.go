package bank

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// mux tells the kinds of connection on one port apart by their first byte: a letter
// begins HTTP, a digit another bank's line, anything else a channel.
type mux struct {
	l                     net.Listener
	channels, http, lines *side
}

// peekTime is how long a connection may wait with its first byte.
const peekTime = 10 * time.Second

// acceptPause is how long to wait after a connection could not be accepted.
const acceptPause = 20 * time.Millisecond

func newMux(l net.Listener) *mux {
	return &mux{l: l, channels: newSide(l), http: newSide(l), lines: newSide(l)}
}

// run accepts until ctx ends.
func (m *mux) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = m.l.Close() })
	defer stop()
	defer m.channels.Close()
	defer m.http.Close()
	defer m.lines.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := m.l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("bank: listener: %w", err)
		}
		if err != nil {
			// Out of descriptors, mostly: others end soon.
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		wg.Go(func() { m.sort(ctx, c) })
	}
}

func (m *mux) sort(ctx context.Context, c net.Conn) {
	if err := c.SetReadDeadline(time.Now().Add(peekTime)); err != nil {
		_ = c.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })
	defer stop()
	r := bufio.NewReaderSize(c, 512)
	b, err := r.Peek(1)
	if !stop() {
		_ = c.Close()
		return
	}
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close()
		return
	}
	s := m.channels
	switch {
	case b[0] >= 'A' && b[0] <= 'Z':
		s = m.http
	case b[0] >= '0' && b[0] <= '9':
		s = m.lines
	}
	s.give(peeked{c, r})
}

// peeked is a connection whose first bytes wait in a buffer.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// CloseWrite half closes a connection that can be.
func (p peeked) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// side is one kind's listener.
type side struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newSide(l net.Listener) *side {
	return &side{addr: l.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
}

func (s *side) give(c net.Conn) {
	select {
	case s.conns <- c:
	case <-s.done:
		_ = c.Close()
	}
}

func (s *side) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *side) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

func (s *side) Addr() net.Addr { return s.addr }
