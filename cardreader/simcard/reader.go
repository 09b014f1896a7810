package simcard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader"
)

// Reader is a card reader with one software card at hand. The cardholder is
// obliging: whenever a terminal waits for a card, the card is put in, and when
// it waits for the removal, the card is taken out; unless Remove said that the
// card stays out until Insert.
type Reader struct {
	name string
	card *Card

	mu    sync.Mutex
	out   chan struct{} // not nil while the card is kept out; closed by Insert
	inUse *slot
}

var (
	_ cardreader.Reader        = (*Reader)(nil)
	_ cardreader.Card          = (*slot)(nil)
	_ cardreader.Resetter      = (*slot)(nil)
	_ cardreader.RemovalWaiter = (*slot)(nil)
	_ cardreader.Protocoler    = (*slot)(nil)
	_ cardreader.Interfacer    = (*slot)(nil)
)

// Reader returns a new reader that holds c. Put a card into one reader only.
func (c *Card) Reader(name string) *Reader {
	return &Reader{name: name, card: c}
}

// Name returns the name that Card.Reader was given.
func (r *Reader) Name() string { return r.name }

// Connect powers the card. It waits while the card is kept out, and returns
// cardreader.ErrBusy while another Card of this reader is open.
func (r *Reader) Connect(ctx context.Context) (cardreader.Card, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("simcard: waiting for a card: %w", err)
		}
		r.mu.Lock()
		if r.inUse != nil {
			r.mu.Unlock()
			return nil, fmt.Errorf("simcard: connecting to %s: %w", r.name, cardreader.ErrBusy)
		}
		out := r.out
		if out == nil {
			r.card.Reset()
			s := &slot{reader: r, card: r.card, closed: make(chan struct{}), gone: make(chan struct{})}
			r.inUse = s
			r.mu.Unlock()
			return s, nil
		}
		r.mu.Unlock()
		select {
		case <-out:
		case <-ctx.Done():
		}
	}
}

// Remove takes the card out, also from under a terminal that uses it, and keeps
// it out until Insert.
func (r *Reader) Remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out == nil {
		r.out = make(chan struct{})
	}
	if r.inUse != nil {
		r.inUse.remove()
	}
}

// Insert puts the card in again after Remove.
func (r *Reader) Insert() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out != nil {
		close(r.out)
		r.out = nil
	}
}

// slot is the powered card, from Connect to Close.
type slot struct {
	reader       *Reader
	card         *Card
	closed, gone chan struct{}
	closeOnce    sync.Once
	goneOnce     sync.Once
}

// ATR returns the answer to reset.
func (s *slot) ATR() []byte { return s.card.ATR() }

// Protocol returns the profile's protocol.
func (s *slot) Protocol() cardreader.Protocol { return s.card.protocol() }

// Interface returns cardreader.Contact.
func (s *slot) Interface() cardreader.Interface { return cardreader.Contact }

func (s *slot) remove() { s.goneOnce.Do(func() { close(s.gone) }) }

// usable returns why the card can't be used.
func (s *slot) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return cardreader.ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.gone:
		return cardreader.ErrCardRemoved
	default:
	}
	return nil
}

// Transmit carries out one command.
func (s *slot) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("simcard: transmitting: %w", err)
	}
	if len(command) < 4 {
		return nil, fmt.Errorf("simcard: transmitting: %w: command of %d bytes", cardreader.ErrProtocol, len(command))
	}
	answer, wait, err := s.card.exchange(command)
	if wait > 0 {
		if werr := s.pause(ctx, wait); werr != nil {
			return nil, fmt.Errorf("simcard: transmitting: %w", werr)
		}
	}
	if err != nil {
		if err == cardreader.ErrCardRemoved {
			s.remove()
		}
		return nil, fmt.Errorf("simcard: transmitting: %w", err)
	}
	return answer, nil
}

// pause is how long the card takes; Close, a removal and ctx cut it short.
func (s *slot) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.closed:
		return cardreader.ErrClosed
	case <-s.gone:
		return cardreader.ErrCardRemoved
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reset is a warm reset.
func (s *slot) Reset(ctx context.Context) ([]byte, error) {
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("simcard: resetting: %w", err)
	}
	s.card.Reset()
	return s.card.ATR(), nil
}

// WaitRemoval takes the card out: the software cardholder does what it is asked.
func (s *slot) WaitRemoval(ctx context.Context) error {
	select {
	case <-s.closed:
		return fmt.Errorf("simcard: waiting for removal: %w", cardreader.ErrClosed)
	default:
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("simcard: waiting for removal: %w", err)
	}
	s.remove()
	return nil
}

// Close powers the card down.
func (s *slot) Close() error {
	s.closeOnce.Do(func() {
		close(s.closed)
		s.card.Reset()
		s.reader.mu.Lock()
		s.reader.inUse = nil
		s.reader.mu.Unlock()
	})
	return nil
}

// protocol returns the protocol of the profile, T1 by default.
func (c *Card) protocol() cardreader.Protocol {
	if c.profile.Protocol == cardreader.T0 {
		return cardreader.T0
	}
	return cardreader.T1
}

// ATR returns a copy of the answer to reset, one of the two forms of EMV 4.4
// Book 1, 8.2: basic T=0 or basic T=1, with "PAYUNIT" as historical bytes.
func (c *Card) ATR() []byte {
	if c.protocol() == cardreader.T0 {
		return append([]byte{0x3B, 0x67, 0x00, 0x00}, "PAYUNIT"...)
	}
	atr := append([]byte{0x3B, 0xE7, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x45}, "PAYUNIT"...)
	var check byte
	for _, b := range atr[1:] { // TCK makes the XOR from T0 on zero
		check ^= b
	}
	return append(atr, check)
}
