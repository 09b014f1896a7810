package softpad

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/pinblock"
)

// withPIN takes a PIN and lends it to use. The PIN lies in one buffer, which is
// zeroed on every way out of here, a panic of the panel or of use included.
func (p *Pad) withPIN(ctx context.Context, prompt pinpad.Prompt, use func(pin secret.Bytes) error) error {
	if !p.busy.TryLock() {
		return fmt.Errorf("%w: another entry is under way", pinpad.ErrUnavailable)
	}
	defer p.busy.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("softpad: PIN entry: %w", err)
	}
	buf := make([]byte, pinblock.MaxPIN)
	defer clear(buf)
	n, err := p.enter(ctx, prompt, buf)
	if err != nil {
		return err
	}
	return use(secret.NewBytes(buf[:n]))
}

// enter fills the buffer and returns the number of digits.
func (p *Pad) enter(ctx context.Context, prompt pinpad.Prompt, buf []byte) (int, error) {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := p.c.AfterFunc(p.c.Timeout, func() { cancel(pinpad.ErrTimeout) })
	defer stop()
	e := &entering{p: p, buf: buf, idle: func() func() bool {
		return p.c.AfterFunc(p.c.Inactivity, func() { cancel(pinpad.ErrTimeout) })
	}}
	stopTicks := e.tell()
	defer stopTicks()
	prompt.Accessible = prompt.Accessible && prompt.AllowAccessible
	for {
		err := e.once(inner, prompt)
		if errors.Is(err, errAccessible) {
			prompt.Accessible = true
			continue
		}
		if err == nil {
			return e.n, nil
		}
		switch {
		case ctx.Err() != nil:
			return 0, fmt.Errorf("softpad: PIN entry: %w", ctx.Err())
		case inner.Err() != nil:
			return 0, context.Cause(inner)
		}
		return 0, err
	}
}

// errAccessible ends an entry that goes on on the accessible keypad.
var errAccessible = errors.New("softpad: change to the accessible keypad")

// entering is one PIN being entered.
type entering struct {
	p   *Pad
	buf []byte
	n   int
	// layout says which digits the keys pressed so far are; nothing between two
	// keypads.
	layout Layout
	shown  atomic.Int32 // n, as far as the app may know it
	idle   func() (stop func() bool)
	toner  Toner
}

// once draws a keypad, follows its keys, and wipes it off the screen.
func (e *entering) once(ctx context.Context, prompt pinpad.Prompt) (err error) {
	defer clear(e.layout[:])
	e.layout = FixedLayout()
	if !prompt.Accessible {
		if e.layout, err = NewLayout(e.p.c.Rand); err != nil {
			return fmt.Errorf("%w: %w", pinpad.ErrUnavailable, err)
		}
	}
	e.reset()
	panel, err := e.p.c.Panel.Open(ctx, prompt, e.layout)
	if err != nil {
		return broken(err)
	}
	defer func() {
		if cerr := panel.Close(); err == nil && cerr != nil {
			err = broken(cerr)
		}
	}()
	e.toner = nil
	if prompt.Accessible {
		e.toner, _ = panel.(Toner)
	}
	for {
		stop := e.idle()
		k, err := panel.Next(ctx)
		stop()
		if err != nil {
			return broken(err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		tone, done, err := e.press(k, prompt)
		if serr := e.sound(tone); serr != nil && err == nil {
			err = broken(serr)
		}
		if done || err != nil {
			return err
		}
		if tone != ToneTaken && tone != ToneDeleted {
			continue
		}
		e.shown.Store(int32(e.n))
		if err := panel.Mask(e.n); err != nil {
			return broken(err)
		}
	}
}

func broken(err error) error { return fmt.Errorf("%w: panel: %w", pinpad.ErrUnavailable, err) }

func (e *entering) reset() {
	clear(e.buf)
	e.n = 0
	e.shown.Store(0)
}

// press does what a key does.
func (e *entering) press(k Key, prompt pinpad.Prompt) (tone Tone, done bool, err error) {
	switch {
	case k < Cells && e.n < len(e.buf):
		e.buf[e.n] = e.layout[k] + '0'
		e.n++
		return ToneTaken, false, nil
	case k == KeyBackspace && e.n > 0:
		e.n--
		e.buf[e.n] = 0
		return ToneDeleted, false, nil
	case k == KeyClear:
		clear(e.buf)
		e.n = 0
		return ToneDeleted, false, nil
	case k == KeyEnter && e.n >= pinblock.MinPIN:
		return ToneDone, true, nil
	case k == KeyCancel:
		return ToneDone, true, pinpad.ErrCancelled
	case k == KeyBypass && prompt.AllowBypass:
		return ToneDone, true, pinpad.ErrBypassed
	case k == KeyAccessible && prompt.AllowAccessible && !prompt.Accessible:
		return ToneDone, true, errAccessible
	case k == KeyTouch+centre:
		return ToneCentre, false, nil
	case k >= KeyTouch && k < KeyTouch+Cells:
		return ToneCell, false, nil
	}
	return ToneRefused, false, nil
}

// sound plays a tone where tones are played.
func (e *entering) sound(t Tone) error {
	if e.toner == nil {
		return nil
	}
	return e.toner.Tone(t)
}

// tell tells the app at fixed moments how many digits there are, whether that has
// changed or not: what it hears does not depend on when a key was pressed.
func (e *entering) tell() (stop func()) {
	c := e.p.c
	if c.Progress == nil {
		return func() {}
	}
	var ended atomic.Bool
	var arm func()
	arm = func() {
		c.AfterFunc(c.Tick, func() {
			if ended.Load() {
				return
			}
			c.Progress(int(e.shown.Load()))
			arm()
		})
	}
	arm()
	return func() { ended.Store(true) }
}
