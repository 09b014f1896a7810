package console

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
)

var _ softpad.Panel = (*Console)(nil)

// cellKeys are the keyboard keys of the cells, which lie as the cells do.
const cellKeys = "qweasdzxcv"

// keypadLines is how many lines the keypad takes, the mask's included.
const keypadLines = 8

// Open implements softpad.Panel. Each digit stands beside the letter to press
// for it; the letters lie on a keyboard as the digits do on the screen.
func (c *Console) Open(ctx context.Context, p pinpad.Prompt, l softpad.Layout) (softpad.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.turn.Lock()
	restore, err := c.raw()
	if err != nil {
		c.turn.Unlock()
		return nil, err
	}
	e := &entry{c: c, restore: restore}
	if err := c.draw(p, l); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (c *Console) draw(p pinpad.Prompt, l softpad.Layout) error {
	var b strings.Builder
	say := func(format string, a ...any) { fmt.Fprintf(&b, format+"\r\n", a...) }
	say("PIN for %s  %s", p.Amount, clean(p.Label))
	switch {
	case p.TriesLeft == 1:
		say("LAST TRY")
	case p.Attempt > 0:
		say("Wrong PIN, try again")
	default:
		say("Press the letter beside each digit")
	}
	for row := range 3 {
		k := cellKeys[3*row:]
		say("  %c %d   %c %d   %c %d", k[0], l[3*row], k[1], l[3*row+1], k[2], l[3*row+2])
	}
	say("        %c %d", cellKeys[9], l[9])
	hint := "Enter=ok -=back .=clear !=cancel"
	if p.AllowBypass {
		hint += " *=skip"
	}
	say("%s", hint)
	return c.print("%s", b.String())
}

type entry struct {
	c       *Console
	restore func() error
	closed  bool
}

// Next implements softpad.Entry.
func (e *entry) Next(ctx context.Context) (softpad.Key, error) {
	for {
		b, err := e.c.key(ctx)
		if err != nil {
			return 0, err
		}
		if i := strings.IndexByte(cellKeys, b|0x20); i >= 0 && b >= 'A' {
			return softpad.Key(i), nil
		}
		switch b {
		case '\r', '\n':
			return softpad.KeyEnter, nil
		case '-', 0x08, 0x7F:
			return softpad.KeyBackspace, nil
		case '.':
			return softpad.KeyClear, nil
		case '!', 0x1B, 0x03:
			return softpad.KeyCancel, nil
		case '*':
			return softpad.KeyBypass, nil
		}
	}
}

// Mask implements softpad.Entry. Line by line there is nothing to draw on.
func (e *entry) Mask(n int) error {
	if e.c.fd < 0 {
		return nil
	}
	return e.c.print("\r\x1b[K%s", strings.Repeat("*", n))
}

// Close wipes the keypad off a terminal and turns echo on again.
func (e *entry) Close() error {
	if e.closed {
		return nil
	}
	e.closed = true
	defer e.c.turn.Unlock()
	var err error
	if e.c.fd >= 0 {
		err = e.c.print("\r\x1b[%dA\x1b[J", keypadLines-1)
	}
	return errors.Join(err, e.restore())
}
