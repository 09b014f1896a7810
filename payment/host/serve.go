package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted/comm"
)

// Serve accepts connections until ctx ends, which is no error, or l fails. It
// closes l, and returns after the requests under way were answered.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer s.open.Wait()
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			// Out of descriptors, or a peer that is gone already: that
			// passes. Anything else does not.
			var t interface{ Temporary() bool }
			if !errors.As(err, &t) || !t.Temporary() {
				_ = l.Close()
				return fmt.Errorf("host: accepting: %w", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			wait(ctx, pause)
			continue
		}
		pause = 0
		select {
		case s.slots <- struct{}{}:
		default:
			s.counters.count(`payunit_refused_total{why="channels"}`)
			s.tell("", "", "connection closed: %d are open, the limit", s.c.Limits.Channels)
			_ = conn.Close()
			continue
		}
		s.open.Go(func() {
			defer func() { <-s.slots }()
			_ = s.ServeConn(ctx, conn)
		})
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// ServeConn makes a channel over rw and answers its requests until the peer
// closes it (nil), ctx ends (nil, after the answer to a request under way), or
// something breaks. It closes rw. What went wrong is also told to
// Config.Observe.
func (s *Server) ServeConn(ctx context.Context, rw io.ReadWriteCloser) error {
	began := s.c.Now()
	conn, err := s.c.Handshaker.Server(ctx, rw)
	if err != nil {
		s.counters.count(`payunit_refused_total{why="handshake"}`)
		s.tell("", "", "handshake refused: %v", err)
		return fmt.Errorf("host: %w", err)
	}
	id := conn.Peer()
	p := &peer{identity: id}
	if p.gate, err = s.newGate(conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	s.counters.count(fmt.Sprintf("payunit_channels_total{purpose=%q}", id.Purpose.String()))
	s.counters.opened(1)
	defer s.counters.opened(-1)
	s.c.Observe(Event{Terminal: id.TerminalID, Text: "channel up, to " + id.Purpose.String(), Took: s.c.Now().Sub(began)})
	err = comm.Serve(ctx, &patient{conn, s.c.Limits}, &handler{s, p})
	switch {
	case err == nil:
		s.tell(id.TerminalID, "", "channel closed")
	case ctx.Err() != nil:
		s.tell(id.TerminalID, "", "channel closed: the server stops")
		err = nil
	default:
		s.tell(id.TerminalID, "", "channel cut: %v", err)
	}
	return err
}

// patient is a channel that sends its last answer also when the server stops,
// and that does not wait for ever: neither for a request nor for a peer that does
// not read.
type patient struct {
	channel.Conn
	l Limits
}

// ReadMessage waits for a request.
func (c *patient) ReadMessage(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.l.Idle)
	defer cancel()
	return c.Conn.ReadMessage(ctx)
}

// WriteMessage sends an answer.
func (c *patient) WriteMessage(ctx context.Context, m []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.l.Reply)
	defer cancel()
	return c.Conn.WriteMessage(ctx, m)
}

// peer is who is at the other end of a channel.
type peer struct {
	identity channel.Identity
	// gate knows what was proven inside the channel.
	gate gate
	// terminal is the terminal that the peer was found to be, nil before.
	// What rests on it is looked at again where something is written.
	terminal atomic.Pointer[ledger.Terminal]
}

// handler answers the requests of one channel.
type handler struct {
	s *Server
	p *peer
}

var _ comm.Handler = (*handler)(nil)

// What a peer is told when its request could not be carried out.
var (
	errMalformed   = &trade.Error{Code: trade.CodeMalformed, Text: "the request is not of the agreed form"}
	errNotEnrolled = &trade.Error{Code: trade.CodeNotEnrolled, Text: "this device is not a terminal of this server"}
	errBusy        = &trade.Error{Code: trade.CodeBusy, Text: "the server is busy, nothing was done"}
	errInternal    = &trade.Error{Code: trade.CodeInternal, Text: "the server could not carry the request out"}
	errKind        = &trade.Error{Code: trade.CodeUnsupported, Text: "no such request on this channel"}
)

// Handle answers one request. A request that has begun is finished, also when
// the server stops meanwhile.
func (h *handler) Handle(ctx context.Context, conn channel.Conn, e trade.Envelope) (trade.Envelope, error) {
	if !h.s.rates.allow(string(h.p.identity.Key)) {
		h.s.counters.count(`payunit_refused_total{why="rate"}`)
		return trade.Envelope{}, errBusy
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.s.c.Limits.Handle)
	defer cancel()
	switch h.p.identity.Purpose {
	case channel.PurposePay, channel.PurposeResume:
		switch e.Kind {
		case trade.KindTradeRequest:
			return h.s.trade(ctx, h.p, e)
		case trade.KindFinancial:
			return h.s.financial(ctx, h.p, e)
		case trade.KindCancel:
			return h.s.cancel(ctx, h.p, e)
		case trade.KindAttest:
			return h.s.challenge(h.p, e)
		case trade.KindEvidence:
			return h.s.evidence(ctx, h.p, e)
		case trade.KindRotate:
			return h.s.rotate(ctx, conn, h.p, e)
		case trade.KindConfigure:
			return h.s.configure(e)
		}
	case channel.PurposeEnrol:
		if e.Kind == trade.KindEnrol {
			return h.s.enrol(ctx, conn, h.p, e)
		}
	}
	return trade.Envelope{}, errKind
}

// refuse turns a failure into what the peer is told; the details go to Observe.
func (s *Server) refuse(err error) error {
	var said *trade.Error
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, errNotAdmitted):
		s.tell("", "", "%v", err)
		return errNotEnrolled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		s.counters.count(`payunit_failed_total{why="time"}`)
		s.tell("", "", "%v", err)
		return errBusy
	case errors.Is(err, ledger.ErrConflict):
		s.tell("", "", "%v", err)
		return &trade.Error{Code: trade.CodeRefused, Text: "it contradicts what is recorded"}
	}
	s.counters.count(`payunit_failed_total{why="ledger"}`)
	s.tell("", "", "request failed: %v", err)
	return errInternal
}
