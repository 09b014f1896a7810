package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted/catalogue"
)

var _ softpad.Panel = (*Console)(nil)

// cellKeys are the keyboard keys of the cells, which lie as the cells do.
const cellKeys = "qweasdzxcv"

// Sequences of ECMA-48 and of xterm: the other screen, which has no history, back
// from it, and an empty screen or line.
const (
	otherScreen = "\x1b[?1049h\x1b[2J\x1b[H"
	backAgain   = "\x1b[2J\x1b[H\x1b[?1049l"
	wipeScreen  = "\x1b[2J\x1b[H"
	wipeLine    = "\r\x1b[2K"
)

// Open implements softpad.Panel. Each digit stands beside the letter to press
// for it; the letters lie on a keyboard as the digits do on the screen.
func (c *Console) Open(ctx context.Context, p pinpad.Prompt, l softpad.Layout) (softpad.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.turn.Lock()
	pg := c.keypad(p, l)
	if pg.err != nil {
		c.turn.Unlock()
		return nil, pg.err
	}
	restore, err := c.raw()
	if err != nil {
		c.turn.Unlock()
		return nil, err
	}
	e := &entry{c: c, restore: restore, fixed: p.Accessible}
	if p.Accessible {
		e.layout = l
	}
	text := pg.String("\n")
	if c.fd >= 0 {
		text = otherScreen + pg.String("\r\n")
	}
	if err := c.print(text); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.drawn = c.drawn()
	return e, nil
}

// keypad lays the PIN entry out: what it is for, how it stands, the cells, the
// other keys.
func (c *Console) keypad(p pinpad.Prompt, l softpad.Layout) *page {
	pg := c.page(p.Language)
	pg.add(pg.text(catalogue.EnterPIN))
	pg.add(pg.amount(p.Amount))
	pg.foreign(p.Label)
	wording := p.Wording()
	if wording == pinpad.WrongPIN || wording == pinpad.WrongPINLastTry {
		pg.add(pg.text(catalogue.PINRetry))
	}
	switch {
	case wording == pinpad.LastTry || wording == pinpad.WrongPINLastTry:
		pg.add(pg.text(catalogue.PINLastTry))
	case wording == pinpad.WrongPIN && p.TriesLeft > 1:
		pg.add(pg.text(catalogue.PINTriesLeft, "tries", strconv.Itoa(p.TriesLeft)))
	}
	pg.cells(p, l)
	keys := []string{
		"Enter=" + pg.text(catalogue.KeyOK), "-=" + pg.text(catalogue.KeyBack), ".=" + pg.text(catalogue.KeyClear), "!=" + pg.text(catalogue.KeyCancel),
	}
	if p.AllowBypass {
		keys = append(keys, "*="+pg.text(catalogue.KeySkip))
	}
	if p.AllowAccessible && !p.Accessible {
		keys = append(keys, "#="+pg.text(catalogue.KeyAccessible))
	}
	for i := range keys {
		keys[i] = strings.ReplaceAll(keys[i], " ", "\u00A0")
	}
	pg.add(strings.Join(keys, " "))
	return pg
}

// cells draws the digits. On the accessible keypad they are typed as they are,
// and lie as on the keys of a telephone.
func (pg *page) cells(p pinpad.Prompt, l softpad.Layout) {
	if p.Accessible {
		pg.add(pg.text(catalogue.PINDigits))
		for row := range 3 {
			pg.lines = append(pg.lines, fmt.Sprintf("  %d   %d   %d", l[3*row], l[3*row+1], l[3*row+2]))
		}
		pg.lines = append(pg.lines, fmt.Sprintf("      %d", l[9]))
		return
	}
	pg.add(pg.text(catalogue.PINLetters))
	for row := range 3 {
		k := cellKeys[3*row:]
		pg.lines = append(pg.lines, fmt.Sprintf("  %c %d   %c %d   %c %d", k[0], l[3*row], k[1], l[3*row+1], k[2], l[3*row+2]))
	}
	pg.lines = append(pg.lines, fmt.Sprintf("        %c %d", cellKeys[9], l[9]))
}

type entry struct {
	c       *Console
	restore func() error
	drawn   time.Time
	layout  softpad.Layout // of the accessible keypad, else nothing
	fixed   bool
	closed  bool
}

var _ softpad.Toner = (*entry)(nil)

// Tone implements softpad.Toner with the terminal's bell: once for a digit that
// was taken, twice for a key that does nothing.
func (e *entry) Tone(t softpad.Tone) error {
	switch t {
	case softpad.ToneTaken:
		return e.c.print("\a")
	case softpad.ToneRefused:
		return e.c.print("\a\a")
	}
	return nil
}

// Next implements softpad.Entry.
func (e *entry) Next(ctx context.Context) (softpad.Key, error) {
	for {
		b, err := e.c.key(ctx, e.drawn)
		if err != nil {
			return 0, err
		}
		if i := strings.IndexByte(cellKeys, b|0x20); i >= 0 && b >= 'A' && !e.fixed {
			return softpad.Key(i), nil
		}
		if i := bytes.IndexByte(e.layout[:], b-'0'); e.fixed && i >= 0 {
			return softpad.Key(i), nil
		}
		if b == '\r' && e.c.fd < 0 {
			// A line may end in two characters; the second, left over, would
			// answer the next question.
			continue
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
		case '#':
			return softpad.KeyAccessible, nil
		}
	}
}

// Mask implements softpad.Entry. Line by line there is nothing to draw on.
func (e *entry) Mask(n int) error {
	if e.c.fd < 0 {
		return nil
	}
	return e.c.print(wipeLine + strings.Repeat("*", n))
}

// Close wipes the entry off a terminal and turns echo on again.
func (e *entry) Close() error {
	if e.closed {
		return nil
	}
	e.closed = true
	defer e.c.turn.Unlock()
	var err error
	if e.c.fd >= 0 {
		err = e.c.print(backAgain)
	}
	return errors.Join(err, e.restore())
}
