package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
)

// Host is the host's end of connections.
type Host struct {
	// Framing is the form of frames; the zero value is a two-byte length.
	Framing Framing
	// Dialect is the messages' dialect; nil means acquirer.Default().
	Dialect *acquirer.Dialect
	// Seal and Open are as in Config.
	Seal func(m *acquirer.Message) ([]byte, error)
	Open func(b []byte) (*acquirer.Message, error)
	// Handle answers a request, nil for no answer. It is called from several
	// goroutines, MaxInFlight at most; the request is wiped when it returns.
	// It is needed.
	Handle func(ctx context.Context, request *acquirer.Message) *acquirer.Message
	// MaxInFlight bounds the requests of one connection that are handled at
	// once; 0 means 16. Further ones wait unread.
	MaxInFlight int
	// WriteTimeout bounds the writing of an answer to a peer that does not
	// read; 0 means 10 seconds.
	WriteTimeout time.Duration
	// Greeting is how long a connection may be without a message that Open takes,
	// and it ends with one that Open does not take before: who has no key holds no
	// place for long. After that a connection may be silent. 0 means 30 seconds.
	Greeting time.Duration
	// Observe gets messages that could not be read or answered. It may be
	// nil; it is called from several goroutines.
	Observe func(text string, err error)
}

// ServeConn handles the requests of one connection until it ends, ctx ends, or
// a frame is malformed, and closes it. It returns nil when the peer closed the
// connection between two frames, and only after the last Handle has returned.
func (h *Host) ServeConn(ctx context.Context, conn net.Conn) error {
	if h.Handle == nil {
		return errors.New("link: Host.Handle is missing")
	}
	if (h.Seal == nil) != (h.Open == nil) {
		return errors.New("link: Host.Seal and Host.Open belong together")
	}
	s := &served{h: h, conn: conn, seal: h.Seal, open: h.Open, timeout: h.WriteTimeout}
	if s.open == nil {
		d := h.Dialect
		if d == nil {
			d = acquirer.Default()
		}
		s.seal, s.open = d.Pack, d.Unpack
	}
	if s.timeout <= 0 {
		s.timeout = 10 * time.Second
	}
	n := h.MaxInFlight
	if n <= 0 {
		n = 16
	}
	greeting := h.Greeting
	if greeting <= 0 {
		greeting = 30 * time.Second
	}
	if err := conn.SetReadDeadline(time.Now().Add(greeting)); err != nil {
		_ = conn.Close()
		return fmt.Errorf("link: serving: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		t, b, err := h.Framing.Read(conn)
		switch {
		case err == io.EOF:
			return nil
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("link: serving: %w", ctx.Err())
		case err != nil:
			return err
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s.one(ctx, t, b)
		})
	}
}

// served is a connection that is served.
type served struct {
	h       *Host
	conn    net.Conn
	seal    func(m *acquirer.Message) ([]byte, error)
	open    func(b []byte) (*acquirer.Message, error)
	timeout time.Duration
	mu      sync.Mutex  // held while a frame is written
	known   atomic.Bool // a message of the peer's was taken
}

func (s *served) one(ctx context.Context, t TPDU, b []byte) {
	m, err := s.open(b)
	clear(b)
	if err != nil {
		s.observe("unreadable request", err)
		if !s.known.Load() {
			_ = s.conn.Close()
		}
		return
	}
	defer m.Wipe()
	if !s.known.Swap(true) {
		_ = s.conn.SetReadDeadline(time.Time{})
	}
	if acquirer.IsResponse(m.MTI) {
		s.observe("an answer where a request was expected", acquirer.ErrMismatch)
		return
	}
	answer := s.h.Handle(ctx, m)
	if answer == nil {
		return
	}
	body, err := s.seal(answer)
	if err != nil {
		s.observe("answer can't be packed", err)
		return
	}
	defer clear(body)
	frame, err := s.h.Framing.Append(nil, t.Answer(), body)
	if err != nil {
		s.observe("answer can't be sent", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.timeout))
	if _, err := s.conn.Write(frame); err != nil {
		s.observe("answer was not sent", err)
		// A frame that was cut off leaves the stream out of step.
		_ = s.conn.Close()
	}
}

func (s *served) observe(text string, err error) {
	if s.h.Observe != nil {
		s.h.Observe(text, err)
	}
}
