package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
)

// ErrUnexpected is wrapped by every *Mismatch.
var ErrUnexpected = errors.New("trace: command that the trace does not hold")

// Mismatch says which command a replay did not expect. It names no data.
type Mismatch struct {
	// Exchange is the number of the exchange, from 1; one more than there are
	// when the trace was at its end.
	Exchange int
	Reason   string
}

// Error implements error.
func (m *Mismatch) Error() string { return fmt.Sprintf("trace: exchange %d: %s", m.Exchange, m.Reason) }

// Unwrap returns ErrUnexpected.
func (*Mismatch) Unwrap() error { return ErrUnexpected }

// Card replays a trace, once and in order. With MatchCommand each command must be
// the next one of the trace; with MatchHeader exchanges may be passed over, since
// a terminal with other data, or one that can't authenticate a masked card, does
// not ask for everything that the recorded one did.
//
// A kernel takes the error of an unexpected command for a broken card, and may
// go on to an outcome; a test asks Err and Unused at its end.
type Card struct {
	t *Trace

	mu     sync.Mutex
	at     int // the next exchange
	used   int
	closed bool
	err    error
	onDone func()
}

var (
	_ cardreader.Card       = (*Card)(nil)
	_ cardreader.Protocoler = (*Card)(nil)
	_ cardreader.Interfacer = (*Card)(nil)
	_ cardreader.Reader     = (*replayReader)(nil)
)

// NewCard returns a card that replays t from its start. It keeps t, which must
// not change.
func NewCard(t *Trace) *Card { return &Card{t: t} }

// NewReader returns a reader that has a card at hand which replays t from its
// start at each Connect. It gives out one card at a time.
func NewReader(name string, t *Trace) cardreader.Reader { return &replayReader{name: name, t: t} }

type replayReader struct {
	name string
	t    *Trace

	mu   sync.Mutex
	busy bool
}

func (r *replayReader) Name() string { return r.name }

func (r *replayReader) Connect(ctx context.Context) (cardreader.Card, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("trace: connecting: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		return nil, fmt.Errorf("trace: connecting: %w", cardreader.ErrBusy)
	}
	r.busy = true
	c := NewCard(r.t)
	c.onDone = func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = false
	}
	return c, nil
}

// ATR returns a copy of the recorded answer to reset.
func (c *Card) ATR() []byte { return slices.Clone(c.t.ATR) }

// Protocol returns the recorded protocol.
func (c *Card) Protocol() cardreader.Protocol { return c.t.Protocol }

// Interface returns the recorded interface.
func (c *Card) Interface() cardreader.Interface { return c.t.Interface }

// Transmit returns the next recorded response. A command that is not the next
// recorded one fails with a *Mismatch, and so does every command after it.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, fmt.Errorf("trace: transmitting: %w", cardreader.ErrClosed)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("trace: transmitting: %w", ctx.Err())
	case len(command) < 4:
		return nil, fmt.Errorf("trace: transmitting: %w: command of %d bytes", cardreader.ErrProtocol, len(command))
	case c.err != nil:
		return nil, c.err
	}
	i, reason := c.search(command)
	if reason != "" {
		c.err = &Mismatch{c.at + 1, reason}
		return nil, c.err
	}
	c.at = i + 1
	c.used++
	return slices.Clone(c.t.Exchanges[i].Response), nil
}

// search finds the exchange that answers a command, or says why there is none.
func (c *Card) search(command []byte) (at int, reason string) {
	if c.at == len(c.t.Exchanges) {
		return 0, fmt.Sprintf("command %X after the last one of the trace", command[:4])
	}
	for i := c.at; i < len(c.t.Exchanges); i++ {
		why := c.compare(command, c.t.Exchanges[i].Command)
		if why == "" {
			return i, ""
		}
		if i == c.at {
			reason = why
		}
		if c.t.Match == MatchCommand {
			break
		}
	}
	return 0, reason
}

// compare returns why a command is not a recorded one, "" when it is.
func (c *Card) compare(command, want []byte) string {
	if !bytes.Equal(command[:4], want[:4]) {
		return fmt.Sprintf("command %X, the trace has %X", command[:4], want[:4])
	}
	if c.t.Match == MatchHeader && command[1] != apdu.INSSelect {
		return ""
	}
	got := command
	if c.t.Masked {
		// Compare what the recorder would have kept of it.
		got = slices.Clone(command)
		defer clear(got)
		maskCommand(got)
	}
	if c.t.Match == MatchHeader {
		// Readers differ in the Le that they append to SELECT.
		g, gerr := apdu.ParseCommand(got)
		w, werr := apdu.ParseCommand(want)
		if gerr == nil && werr == nil {
			got, want = g.Data, w.Data
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("command %X, %d bytes, the trace has %d", command[:4], len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Sprintf("command %X differs at byte %d", command[:4], i)
		}
	}
	return ""
}

// Err returns the first *Mismatch, nil when there was none.
func (c *Card) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Unused returns how many exchanges of the trace were passed over or not reached.
func (c *Card) Unused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.t.Exchanges) - c.used
}

// Close ends the replay. A second Close does nothing.
func (c *Card) Close() error {
	c.mu.Lock()
	done := c.onDone
	c.onDone = nil
	c.closed = true
	c.mu.Unlock()
	if done != nil {
		done()
	}
	return nil
}
