package cassette

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader"
)

const (
	portCard   = "card"
	portTap    = "tap"
	opTransmit = "transmit"
)

// Reader returns a reader that cards are put into.
func (t *Tape) Reader(r cardreader.Reader) cardreader.Reader { return &reader{t, portCard, r} }

// TapReader returns a reader that cards are held to.
func (t *Tape) TapReader(r cardreader.Reader) cardreader.Reader { return &reader{t, portTap, r} }

type reader struct {
	t    *Tape
	port string
	r    cardreader.Reader
}

// Name returns the reader's name, of a cassette its own.
func (r *reader) Name() string {
	if r.r == nil {
		return "cassette"
	}
	return r.r.Name()
}

// connected is what a card is besides its commands.
type connected struct {
	ATR       hexBytes `json:"atr"`
	Protocol  string   `json:"protocol,omitempty"`
	Interface string   `json:"interface"`
	Resets    bool     `json:"resets,omitempty"`
	Waits     bool     `json:"waits,omitempty"`
}

func (r *reader) Connect(ctx context.Context) (cardreader.Card, error) {
	c := &card{t: r.t, port: r.port}
	about, err := do(r.t, call{ctx: ctx, port: r.port, op: "connect"}, func() (a connected, err error) {
		if c.c, err = r.r.Connect(ctx); err != nil {
			return a, err
		}
		a.ATR = c.c.ATR()
		a.Interface = cardreader.Contact.String()
		if x, ok := c.c.(cardreader.Interfacer); ok {
			a.Interface = x.Interface().String()
		}
		if x, ok := c.c.(cardreader.Protocoler); ok && x.Protocol() != cardreader.ProtocolUnknown {
			a.Protocol = x.Protocol().String()
		}
		_, a.Resets = c.c.(cardreader.Resetter)
		_, a.Waits = c.c.(cardreader.RemovalWaiter)
		return a, nil
	})
	if err != nil {
		return nil, err
	}
	c.about = about
	switch {
	case about.Resets && about.Waits:
		return both{resetting{c}, waiting{c}}, nil
	case about.Resets:
		return resetting{c}, nil
	case about.Waits:
		return waiting{c}, nil
	}
	return c, nil
}

type card struct {
	t     *Tape
	port  string
	c     cardreader.Card
	about connected
}

type (
	resetting struct{ *card }
	waiting   struct{ *card }
	both      struct {
		resetting
		w waiting
	}
)

var (
	_ cardreader.Protocoler    = (*card)(nil)
	_ cardreader.Interfacer    = (*card)(nil)
	_ cardreader.Resetter      = both{}
	_ cardreader.RemovalWaiter = both{}
)

func (c *card) ATR() []byte { return slices.Clone(c.about.ATR) }

func (c *card) Protocol() cardreader.Protocol {
	for _, p := range []cardreader.Protocol{cardreader.T0, cardreader.T1, cardreader.TCL} {
		if p.String() == c.about.Protocol {
			return p
		}
	}
	return cardreader.ProtocolUnknown
}

func (c *card) Interface() cardreader.Interface {
	if c.about.Interface == cardreader.Contactless.String() {
		return cardreader.Contactless
	}
	return cardreader.Contact
}

// Transmit's lines are a trace's where the card answered.
func (c *card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	ask := upperHex(command)
	if c.t.playing != nil {
		answer, err := do[string](c.t, call{ctx: ctx, port: c.port, op: opTransmit, ask: ask}, nil)
		if err != nil {
			return nil, err
		}
		b, err := hex.DecodeString(answer)
		if err != nil {
			return nil, c.t.mismatch(call{port: c.port, op: opTransmit}, 0, "the recorded response is not hexadecimal")
		}
		return b, nil
	}
	began := c.t.recording.now()
	response, err := c.c.Transmit(ctx, command)
	took := c.t.recording.now().Sub(began)
	if err != nil || len(response) < 2 {
		c.t.record(call{ctx: ctx, port: c.port, op: opTransmit, ask: ask}, upperHex(response), err)
		return response, err
	}
	c.t.exchange(c.port, ask, upperHex(response), max(0, took))
	return response, nil
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// exchange writes a command that was answered.
func (t *Tape) exchange(port, command, response string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	us := took.Microseconds()
	e := entry{Micros: &us, Cmd: &command, Resp: &response}
	if port != portCard {
		e.Port = port
	}
	t.write(e)
}

func (c *card) Close() error {
	_, err := do(c.t, call{port: c.port, op: "close"}, func() (none, error) { return none{}, c.c.Close() })
	return err
}

func (r resetting) Reset(ctx context.Context) ([]byte, error) {
	return do(r.t, call{ctx: ctx, port: r.port, op: "reset"}, func() (hexBytes, error) {
		return bytesOf(r.c.(cardreader.Resetter).Reset(ctx))
	})
}

func (w waiting) WaitRemoval(ctx context.Context) error {
	_, err := do(w.t, call{ctx: ctx, port: w.port, op: "wait-removal"}, func() (none, error) {
		return none{}, w.c.(cardreader.RemovalWaiter).WaitRemoval(ctx)
	})
	return err
}

func (b both) WaitRemoval(ctx context.Context) error { return b.w.WaitRemoval(ctx) }
