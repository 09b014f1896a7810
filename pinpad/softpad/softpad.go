// Package softpad is a PIN pad in software: a keypad whose digits lie in a new
// order for every entry, PIN blocks under DUKPT keys, and the card's VERIFY.
//
// It is as safe as the panel and the memory that it runs in. On an ordinary
// machine that is a development pad: it says so by its assurance level.
package softpad

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/pinpad/pinblock"
)

// KeySource gives the key of one online PIN; *dukpt.Device is one.
type KeySource interface {
	Next(ctx context.Context) (*dukpt.Transaction, error)
}

// Config configures a pad.
type Config struct {
	// Panel is the screen and its keys. No default.
	Panel Panel
	// Keys encrypt online PINs; without them OnlinePIN is unavailable.
	Keys KeySource
	// Timeout is how long an entry may take; zero means 60 s.
	Timeout time.Duration
	// Rand is for layouts and fill; nil means crypto/rand.
	Rand io.Reader
}

const defaultTimeout = time.Minute

// ISO 9564-1, 8.1.
const (
	minDigits = 4
	maxDigits = 12
)

// Pad is a pinpad.Pad. Safe for concurrent use: a second entry is refused.
type Pad struct {
	c    Config
	busy sync.Mutex
}

var (
	_ pinpad.Pad = (*Pad)(nil)
	_ KeySource  = (*dukpt.Device)(nil)
)

// New makes a pad.
func New(c Config) (*Pad, error) {
	if c.Panel == nil {
		return nil, errors.New("softpad: Panel is nil and has no default")
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Pad{c: c}, nil
}

// Assurance returns channel.AssuranceSoftware.
func (*Pad) Assurance() channel.Assurance { return channel.AssuranceSoftware }

// OnlinePIN implements pinpad.Pad. A key is taken after the PIN is entered, so
// that a cancelled entry uses none up.
func (p *Pad) OnlinePIN(ctx context.Context, prompt pinpad.Prompt, pan secret.PAN) (pinpad.EncryptedBlock, error) {
	if p.c.Keys == nil {
		return pinpad.EncryptedBlock{}, fmt.Errorf("%w: no keys for online PIN", pinpad.ErrUnavailable)
	}
	pin, err := p.enter(ctx, prompt)
	if err != nil {
		return pinpad.EncryptedBlock{}, err
	}
	defer pin.Wipe()
	k, err := p.c.Keys.Next(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return pinpad.EncryptedBlock{}, fmt.Errorf("softpad: key: %w", err)
		}
		return pinpad.EncryptedBlock{}, fmt.Errorf("%w: key: %w", pinpad.ErrUnavailable, err)
	}
	defer k.Wipe()
	block, format, err := k.EncryptPIN(pin, pan, p.c.Rand)
	if err != nil {
		return pinpad.EncryptedBlock{}, fmt.Errorf("%w: %w", pinpad.ErrUnavailable, err)
	}
	return pinpad.EncryptedBlock{Format: format, Block: block, KSN: k.KSN()}, nil
}

// OfflinePIN implements pinpad.Pad.
func (p *Pad) OfflinePIN(ctx context.Context, prompt pinpad.Prompt, c cardreader.Card, key *oda.PublicKey) (apdu.Status, error) {
	pin, err := p.enter(ctx, prompt)
	if err != nil {
		return 0, err
	}
	defer pin.Wipe()
	block, err := pinblock.Encode2(pin)
	if err != nil {
		return 0, fmt.Errorf("softpad: %w", err)
	}
	defer block.Wipe()
	command := apdu.Verify(apdu.VerifyPlaintext, block.Reveal())
	if key != nil {
		data, err := p.encipher(ctx, c, *key, block)
		if err != nil {
			return 0, err
		}
		command = apdu.Verify(apdu.VerifyEnciphered, data)
	}
	r, err := apdu.Send(ctx, c, command)
	if err != nil {
		return 0, fmt.Errorf("softpad: VERIFY: %w", err)
	}
	return r.SW, nil
}

// encipher binds a PIN to the card's challenge (EMV 4.4 Book 2, 7.2).
func (p *Pad) encipher(ctx context.Context, c cardreader.Card, key oda.PublicKey, block secret.Bytes) ([]byte, error) {
	r, err := apdu.Send(ctx, c, apdu.GetChallenge())
	if err != nil {
		return nil, fmt.Errorf("softpad: GET CHALLENGE: %w", err)
	}
	if !r.SW.OK() || len(r.Data) != 8 {
		// Not the transaction fails then, but the method (EMV 4.4 Book 2, 7.2).
		return nil, fmt.Errorf("softpad: GET CHALLENGE: %w: %s with %d bytes", oda.ErrFailed, r.SW, len(r.Data))
	}
	data, err := oda.EncipherPIN(key, block, [8]byte(r.Data), p.c.Rand)
	if err != nil {
		return nil, fmt.Errorf("softpad: %w", err)
	}
	return data, nil
}

// enter takes a PIN as ASCII digits; the caller wipes it.
func (p *Pad) enter(ctx context.Context, prompt pinpad.Prompt) (secret.Bytes, error) {
	if !p.busy.TryLock() {
		return secret.Bytes{}, fmt.Errorf("%w: another entry is under way", pinpad.ErrUnavailable)
	}
	defer p.busy.Unlock()
	layout, err := NewLayout(p.c.Rand)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", pinpad.ErrUnavailable, err)
	}
	defer clear(layout[:])
	inner, cancel := context.WithTimeout(ctx, p.c.Timeout)
	defer cancel()
	e, err := p.c.Panel.Open(inner, prompt, layout)
	if err != nil {
		return secret.Bytes{}, p.ended(ctx, inner, fmt.Errorf("%w: panel: %w", pinpad.ErrUnavailable, err))
	}
	pin, err := keys(inner, e, layout, prompt.AllowBypass)
	if cerr := e.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("%w: panel: %w", pinpad.ErrUnavailable, cerr)
	}
	if err != nil {
		pin.Wipe()
		return secret.Bytes{}, p.ended(ctx, inner, err)
	}
	return pin, nil
}

// ended says whether the caller, the clock or the panel ended an entry.
func (p *Pad) ended(ctx, inner context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("softpad: PIN entry: %w", ctx.Err())
	case inner.Err() != nil:
		return pinpad.ErrTimeout
	}
	return err
}

// keys follows the keys of one entry.
func keys(ctx context.Context, e Entry, l Layout, bypass bool) (secret.Bytes, error) {
	buf := make([]byte, maxDigits)
	n := 0
	done := false
	defer func() {
		if !done {
			clear(buf)
		}
	}()
	for {
		k, err := e.Next(ctx)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("%w: panel: %w", pinpad.ErrUnavailable, err)
		}
		switch {
		case k < Cells:
			if n < maxDigits {
				buf[n] = l[k] + '0'
				n++
			}
		case k == KeyBackspace && n > 0:
			n--
			buf[n] = 0
		case k == KeyClear:
			clear(buf)
			n = 0
		case k == KeyEnter && n >= minDigits:
			done = true
			return secret.NewBytes(buf[:n]), nil
		case k == KeyCancel:
			return secret.Bytes{}, pinpad.ErrCancelled
		case k == KeyBypass && bypass:
			return secret.Bytes{}, pinpad.ErrBypassed
		default:
			continue
		}
		if err := e.Mask(n); err != nil {
			return secret.Bytes{}, fmt.Errorf("%w: panel: %w", pinpad.ErrUnavailable, err)
		}
	}
}
