package pcsc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader"
)

// settleTime is how long a card that was just put in, or that another program
// just let go, may answer "unpowered" or "sharing violation"; settleStep is how
// often it is asked.
const (
	settleTime = 800 * time.Millisecond
	settleStep = 40 * time.Millisecond
)

// goneTime is how long a card that does not answer may yet turn out to have left:
// the service looks a few times a second, and less often on a busy machine.
const goneTime = 2 * time.Second

// Card is a card in a reader. Every call to the service is made by one goroutine
// of its own, so that a card that hangs holds up nobody but that goroutine.
type Card struct {
	s      *System
	reader string
	seen   readerState
	facts
	// waited says that the card was connected to by more than one try.
	waited bool
	// maxData belongs to the card's goroutine; nil before the reader was asked.
	maxData *int

	calls chan call
	// quit is closed to have the handle let go, done when it is.
	quit, done chan struct{}

	mu     sync.Mutex
	closed bool
	// lost is set when a call was left to itself: only Close may follow.
	lost error
}

var (
	_ cardreader.Card          = (*Card)(nil)
	_ cardreader.Resetter      = (*Card)(nil)
	_ cardreader.RemovalWaiter = (*Card)(nil)
	_ cardreader.Protocoler    = (*Card)(nil)
	_ cardreader.Interfacer    = (*Card)(nil)
)

// facts are what stays true of a card until it is reset.
type facts struct {
	atr      []byte
	protocol uint32
	pseudo   bool
}

// call is work for a card's goroutine; the answer goes where nobody has to be.
type call struct {
	work   func(handle) ([]byte, error)
	answer chan result
}

type result struct {
	b   []byte
	err error
}

// connect connects to the card in a reader. Errors hold a returnCode, or wrap
// ctx.Err().
func (s *System) connect(ctx context.Context, st readerState) (*Card, error) {
	c := &Card{s: s, reader: st.reader, seen: st, calls: make(chan call), quit: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan error, 1)
	go c.run(ctx, ready)
	select {
	case err := <-ready:
		if err != nil {
			return nil, err
		}
		return c, nil
	case <-ctx.Done():
		// The goroutine lets go of what it gets.
		close(c.quit)
		return nil, fmt.Errorf("pcsc: connecting: %w", ctx.Err())
	}
}

// run owns the handle from its making to its end.
func (c *Card) run(ctx context.Context, ready chan<- error) {
	defer close(c.done)
	s, err := c.s.service.establish()
	if err != nil {
		ready <- err
		return
	}
	defer func() { _ = s.release() }()
	h, err := c.settle(ctx, s)
	if err != nil {
		ready <- err
		return
	}
	var failing bool
	defer func() {
		disposition := uint32(resetCard)
		if c.s.c.LeavePowered || failing {
			// A card that is gone, or hangs, is not to be reset.
			disposition = leaveCard
		}
		_ = h.disconnect(disposition)
	}()
	if c.facts, err = know(h); err != nil {
		ready <- err
		return
	}
	ready <- nil
	for {
		select {
		case call := <-c.calls:
			b, err := call.work(h)
			failing = err != nil
			call.answer <- result{b, err}
		case <-c.quit:
			return
		}
	}
}

// settle connects, and again while the card or another program needs a moment.
func (c *Card) settle(ctx context.Context, s session) (handle, error) {
	share := uint32(shareExclusive)
	if c.s.c.Shared {
		share = shareShared
	}
	for tried := time.Duration(0); ; tried += settleStep {
		h, err := s.connect(c.reader, share, protocolT0|protocolT1)
		code := codeOf(err)
		again := code == codeSharingViolation || code == codeUnpoweredCard
		if err == nil && c.s.c.Shared {
			if err = h.begin(); err != nil {
				_ = h.disconnect(leaveCard)
			}
		}
		if err == nil {
			return h, nil
		}
		if !again || tried >= settleTime {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("pcsc: connecting: %w", ctx.Err())
		case <-time.After(settleStep):
			c.waited = true
		}
	}
}

// know reads the facts of the card behind a handle.
func know(h handle) (facts, error) {
	b, err := h.atr()
	if err != nil {
		return facts{}, err
	}
	f := facts{atr: slices.Clone(b), protocol: h.protocol()}
	f.pseudo = interfaceOf(b) == cardreader.Contactless
	if f.protocol != protocolT0 && f.protocol != protocolT1 {
		return f, codeProtoMismatch
	}
	return f, nil
}

// do has the card's goroutine do something, and waits for it no longer than ctx.
func (c *Card) do(ctx context.Context, op string, work func(handle) ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	closed, lost := c.closed, c.lost
	c.mu.Unlock()
	switch {
	case closed:
		return nil, fmt.Errorf("pcsc: %s: %w", op, cardreader.ErrClosed)
	case lost != nil:
		return nil, lost
	case ctx.Err() != nil:
		return nil, fmt.Errorf("pcsc: %s: %w", op, ctx.Err())
	}
	k := call{work, make(chan result, 1)}
	select {
	case c.calls <- k:
	case <-c.quit:
		return nil, fmt.Errorf("pcsc: %s: %w", op, cardreader.ErrClosed)
	case <-ctx.Done():
		return nil, c.lose(fmt.Errorf("pcsc: %s: %w", op, ctx.Err()))
	}
	select {
	case r := <-k.answer:
		if r.err != nil && codeOf(r.err) != 0 {
			r.err = c.removed(ctx, failed(op, r.err))
		}
		return r.b, r.err
	case <-c.quit:
		return nil, fmt.Errorf("pcsc: %s: %w", op, cardreader.ErrClosed)
	case <-ctx.Done():
		return nil, c.lose(fmt.Errorf("pcsc: %s: %w", op, ctx.Err()))
	}
}

