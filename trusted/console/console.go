// Package console is a trusted.UI and a PIN panel on a text terminal of 40
// columns or more, in the languages of trusted/catalogue, on which a tip can be
// added and a card's data entered by hand. On a real terminal keys are read one by
// one and unechoed, keys that were pressed before a question stood on the screen
// answer nothing, and PIN and card data are entered on a screen of its own that is
// wiped afterwards; on anything else it works line by line.
//
// An ordinary terminal is no PIN entry device: whoever can see the screen and
// the keys sees the PIN. The package says so by its assurance level.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/catalogue"
)

// ErrInputClosed: the input ended while an answer was waited for.
var ErrInputClosed = errors.New("console: input closed")

// Columns are how many a screen has that does not say.
const Columns = 40

// settle is how long a question has to stand before a key answers it.
const settle = 250 * time.Millisecond

// Config configures a console.
type Config struct {
	// In is where keys come from; nil means os.Stdin.
	In io.Reader
	// Out is the screen; nil means os.Stdout.
	Out io.Writer
	// Language is the terminal's (ISO 639-1), spoken where a prompt names
	// none that the catalogue has; empty means English.
	Language string
	// Columns is the width of the screen; zero means the terminal's own, or
	// 40.
	Columns int
}

// Console is a text terminal. It reads In from its first question until In
// ends: give it an In of its own. One call runs at a time; a second waits.
type Console struct {
	in       io.Reader
	out      io.Writer
	language string
	columns  int
	// fd is In's file descriptor when In and Out are terminals, else -1.
	fd int
	// echo is In's file descriptor when In alone is a terminal, which then
	// shows what is typed line by line unless it is told not to; else -1.
	echo   int
	settle time.Duration

	turn  sync.Mutex
	start sync.Once
	keys  chan key
	// rest says that what comes up to the end of the line belongs to a question
	// that was given up. Who has the turn sets and reads it.
	rest bool
}

// key is a byte of input and when it came.
type key struct {
	b  byte
	at time.Time
}

var (
	_ trusted.UI      = (*Console)(nil)
	_ trusted.Speaker = (*Console)(nil)
	_ trusted.Assured = (*Console)(nil)
)

// New returns a console.
func New(c Config) *Console {
	if c.In == nil {
		c.In = os.Stdin
	}
	if c.Out == nil {
		c.Out = os.Stdout
	}
	fd, echo := -1, -1
	if in, ok := terminal(c.In); ok {
		if _, ok := terminal(c.Out); ok {
			fd = in
		} else {
			echo = in
		}
	}
	return &Console{in: c.In, out: c.Out, language: catalogue.Choose(nil, c.Language), columns: c.Columns, fd: fd, echo: echo, settle: settle, keys: make(chan key)}
}

func terminal(x any) (fd int, ok bool) {
	f, ok := x.(*os.File)
	if !ok {
		return 0, false
	}
	return int(f.Fd()), term.IsTerminal(int(f.Fd()))
}

// Assurance returns channel.AssuranceSoftware.
func (*Console) Assurance() channel.Assurance { return channel.AssuranceSoftware }

// Languages returns the languages that the console speaks (ISO 639-1).
func (*Console) Languages() []string { return catalogue.Languages() }

// width is the screen's now: a window may be resized.
func (c *Console) width() int {
	if c.columns > 0 {
		return c.columns
	}
	if c.fd >= 0 {
		if w, _, err := term.GetSize(c.fd); err == nil && w > 0 {
			return w
		}
	}
	return Columns
}

// key returns the next byte of input that did not come before a moment; what did
// is dropped. Nothing comes before the zero time.
func (c *Console) key(ctx context.Context, after time.Time) (byte, error) {
	// A read of a terminal can't be interrupted portably: one goroutine reads
	// for the console's whole life, and a cancelled wait leaves it waiting.
	c.start.Do(func() { go c.read() })
	for {
		select {
		case k, ok := <-c.keys:
			if !ok {
				return 0, ErrInputClosed
			}
			if c.rest {
				c.rest = !c.ends(k.b)
				continue
			}
			if k.at.Before(after) {
				continue
			}
			return k.b, nil
		case <-ctx.Done():
			return 0, fmt.Errorf("console: waiting for a key: %w", ctx.Err())
		}
	}
}

// idleReads is how many reads may bring neither a byte nor an error.
const idleReads = 100

// read reads into a buffer of its own, and zeroes each byte as it passes it on: on
// the accessible keypad they are the digits of a PIN.
func (c *Console) read() {
	defer close(c.keys)
	var buf [16]byte
	for idle := 0; idle < idleReads; idle++ {
		n, err := c.in.Read(buf[:])
		// What one read brought came at one moment.
		at := time.Now()
		for i := range n {
			b := buf[i]
			buf[i], idle = 0, 0
			c.keys <- key{b, at}
		}
		if err != nil {
			return
		}
	}
}

// raw turns echo and line editing off until the returned function is called.
func (c *Console) raw() (restore func() error, err error) {
	if c.fd < 0 {
		return func() error { return nil }, nil
	}
	return raw(c.fd)
}

func raw(fd int) (restore func() error, err error) {
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("console: terminal mode: %w", err)
	}
	return func() error { return term.Restore(fd, old) }, nil
}

// drawn is the moment from which on keys answer what was just drawn.
func (c *Console) drawn() time.Time {
	if c.fd < 0 {
		return time.Time{}
	}
	return time.Now().Add(c.settle)
}

// line reads up to the end of the line, at most max bytes of it.
func (c *Console) line(ctx context.Context, max int) (string, error) {
	var b strings.Builder
	for {
		k, err := c.key(ctx, time.Time{})
		if err != nil {
			return "", err
		}
		if k == '\n' {
			return strings.TrimSpace(b.String()), nil
		}
		if b.Len() < max {
			b.WriteByte(k)
		}
	}
}

func (c *Console) print(s string) error {
	if _, err := io.WriteString(c.out, s); err != nil {
		return fmt.Errorf("console: writing: %w", err)
	}
	return nil
}
