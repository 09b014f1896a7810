package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/catalogue"
)

// maxField is how much a field holds: more than any answer is long.
const maxField = 24

// Keys of every field. Those of the PIN's keypad mean the same here.
const (
	keyBack      = '-'
	keyBackspace = 0x08
	keyDelete    = 0x7F
	keyClearLine = 0x15 // Ctrl-U
)

// field holds what was typed, in one place that can be wiped.
type field struct {
	b [maxField]byte
	n int
}

func (f *field) bytes() []byte { return f.b[:f.n] }

func (f *field) wipe() { *f = field{} }

func (f *field) add(b byte, most int) bool {
	if f.n >= min(most, maxField) {
		return false
	}
	f.b[f.n] = b
	f.n++
	return true
}

func (f *field) back() {
	if f.n > 0 {
		f.n--
		f.b[f.n] = 0
	}
}

// question is something to be typed and ended by Enter.
type question struct {
	// page lays out what stands above the field; wrong is set when what was
	// typed last was no answer.
	page func(wrong bool) *page
	// takes reports whether a character may be part of an answer; most is how
	// many there may be.
	takes func(b byte) bool
	most  int
	// clear is the key that empties the field, besides Ctrl-U.
	clear byte
	// show appends what stands on the screen for what was typed.
	show func(dst, typed []byte) []byte
	// answers reports whether what was typed is an answer.
	answers func(typed []byte) bool
}

// screen gives questions a screen of their own, on a terminal, until the returned
// function is called: nothing of it stays. A keyboard without a screen does not
// show by itself what is typed that is secret. The caller holds the turn.
func (c *Console) screen(secret bool) (wipe func() error, err error) {
	if c.fd < 0 {
		if !secret || c.echo < 0 {
			return func() error { return nil }, nil
		}
		return raw(c.echo)
	}
	restore, err := raw(c.fd)
	if err != nil {
		return nil, err
	}
	wipe = func() error { return errors.Join(c.print(backAgain), restore()) }
	if err := c.print(otherScreen); err != nil {
		return nil, errors.Join(err, wipe())
	}
	return wipe, nil
}

// ask puts a question until it is answered; f holds the answer, and is the caller's
// to wipe. Keys that came before after are none of it.
func (c *Console) ask(ctx context.Context, q question, f *field, after time.Time) error {
	for wrong := false; ; wrong = true {
		f.wipe()
		pg := q.page(wrong)
		if pg.err != nil {
			return pg.err
		}
		strange := false
		var err error
		if c.fd >= 0 {
			if err = c.print(wipeScreen + pg.String("\r\n")); err == nil {
				err = c.typeKeys(ctx, q, f, after)
			}
		} else if err = c.print(pg.String("\n")); err == nil {
			strange, err = c.typeLine(ctx, q, f)
		}
		switch {
		case err != nil:
			return err
		case !strange && q.answers(f.bytes()):
			return nil
		}
	}
}

// typeKeys reads key by key, and shows what is to be shown. What is no part of an
// answer does nothing.
func (c *Console) typeKeys(ctx context.Context, q question, f *field, after time.Time) error {
	for {
		if err := c.draw(q, f); err != nil {
			return err
		}
		b, err := c.key(ctx, after)
		switch {
		case err != nil:
			return err
		case b == '\r' || b == '\n':
			return nil
		case cancels(b):
			return trusted.ErrCancelled
		case b == keyBack || b == keyBackspace || b == keyDelete:
			f.back()
		case b == q.clear || b == keyClearLine:
			f.wipe()
		case q.takes(b):
			f.add(b, q.most)
		}
	}
}

// draw writes the field by way of a buffer that is wiped.
func (c *Console) draw(q question, f *field) error {
	var buf [4 * maxField]byte
	defer clear(buf[:])
	line := q.show(append(buf[:0], wipeLine...), f.bytes())
	defer clear(line)
	if _, err := c.out.Write(line); err != nil {
		return fmt.Errorf("console: writing: %w", err)
	}
	return nil
}

// typeLine reads a line. It is strange when it holds anything that is no part of
// an answer: nobody sees that it was left out, so it is not.
func (c *Console) typeLine(ctx context.Context, q question, f *field) (strange bool, err error) {
	cancelled, begun := false, false
	for {
		b, err := c.key(ctx, time.Time{})
		if err != nil {
			// What is still to come of this line answers no other question.
			c.rest = begun
			return false, err
		}
		begun = true
		switch {
		case c.ends(b):
			if cancelled {
				return false, trusted.ErrCancelled
			}
			return strange, nil
		case b == 0x03 && c.echo >= 0:
			return false, trusted.ErrCancelled
		case b == '\r' || b == ' ':
		case cancels(b):
			cancelled = true
		case b == keyBackspace || b == keyDelete:
			f.back()
		case !q.takes(b) || !f.add(b, q.most):
			strange = true
		}
	}
}

// ends reports whether a byte ends a line: a terminal that is told not to echo
// passes Enter on as it is.
func (c *Console) ends(b byte) bool { return b == '\n' || b == '\r' && c.echo >= 0 }

// keysLine names the keys of a field.
func (pg *page) keysLine(clear byte) {
	keys := []string{
		"Enter=" + pg.text(catalogue.KeyOK), string(keyBack) + "=" + pg.text(catalogue.KeyBack),
		string(rune(clear)) + "=" + pg.text(catalogue.KeyClear), "!=" + pg.text(catalogue.KeyCancel),
	}
	for i := range keys {
		keys[i] = strings.ReplaceAll(keys[i], " ", "\u00A0")
	}
	pg.add(strings.Join(keys, " "))
}

func digit(b byte) bool { return b >= '0' && b <= '9' }
