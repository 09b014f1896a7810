package mobile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
)

// abandon is what is done with a host call that is not waited for any more; its
// zero value does nothing.
type abandon[T any] struct {
	// tell says it to the host.
	tell func()
	// late takes an answer that comes yet; its error finds nobody to tell.
	late func(T) error
}

// await calls the host and waits for it no longer than ctx.
func await[T any](ctx context.Context, doing string, a abandon[T], call func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("mobile: %s: %w", doing, err)
	}
	answers := make(chan protected[T])
	go func() {
		r := protect(doing, call)
		select {
		case answers <- r:
		case <-ctx.Done():
			if a.late != nil && r.err == nil {
				protect(doing, func() (struct{}, error) { return struct{}{}, a.late(r.v) })
			}
		}
	}()
	select {
	case r := <-answers:
		if r.err != nil {
			return none, fmt.Errorf("mobile: %s: %w", doing, r.err)
		}
		return r.v, nil
	case <-ctx.Done():
	}
	if a.tell != nil {
		go protect(doing, func() (struct{}, error) { a.tell(); return struct{}{}, nil })
	}
	return none, fmt.Errorf("mobile: %s: %w", doing, ctx.Err())
}

type protected[T any] struct {
	v   T
	err error
}

// protect calls the host; its panic is an error.
func protect[T any](doing string, call func() (T, error)) (r protected[T]) {
	defer guard(doing, &r.err)
	r.v, r.err = call()
	return r
}

// do is await for a host call without an answer.
func do(ctx context.Context, doing string, call func() error) error {
	_, err := await(ctx, doing, abandon[struct{}]{}, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

type link struct{ host Relay }

// Open closes a connection that comes when nobody waits for it any more.
func (l *link) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	abandoned := abandon[Connection]{late: func(c Connection) error {
		if c == nil {
			return nil
		}
		return c.Close()
	}}
	c, err := await(ctx, "opening the relay", abandoned, l.host.Open)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, errors.New("mobile: the relay gave no connection")
	}
	return &connection{host: c}, nil
}

// connection is an app's connection as a stream. Closing it ends its calls.
type connection struct{ host Connection }

func (c *connection) Read(p []byte) (n int, err error) {
	defer guard("reading from the relay", &err)
	if len(p) == 0 {
		return 0, nil
	}
	b, err := c.host.Read(int32(min(len(p), math.MaxInt32)))
	switch {
	case err != nil:
		return 0, fmt.Errorf("mobile: reading from the relay: %w", err)
	case len(b) == 0:
		return 0, io.EOF
	case len(b) > len(p):
		return 0, fmt.Errorf("mobile: the relay gave %d bytes where %d were asked for", len(b), len(p))
	}
	return copy(p, b), nil
}

func (c *connection) Write(p []byte) (n int, err error) {
	defer guard("writing to the relay", &err)
	if err := c.host.Write(bytes.Clone(p)); err != nil {
		return 0, fmt.Errorf("mobile: writing to the relay: %w", err)
	}
	return len(p), nil
}

func (c *connection) Close() (err error) {
	defer guard("closing the relay", &err)
	return c.host.Close()
}

// newCard is a card behind the app's Transceiver. No bytes are a card that has
// left.
func newCard(t Transceiver, info *CardInfo) (cardreader.Card, error) {
	c := cardreader.FuncConfig{
		ATR: bytes.Clone(info.ATR), HistoricalBytes: bytes.Clone(info.HistoricalBytes), MaxCommand: int(info.MaxCommand),
		Timeout: millis(info.TimeoutMillis),
		Close: func() (err error) {
			defer guard("closing the card", &err)
			return t.Close()
		},
	}
	if info.Contactless {
		c.Interface = cardreader.Contactless
	}
	return cardreader.Func(func(_ context.Context, command []byte) (response []byte, err error) {
		defer guard("transceiving", &err)
		b, err := t.Transceive(bytes.Clone(command))
		if err == nil && len(b) == 0 {
			return nil, cardreader.ErrCardRemoved
		}
		return bytes.Clone(b), err
	}, c)
}

type screen struct{ host Screen }

var _ trusted.UI = (*screen)(nil)

// Assurance is a software's: the unit does not know what draws the screen.
func (*screen) Assurance() channel.Assurance { return channel.AssuranceSoftware }

func (s *screen) Notify(ctx context.Context, n trusted.Notice) error {
	shown := &Notice{Message: string(n.Message), Language: n.Language, params: map[string]string{}}
	for k, v := range n.Params {
		shown.params[k] = v
	}
	return do(ctx, "showing a message", func() error { return s.host.Notify(shown) })
}

func (s *screen) Confirm(ctx context.Context, c trusted.Confirmation) error {
	yes, err := await(ctx, "asking for confirmation", abandon[bool]{tell: s.host.Dismiss}, func() (bool, error) { return s.host.Confirm(newConfirmation(c)) })
	if err == nil && !yes {
		return trusted.ErrCancelled
	}
	return err
}

func (s *screen) Choose(ctx context.Context, labels []string) (int, error) {
	i, err := await(ctx, "asking for an application", abandon[int32]{tell: s.host.Dismiss}, func() (int32, error) {
		return s.host.Choose(&StringList{slices.Clone(labels)})
	})
	switch {
	case err != nil:
		return 0, err
	case i < 0:
		return 0, trusted.ErrCancelled
	case int(i) >= len(labels):
		return 0, fmt.Errorf("mobile: the screen chose application %d of %d", i, len(labels))
	}
	return int(i), nil
}

type panel struct {
	host  Keypad
	tones Tones
}

var _ softpad.Panel = (*panel)(nil)

func (p *panel) Open(ctx context.Context, prompt pinpad.Prompt, l softpad.Layout) (softpad.Entry, error) {
	layout := slices.Clone(l[:])
	err := do(ctx, "opening the keypad", func() error { return p.host.Open(newPrompt(prompt), layout) })
	if err != nil {
		return nil, err
	}
	if p.tones != nil {
		return &soundingEntry{entry{p.host, ctx}, p.tones}, nil
	}
	return &entry{p.host, ctx}, nil
}

// soundingEntry is an entry with tones.
type soundingEntry struct {
	entry
	tones Tones
}

var _ softpad.Toner = (*soundingEntry)(nil)

func (e *soundingEntry) Tone(t softpad.Tone) error {
	return do(e.ctx, "sounding", func() error { return e.tones.Tone(int32(t)) })
}

// entry is one entry of a PIN, whose context bounds what the pad calls without
// one.
type entry struct {
	host Keypad
	ctx  context.Context
}

func (e *entry) Next(ctx context.Context) (softpad.Key, error) {
	k, err := await(ctx, "waiting for a key", abandon[int32]{}, e.host.Next)
	switch {
	case err != nil:
		return 0, err
	case k < 0 || k > KeyAccessible && (k < KeyTouch || k >= KeyTouch+softpad.Cells):
		return 0, fmt.Errorf("mobile: the keypad gave the key %d", k)
	}
	return softpad.Key(k), nil
}

func (e *entry) Mask(n int) error {
	return do(e.ctx, "masking", func() error { return e.host.Mask(int32(n)) })
}

// Close has the keypad wiped also when the context has ended, but waits for it no
// longer than a moment then.
func (e *entry) Close() error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.ctx))
	defer cancel()
	stop := context.AfterFunc(e.ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	return do(ctx, "closing the keypad", e.host.Close)
}
