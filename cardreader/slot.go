package cardreader

import (
	"context"
	"fmt"
	"sync"
)

// Slot is a Reader into which an app puts the cards that its platform finds: a
// tag discovered, a session begun. Each Connect takes one. The zero value is an
// empty slot without a name.
type Slot struct {
	name string

	mu      sync.Mutex
	offered Card
	// changed is closed when a card is offered; nil when nobody waits.
	changed chan struct{}
}

var _ Reader = (*Slot)(nil)

// NewSlot returns an empty slot.
func NewSlot(name string) *Slot { return &Slot{name: name} }

// Name returns the name that the slot was made with.
func (s *Slot) Name() string { return s.name }

// Put offers a card to the Connect that waits, or to the next. A card that was
// offered and not taken is closed: its session is over when the platform finds
// another. The error is that of closing it. A nil card offers none.
func (s *Slot) Put(c Card) error {
	s.mu.Lock()
	old := s.offered
	s.offered = c
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	s.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.Close()
}

// Connect waits for a card and takes it. Errors: one that wraps ctx.Err().
func (s *Slot) Connect(ctx context.Context) (Card, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("cardreader: waiting for a card: %w", err)
		}
		s.mu.Lock()
		if c := s.offered; c != nil {
			s.offered = nil
			s.mu.Unlock()
			return c, nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
