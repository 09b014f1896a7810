// Package scripted is a cardholder who does as told: a trusted.UI and a PIN
// panel for demonstrations, replays and tests. It protects nothing: the PIN
// stands in its script.
package scripted

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
)

// Script is what the cardholder does.
type Script struct {
	// PIN is entered whenever a PIN is asked for, as ASCII digits. Without
	// one the cardholder bypasses where that is allowed, else cancels.
	PIN secret.Bytes
	// RefuseTrade answers no when the trade is shown.
	RefuseTrade bool
	// CancelPIN presses cancel at the PIN.
	CancelPIN bool
	// Application is the index chosen when a card offers several.
	Application int
	// Tip is added in minor units where a tip is asked for, whatever the prompt
	// allows.
	Tip int64
	// Card is entered by hand where that is asked for. Without one the
	// cardholder waits for the readers.
	Card trusted.KeyedCard
	// Observe is told what the cardholder sees and does, in words, without
	// any digit of a PIN; nil tells nobody.
	Observe func(text string)
}

// Cardholder follows a Script. It remembers what it confirmed. Safe for
// concurrent use.
type Cardholder struct {
	s  Script
	mu sync.Mutex
	// confirmed holds the trades that were shown and agreed to.
	confirmed []trusted.Confirmation
	notices   []trusted.Notice
}

var (
	_ trusted.UI        = (*Cardholder)(nil)
	_ trusted.CardKeyer = (*Cardholder)(nil)
	_ trusted.Tipper    = (*Cardholder)(nil)
	_ trusted.Assured   = (*Cardholder)(nil)
	_ softpad.Panel     = (*Cardholder)(nil)
)

// New returns a cardholder.
func New(s Script) *Cardholder { return &Cardholder{s: s} }

// Assurance returns channel.AssuranceSoftware.
func (*Cardholder) Assurance() channel.Assurance { return channel.AssuranceSoftware }

// Confirmed returns the trades that were agreed to, in order.
func (h *Cardholder) Confirmed() []trusted.Confirmation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]trusted.Confirmation(nil), h.confirmed...)
}

// Notices returns the messages that were shown, in order.
func (h *Cardholder) Notices() []trusted.Notice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]trusted.Notice(nil), h.notices...)
}

func (h *Cardholder) tell(format string, a ...any) {
	if h.s.Observe != nil {
		h.s.Observe(fmt.Sprintf(format, a...))
	}
}

// Notify implements trusted.UI.
func (h *Cardholder) Notify(ctx context.Context, n trusted.Notice) error {
	h.mu.Lock()
	h.notices = append(h.notices, n)
	h.mu.Unlock()
	return ctx.Err()
}

// Confirm implements trusted.UI.
func (h *Cardholder) Confirm(ctx context.Context, c trusted.Confirmation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if h.s.RefuseTrade {
		h.tell("sees %s %s at %s and presses cancel", c.Kind, c.Amount, c.Merchant)
		return trusted.ErrCancelled
	}
	h.tell("sees %s %s at %s and agrees", c.Kind, c.Amount, c.Merchant)
	h.mu.Lock()
	h.confirmed = append(h.confirmed, c)
	h.mu.Unlock()
	return nil
}

// Choose implements trusted.UI.
func (h *Cardholder) Choose(ctx context.Context, labels []string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if h.s.Application < 0 || h.s.Application >= len(labels) {
		h.tell("finds no application number %d among %d and presses cancel", h.s.Application+1, len(labels))
		return 0, trusted.ErrCancelled
	}
	h.tell("chooses %q of %d applications", labels[h.s.Application], len(labels))
	return h.s.Application, nil
}

// Tip implements trusted.Tipper.
func (h *Cardholder) Tip(ctx context.Context, p trusted.TipPrompt) (money.Amount, error) {
	if err := ctx.Err(); err != nil {
		return money.Amount{}, err
	}
	tip := money.New(h.s.Tip, p.Amount.Currency)
	h.tell("is asked for a tip of up to %s beside %s, and adds %s", p.Max, p.Amount, tip)
	return tip, nil
}

// KeyCard implements trusted.CardKeyer.
func (h *Cardholder) KeyCard(ctx context.Context, p trusted.CardPrompt) (trusted.KeyedCard, error) {
	if err := ctx.Err(); err != nil {
		return trusted.KeyedCard{}, err
	}
	if h.s.Card.PAN.IsZero() {
		<-ctx.Done()
		return trusted.KeyedCard{}, ctx.Err()
	}
	h.tell("enters the card's number for %s by hand", p.Amount)
	c := trusted.KeyedCard{PAN: h.s.Card.PAN.Clone(), Expiry: h.s.Card.Expiry}
	if v := h.s.Card.CVV2; v.Len() > 0 {
		c.CVV2 = secret.CopyBytes(v.Reveal())
	}
	return c, nil
}

// Open implements softpad.Panel.
func (h *Cardholder) Open(ctx context.Context, p pinpad.Prompt, l softpad.Layout) (softpad.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := &entry{}
	switch {
	case h.s.CancelPIN:
		h.tell("is asked for the PIN for %s and presses cancel", p.Amount)
		e.last = softpad.KeyCancel
	case h.s.PIN.Len() == 0 && p.AllowBypass:
		h.tell("is asked for the PIN for %s and skips it", p.Amount)
		e.last = softpad.KeyBypass
	case h.s.PIN.Len() == 0:
		h.tell("is asked for the PIN for %s, has none and presses cancel", p.Amount)
		e.last = softpad.KeyCancel
	default:
		h.tell("enters the PIN for %s on shuffled keys", p.Amount)
		for _, d := range h.s.PIN.Reveal() {
			cell, err := find(l, d)
			if err != nil {
				return nil, err
			}
			e.keys = append(e.keys, cell)
		}
		e.last = softpad.KeyEnter
	}
	return e, nil
}

func find(l softpad.Layout, ascii byte) (softpad.Key, error) {
	for cell, digit := range l {
		if digit+'0' == ascii {
			return softpad.Key(cell), nil
		}
	}
	return 0, errors.New("scripted: the PIN in the script has a character that is no digit")
}

type entry struct {
	keys []softpad.Key
	last softpad.Key
	next int
}

// Next gives the scripted keys, then the last one for ever.
func (e *entry) Next(ctx context.Context) (softpad.Key, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if e.next < len(e.keys) {
		e.next++
		return e.keys[e.next-1], nil
	}
	return e.last, nil
}

func (*entry) Mask(int) error { return nil }

func (e *entry) Close() error {
	clear(e.keys)
	return nil
}