// lose leaves a call to itself: nobody knows what the card does.
func (c *Card) lose(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost == nil {
		c.lost = err
	}
	return err
}

// removed tells a card that was torn out in the middle of a command from one
// that is there and mute: the service has one code for both.
func (c *Card) removed(ctx context.Context, err error) error {
	if !errors.Is(err, cardreader.ErrCardMute) {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, goneTime)
	defer stop()
	gone := c.s.watch.wait(ctx, func(now map[string]readerState) bool { return left(now, c.seen) })
	if gone == nil {
		return &Error{Op: "transmitting", Code: uint32(codeRemovedCard), Kind: cardreader.ErrCardRemoved}
	}
	return err
}

// ATR returns the answer to reset, or the pseudo-ATR of a contactless reader.
func (c *Card) ATR() []byte { return slices.Clone(c.atr) }

// Reader returns the name of the reader that the card is in.
func (c *Card) Reader() string { return c.reader }

// Protocol returns T0, T1, or TCL for a card in a contactless reader.
func (c *Card) Protocol() cardreader.Protocol {
	switch {
	case c.pseudo:
		return cardreader.TCL
	case c.protocol == protocolT0:
		return cardreader.T0
	}
	return cardreader.T1
}

// Interface tells contactless readers by their pseudo-ATR (PC/SC part 3).
func (c *Card) Interface() cardreader.Interface {
	if c.pseudo {
		return cardreader.Contactless
	}
	return cardreader.Contact
}

// Transmit sends a command. Under T=0 it is sent as that protocol has it: a
// command of case 1 with P3, one of case 4 without Le (ISO/IEC 7816-3, 12.2).
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	wire, err := c.wire(command)
	if err == nil {
		err = c.checkLength(ctx, wire)
	}
	if err != nil {
		return nil, err
	}
	r, err := c.do(ctx, "transmitting", func(h handle) ([]byte, error) { return h.transmit(wire) })
	if err != nil {
		return nil, err
	}
	if len(r) < 2 {
		// What some services give for a card that was torn out.
		return nil, c.removed(ctx, &Error{Op: "transmitting", Code: uint32(codeCommError), Kind: cardreader.ErrCardMute})
	}
	return slices.Clone(r), nil
}

// wire is the command as the protocol carries it; a copy.
func (c *Card) wire(b []byte) ([]byte, error) {
	bad := func(why string) ([]byte, error) {
		return nil, fmt.Errorf("pcsc: transmitting: %w: %s", cardreader.ErrProtocol, why)
	}
	if len(b) < 4 {
		return bad(fmt.Sprintf("command of %d bytes", len(b)))
	}
	if c.protocol != protocolT0 || c.pseudo {
		return slices.Clone(b), nil
	}
	switch {
	case len(b) == 4:
		return append(slices.Clone(b), 0), nil
	case len(b) == 5:
		return slices.Clone(b), nil
	case b[4] == 0:
		return bad("a command of extended length does not go over T=0")
	case len(b) == 5+int(b[4]), len(b) == 6+int(b[4]):
		return slices.Clone(b[:5+int(b[4])]), nil
	}
	return bad("the length does not agree with Lc")
}

// Reset makes a warm reset and returns the new ATR. Another card in the reader is
// ErrCardRemoved.
func (c *Card) Reset(ctx context.Context) ([]byte, error) {
	share := uint32(shareExclusive)
	if c.s.c.Shared {
		share = shareShared
	}
	// A reset that nobody waits for any more must not change what is read now.
	var f facts
	_, err := c.do(ctx, "resetting", func(h handle) (_ []byte, err error) {
		if err := h.reconnect(share, protocolT0|protocolT1, resetCard); err != nil {
			return nil, err
		}
		if c.s.c.Shared {
			if err := h.begin(); err != nil {
				return nil, err
			}
		}
		f, err = know(h)
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	c.facts = f
	return c.ATR(), nil
}

// WaitRemoval returns nil when the card is gone, or its reader.
func (c *Card) WaitRemoval(ctx context.Context) error {
	return c.s.watch.wait(ctx, func(now map[string]readerState) bool { return left(now, c.seen) })
}

// Close resets the card and lets go of it, or leaves it to a command that hangs
// to do so when it ends. It waits for the service a moment at most.
func (c *Card) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	lost := c.lost
	c.mu.Unlock()
	close(c.quit)
	if lost != nil {
		return nil
	}
	select {
	case <-c.done:
	case <-time.After(settleTime):
	}
	return nil
}
