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
	// Inactivity is how long the next key may take; zero means 30 s.
	Inactivity time.Duration
	// Progress, when set, is told how many digits have been entered, every Tick
	// and whether or not a key was pressed: an app that shows the mask learns
	// neither a digit nor when a key was pressed. It is called on a goroutine of
	// its own and has to return soon.
	Progress func(digits int)
	// Tick is the time between two calls of Progress; zero means 500 ms.
	Tick time.Duration
	// Rand is for layouts and fill; nil means crypto/rand.
	Rand io.Reader
	// AfterFunc runs a function once a time has passed, unless it is stopped
	// before; nil means time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
}

const (
	defaultTimeout    = time.Minute
	defaultInactivity = 30 * time.Second
	defaultTick       = 500 * time.Millisecond
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
	for value, standard := range map[*time.Duration]time.Duration{&c.Timeout: defaultTimeout, &c.Inactivity: defaultInactivity, &c.Tick: defaultTick} {
		if *value <= 0 {
			*value = standard
		}
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.AfterFunc == nil {
		c.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	return &Pad{c: c}, nil
}

// Assurance returns channel.AssuranceSoftware.
func (*Pad) Assurance() channel.Assurance { return channel.AssuranceSoftware }

// OnlinePIN implements pinpad.Pad. A key is taken after the PIN is entered, so
// that a cancelled entry uses none up.
func (p *Pad) OnlinePIN(ctx context.Context, prompt pinpad.Prompt, pan secret.PAN) (block pinpad.EncryptedBlock, err error) {
	if p.c.Keys == nil {
		return pinpad.EncryptedBlock{}, fmt.Errorf("%w: no keys for online PIN", pinpad.ErrUnavailable)
	}
	err = p.withPIN(ctx, prompt, func(pin secret.Bytes) error {
		k, err := p.c.Keys.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("softpad: key: %w", err)
			}
			return fmt.Errorf("%w: key: %w", pinpad.ErrUnavailable, err)
		}
		defer k.Wipe()
		b, format, err := k.EncryptPIN(pin, pan, p.c.Rand)
		if err != nil {
			return fmt.Errorf("%w: %w", pinpad.ErrUnavailable, err)
		}
		block = pinpad.EncryptedBlock{Format: format, Block: b, KSN: k.KSN()}
		return nil
	})
	return block, err
}

// OfflinePIN implements pinpad.Pad.
func (p *Pad) OfflinePIN(ctx context.Context, prompt pinpad.Prompt, c cardreader.Card, key *oda.PublicKey) (sw apdu.Status, err error) {
	err = p.withPIN(ctx, prompt, func(pin secret.Bytes) error {
		block, err := pinblock.Encode2(pin)
		if err != nil {
			return fmt.Errorf("softpad: %w", err)
		}
		defer block.Wipe()
		command := apdu.Verify(apdu.VerifyPlaintext, block.Reveal())
		if key != nil {
			data, err := p.encipher(ctx, c, *key, block)
			if err != nil {
				return err
			}
			command = apdu.Verify(apdu.VerifyEnciphered, data)
		}
		r, err := apdu.Send(ctx, c, command)
		if err != nil {
			return fmt.Errorf("softpad: VERIFY: %w", err)
		}
		sw = r.SW
		return nil
	})
	return sw, err
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
