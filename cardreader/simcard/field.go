package simcard

import (
	"context"
	"fmt"
	"sync"

	"github.com/payunit/payunit/cardreader"
)

// Field is a contactless reader with software cards at hand. The cardholder is
// obliging: whenever a terminal waits for a card, the first one is held to it.
// More than one at a time is a collision, until all but one are Taken.
type Field struct {
	name string

	mu    sync.Mutex
	cards []*Card
	// changed is closed when a card comes; nil when nobody waits.
	changed chan struct{}
	inUse   *tapSlot
}

var (
	_ cardreader.Reader        = (*Field)(nil)
	_ cardreader.Card          = (*tapSlot)(nil)
	_ cardreader.RemovalWaiter = (*tapSlot)(nil)
	_ cardreader.Protocoler    = (*tapSlot)(nil)
	_ cardreader.Interfacer    = (*tapSlot)(nil)
)

// NewField returns a reader with cards held to it. Each card is to be in one
// reader only.
func NewField(name string, cards ...*Card) *Field {
	return &Field{name: name, cards: append([]*Card(nil), cards...)}
}

// Name returns the name that NewField was given.
func (f *Field) Name() string { return f.name }

// Hold holds one more card to the reader.
func (f *Field) Hold(c *Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cards = append(f.cards, c)
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Take takes a card out of the field, also from under a terminal that uses it.
func (f *Field) Take(c *Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.cards {
		if x == c {
			f.cards = append(f.cards[:i:i], f.cards[i+1:]...)
			break
		}
	}
	if f.inUse != nil && f.inUse.card == c {
		f.inUse.remove()
	}
}

// Connect powers the field and waits for a card. Errors: cardreader.ErrBusy while
// another Card of this reader is open, cardreader.ErrCollision while there are
// several in the field.
func (f *Field) Connect(ctx context.Context) (cardreader.Card, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("simcard: waiting for a card: %w", err)
		}
		f.mu.Lock()
		if f.inUse != nil {
			f.mu.Unlock()
			return nil, fmt.Errorf("simcard: connecting to %s: %w", f.name, cardreader.ErrBusy)
		}
		if len(f.cards) > 1 {
			f.mu.Unlock()
			return nil, fmt.Errorf("simcard: connecting to %s: %w", f.name, cardreader.ErrCollision)
		}
		if len(f.cards) == 1 {
			c := f.cards[0]
			c.power()
			s := &tapSlot{field: f, slot: slot{card: c, closed: make(chan struct{}), gone: make(chan struct{})}}
			f.inUse = s
			f.mu.Unlock()
			return s, nil
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// power is a power-up by a field.
func (c *Card) power() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resetLocked()
	c.contactless = true
}

// tapSlot is a card in the field, from Connect to Close.
type tapSlot struct {
	slot
	field *Field
}

// ATR returns the pseudo-ATR of a type A card without historical bytes (PC/SC
// part 3, 3.1.3.2.3).
func (s *tapSlot) ATR() []byte { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }

// Protocol returns cardreader.TCL.
func (s *tapSlot) Protocol() cardreader.Protocol { return cardreader.TCL }

// Interface returns cardreader.Contactless.
func (s *tapSlot) Interface() cardreader.Interface { return cardreader.Contactless }

// Reset switches the field off and on.
func (s *tapSlot) Reset(ctx context.Context) ([]byte, error) {
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("simcard: resetting: %w", err)
	}
	s.card.power()
	return s.ATR(), nil
}

// Close switches the field off.
func (s *tapSlot) Close() error {
	s.closeOnce.Do(func() {
		close(s.closed)
		s.card.mu.Lock()
		s.card.resetLocked()
		s.card.contactless = false
		s.card.mu.Unlock()
		s.field.mu.Lock()
		s.field.inUse = nil
		s.field.mu.Unlock()
	})
	return nil
}
