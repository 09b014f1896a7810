package cardtest

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/payunit/payunit/cardreader"
)

// Step is one exchange of a scripted card. Spaces in the hex are ignored.
type Step struct {
	// Command is what the card must be sent, in hex; "" stands for any command,
	// and a trailing "*" for any continuation.
	Command string
	// Response is the answer in hex, with its status word.
	Response string
	// Err, when not nil, is returned instead: cardreader.ErrCardRemoved.
	Err error
}

// Card answers from a list. An unexpected command, and a step that is left over
// at the end of the test, fail the test itself: the code under test would take
// an error for a broken card and go on.
type Card struct {
	t        testing.TB
	steps    []Step
	atr      []byte
	protocol cardreader.Protocol

	mu     sync.Mutex
	at     int
	closed bool
	log    [][]byte
}

var (
	_ cardreader.Card       = (*Card)(nil)
	_ cardreader.Resetter   = (*Card)(nil)
	_ cardreader.Protocoler = (*Card)(nil)
	_ cardreader.Reader     = (*scriptReader)(nil)
)

// Script returns a card that goes through steps once, in order. Protocol is T1.
func Script(t testing.TB, steps ...Step) *Card {
	t.Helper()
	for i, s := range steps {
		if _, err := unhex(strings.TrimSuffix(s.Command, "*")); err != nil {
			t.Fatalf("cardtest: step %d: command: %v", i+1, err)
		}
		if _, err := unhex(s.Response); err != nil {
			t.Fatalf("cardtest: step %d: response: %v", i+1, err)
		}
	}
	c := &Card{t: t, steps: steps, atr: []byte{0x3B, 0x60, 0x00, 0x00}, protocol: cardreader.T1}
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.at < len(c.steps) && !t.Failed() {
			t.Errorf("cardtest: step %d of %d was never reached: %s", c.at+1, len(c.steps), c.steps[c.at].Command)
		}
	})
	return c
}

// SetProtocol changes the protocol that the card claims.
func (c *Card) SetProtocol(p cardreader.Protocol) { c.protocol = p }

// Reader returns a reader that has c at hand.
func (c *Card) Reader() cardreader.Reader { return &scriptReader{c} }

type scriptReader struct{ card *Card }

func (r *scriptReader) Name() string { return "scripted card" }

func (r *scriptReader) Connect(ctx context.Context) (cardreader.Card, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cardtest: connecting: %w", err)
	}
	r.card.mu.Lock()
	defer r.card.mu.Unlock()
	r.card.closed = false
	return r.card, nil
}

// ATR returns a minimal answer to reset.
func (c *Card) ATR() []byte { return append([]byte(nil), c.atr...) }

// Protocol returns T1, or what SetProtocol said.
func (c *Card) Protocol() cardreader.Protocol { return c.protocol }

// Commands returns copies of the commands so far.
func (c *Card) Commands() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.log...)
}

// Transmit answers with the next step.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, fmt.Errorf("cardtest: transmitting: %w", cardreader.ErrClosed)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("cardtest: transmitting: %w", ctx.Err())
	case len(command) < 4:
		return nil, fmt.Errorf("cardtest: transmitting: %w: command of %d bytes", cardreader.ErrProtocol, len(command))
	}
	c.log = append(c.log, append([]byte(nil), command...))
	if c.at == len(c.steps) {
		c.t.Errorf("cardtest: command after the last step: %X", command)
		return []byte{0x6F, 0x00}, nil
	}
	s := c.steps[c.at]
	c.at++
	if !matches(s.Command, command) {
		c.t.Errorf("cardtest: step %d: command %X, want %s", c.at, command, s.Command)
		return []byte{0x6F, 0x00}, nil
	}
	if s.Err != nil {
		return nil, fmt.Errorf("cardtest: transmitting: %w", s.Err)
	}
	return unhex(s.Response)
}

func matches(pattern string, command []byte) bool {
	if pattern == "" {
		return true
	}
	start, open := strings.CutSuffix(pattern, "*")
	want, err := unhex(start)
	if err != nil {
		return false
	}
	if open {
		return strings.HasPrefix(string(command), string(want))
	}
	return string(command) == string(want)
}

// Reset returns the ATR; the script goes on where it was.
func (c *Card) Reset(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("cardtest: resetting: %w", cardreader.ErrClosed)
	}
	return append([]byte(nil), c.atr...), ctx.Err()
}

// Close closes the card until the next Connect.
func (c *Card) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func unhex(s string) ([]byte, error) {
	return hex.DecodeString(strings.ReplaceAll(s, " ", ""))
}
