package softpad

import (
	"context"
	"fmt"
	"io"

	"github.com/payunit/payunit/pinpad"
)

// Cells is the number of digit cells of a keypad.
const Cells = 10

// Layout says which digit each cell shows, cell 0 at the top left, row by row,
// cell 9 below the others. It is trusted data: a Panel draws it and forgets it.
type Layout [Cells]byte

// Key is what a cardholder pressed: a cell, 0 to 9, or one of the keys below.
type Key uint8

// The keys that are no cells.
const (
	KeyBackspace Key = iota + Cells
	KeyClear
	KeyEnter
	KeyCancel
	KeyBypass
)

// Panel is the screen and touch side of the pad, a part of the trusted UI.
type Panel interface {
	// Open draws the prompt and the keypad.
	Open(ctx context.Context, p pinpad.Prompt, l Layout) (Entry, error)
}

// Entry is one PIN entry on a Panel.
type Entry interface {
	// Next waits for a key. It returns within 100 ms of the end of ctx.
	Next(ctx context.Context) (Key, error)
	// Mask shows that n digits have been entered.
	Mask(n int) error
	// Close wipes the keypad off the screen.
	Close() error
}

// NewLayout draws a layout uniformly: Fisher–Yates with rejection sampling, so
// that no permutation is likelier than another.
func NewLayout(random io.Reader) (Layout, error) {
	var l Layout
	for i := range l {
		l[i] = byte(i)
	}
	for i := Cells - 1; i > 0; i-- {
		j, err := below(random, byte(i+1))
		if err != nil {
			return Layout{}, fmt.Errorf("softpad: randomness: %w", err)
		}
		l[i], l[j] = l[j], l[i]
	}
	return l, nil
}

// below returns a uniform number under n.
func below(random io.Reader, n byte) (byte, error) {
	limit := byte(256 - 256%int(n) - 1)
	var b [1]byte
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, err
		}
		if b[0] <= limit {
			return b[0] % n, nil
		}
	}
}
