// Package console is a trusted.UI and a PIN panel on a text terminal. On a real
// terminal keys are read one by one and unechoed, and the keypad is wiped off
// the screen after the entry; on anything else it works line by line.
//
// An ordinary terminal is no PIN entry device: whoever can see the screen and
// the keys sees the PIN. The package says so by its assurance level.
package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/trusted"
)

// ErrInputClosed: the input ended while an answer was waited for.
var ErrInputClosed = errors.New("console: input closed")

// Config configures a console.
type Config struct {
	// In is where keys come from; nil means os.Stdin.
	In io.Reader
	// Out is the screen; nil means os.Stdout.
	Out io.Writer
}

// Console is a text terminal. It reads In from its first question until In
// ends: give it an In of its own. One call runs at a time; a second waits.
type Console struct {
	in  io.Reader
	out io.Writer
	// fd is In's file descriptor when In is a terminal, else -1.
	fd    int
	turn  sync.Mutex
	start sync.Once
	keys  chan byte
}

var (
	_ trusted.UI      = (*Console)(nil)
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
	fd := -1
	if f, ok := c.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fd = int(f.Fd())
	}
	return &Console{in: c.In, out: c.Out, fd: fd, keys: make(chan byte)}
}

// Assurance returns channel.AssuranceSoftware.
func (*Console) Assurance() channel.Assurance { return channel.AssuranceSoftware }

// key returns the next byte of input.
func (c *Console) key(ctx context.Context) (byte, error) {
	// A read of a terminal can't be interrupted portably: one goroutine reads
	// for the console's whole life, and a cancelled wait leaves it waiting.
	c.start.Do(func() {
		go func() {
			defer close(c.keys)
			r := bufio.NewReaderSize(c.in, 16)
			for {
				b, err := r.ReadByte()
				if err != nil {
					return
				}
				c.keys <- b
			}
		}()
	})
	select {
	case b, ok := <-c.keys:
		if !ok {
			return 0, ErrInputClosed
		}
		return b, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("console: waiting for a key: %w", ctx.Err())
	}
}

// raw turns echo and line editing off until the returned function is called.
func (c *Console) raw() (restore func() error, err error) {
	if c.fd < 0 {
		return func() error { return nil }, nil
	}
	old, err := term.MakeRaw(c.fd)
	if err != nil {
		return nil, fmt.Errorf("console: terminal mode: %w", err)
	}
	return func() error { return term.Restore(c.fd, old) }, nil
}

// line reads up to the end of the line, at most max bytes of it.
func (c *Console) line(ctx context.Context, max int) (string, error) {
	var b strings.Builder
	for {
		k, err := c.key(ctx)
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

func (c *Console) print(format string, a ...any) error {
	if _, err := fmt.Fprintf(c.out, format, a...); err != nil {
		return fmt.Errorf("console: writing: %w", err)
	}
	return nil
}

// Notify implements trusted.UI.
func (c *Console) Notify(ctx context.Context, n trusted.Notice) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	text, err := Text(n)
	if err != nil {
		return err
	}
	return c.print("%s\n", text)
}

// Confirm implements trusted.UI: y or yes agrees, anything else cancels.
func (c *Console) Confirm(ctx context.Context, t trusted.Confirmation) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	cash := ""
	if t.Cashback.Minor != 0 {
		cash = ", of which in cash " + t.Cashback.String()
	}
	if err := c.print("%s\n%s %s%s\nAgree? [y/n] ", clean(t.Merchant), strings.ToUpper(clean(t.Kind)), t.Amount, cash); err != nil {
		return err
	}
	a, err := c.line(ctx, 8)
	if err != nil {
		return err
	}
	if a := strings.ToLower(a); a != "y" && a != "yes" {
		return trusted.ErrCancelled
	}
	return nil
}

// Choose implements trusted.UI: a number chooses, anything else cancels.
func (c *Console) Choose(ctx context.Context, labels []string) (int, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	for i, l := range labels {
		if err := c.print("%2d  %s\n", i+1, clean(l)); err != nil {
			return 0, err
		}
	}
	if err := c.print("Which application? [1-%d] ", len(labels)); err != nil {
		return 0, err
	}
	a, err := c.line(ctx, 8)
	if err != nil {
		return 0, err
	}
	var n int
	if _, err := fmt.Sscanf(a, "%d", &n); err != nil || n < 1 || n > len(labels) {
		return 0, trusted.ErrCancelled
	}
	return n - 1, nil
}

// clean takes control characters out of text that came from a card or a
// server, so that it can't move the cursor or fake a prompt.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7F && r < 0xA0 {
			return -1
		}
		return r
	}, s)
}
