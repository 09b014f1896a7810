// Package softunit composes a payment unit of the modules that need nothing but
// Go: a sealed file store, software attestation, the channel, a software PIN
// pad, and a text terminal as the trusted user interface unless another is
// given. Its assurance level is software throughout; an app with better modules
// composes payment.Config itself.
package softunit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/console"
	"github.com/payunit/payunit/trusted/vault"
)

// Config says what a unit is made of.
type Config struct {
	// Dir is the folder of the sealed state. No default.
	Dir string
	// Key seals it. No default; vault.InsecureKeyFile seals against nobody
	// who can read the folder.
	Key vault.KeySource
	// State, when set, keeps the state in place of Dir and Key. It is closed
	// with the unit when it is an io.Closer.
	State State
	// Link is the app's way to the server. No default.
	Link trusted.Link
	// Reader is where a card is inserted, TapReader where one is held to. One
	// of them there has to be.
	Reader, TapReader cardreader.Reader
	// Stripe and ChipAttempts are as in payment.Config.
	Stripe       magstripe.Reader
	ChipAttempts int
	// TerminalFile and CAPKFile name the terminal's EMV data and the
	// certification authorities' keys; Terminal and CAKeys, when set, stand in
	// their place.
	TerminalFile, CAPKFile string
	Terminal               *emv.Terminal
	CAKeys                 emv.CAKeys
	// Attester produces the device's evidence; nil means a key in the state
	// (attest.Software). A device keeps to the kind that it enrolled with.
	Attester channel.Attester
	// Activation enrols a device that is not enrolled yet.
	Activation string
	// PINFormat is chosen at enrolment; zero means 4, AES DUKPT.
	PINFormat PINFormat
	// ServerKey, when set, is the only server that enrolment accepts, 32
	// bytes.
	ServerKey []byte
	// ConfigKey and Configuration are as in enrol.Config: the key that signs the
	// server's configurations, and one that the app brings.
	ConfigKey     []byte
	Configuration []byte
	// Channel is the kind of channel; nil means Noise.
	Channel enrol.Channel
	// UI and Panel are the screen; nil takes a text terminal on stdin and
	// stdout for both.
	UI    trusted.UI
	Panel softpad.Panel
	// Offline and Exceptions are as in payment.Config.
	Offline    payment.OfflineLimits
	Exceptions emv.ExceptionFile
	// Limits, Observe, Rand, Now and Timeout are as in payment.Config.
	Limits  payment.Limits
	Observe func(payment.Event)
	Rand    io.Reader
	Now     func() time.Time
	Timeout func(context.Context, time.Duration) (context.Context, context.CancelFunc)
}

// State is what a unit keeps its records, counters and private keys in.
type State interface {
	payment.Storage
	trusted.KeyStore
}

// PINFormat is the PIN block format of the pad and with it the kind of DUKPT.
type PINFormat uint8

// The formats. The zero value is AES.
const (
	FormatAES  PINFormat = iota // ISO 9564-1 format 4 under AES DUKPT
	FormatTDES                  // ISO 9564-1 format 0 under TDES DUKPT
)

func (f PINFormat) iso() uint8 {
	if f == FormatTDES {
		return 0
	}
	return 4
}

// Unit is a composed unit, which closes its state.
type Unit struct {
	*payment.Unit
	state    State
	enrolled bool
	terminal *enrol.Terminal
}

// Open opens the state, or makes the one in Dir, and composes the unit. A device that
// is not enrolled enrols under Activation; without one the error is
// enrol.ErrNotEnrolled.
func Open(ctx context.Context, c Config) (*Unit, error) {
	state := c.State
	if state == nil {
		if c.Dir == "" {
			return nil, errors.New("softunit: State and Dir are empty and have no default")
		}
		v, err := vault.Open(ctx, c.Dir, vault.Config{Key: c.Key, Rand: c.Rand})
		if err != nil {
			return nil, err
		}
		state = v
	}
	u := &Unit{state: state}
	if err := u.compose(ctx, c); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	return u, nil
}

// level is that of the weakest module. The pad is of software in any case.
func (c *Config) level(s State) channel.Assurance {
	return min(channel.AssuranceSoftware, trusted.Weakest(s, c.UI, c.Panel))
}

func (u *Unit) compose(ctx context.Context, c Config) error {
	if c.UI == nil || c.Panel == nil {
		text := console.New(console.Config{})
		if c.UI == nil {
			c.UI = text
		}
		if c.Panel == nil {
			c.Panel = text
		}
	}
	if c.Attester == nil {
		c.Attester = attest.Software{Keys: u.state}
	}
	device := enrol.Config{
		Storage: u.state, Keys: u.state, Link: c.Link, Attester: c.Attester, DeviceClass: "desktop",
		Assurance: c.level(u.state), ServerKey: c.ServerKey, ConfigKey: c.ConfigKey, Configuration: c.Configuration, Counter: u.state, Channel: c.Channel, Rand: c.Rand, Now: c.Now,
	}
	// The files come first: one that is missing must not cost an activation code.
	if err := c.load(); err != nil {
		return err
	}
	t, err := enrol.Open(ctx, device)
	if errors.Is(err, enrol.ErrNotEnrolled) && c.Activation != "" {
		u.enrolled = true
		t, err = enrol.Enrol(ctx, device, c.Activation, c.PINFormat.iso())
	}
	if err != nil {
		return err
	}
	u.terminal = t
	pad, err := softpad.New(softpad.Config{Panel: c.Panel, Keys: t.PINKeys(), Rand: c.Rand})
	if err != nil {
		return err
	}
	pc := payment.Config{
		Device: t, Reader: c.Reader, TapReader: c.TapReader, Stripe: c.Stripe, ChipAttempts: c.ChipAttempts, UI: c.UI, Pad: pad, Storage: u.state, CAKeys: c.CAKeys, Terminal: *c.Terminal,
		Offline: c.Offline, Exceptions: c.Exceptions, Limits: c.Limits, Observe: c.Observe, Rand: c.Rand, Now: c.Now, Timeout: c.Timeout,
	}
	u.Unit, err = payment.New(pc)
	return err
}

// load reads the files that stand for what is not given.
func (c *Config) load() (err error) {
	if c.Reader == nil && c.TapReader == nil {
		return errors.New("softunit: Reader is nil and has no default")
	}
	if c.CAKeys == nil {
		if c.CAKeys, err = read(c.CAPKFile, oda.ParseCAPK); err != nil {
			return err
		}
	}
	if c.Terminal == nil {
		t, err := read(c.TerminalFile, emv.ParseTerminal)
		if err != nil {
			return err
		}
		c.Terminal = &t
	}
	return nil
}

func read[T any](path string, parse func(io.Reader) (T, error)) (T, error) {
	f, err := os.Open(path)
	if err != nil {
		var none T
		return none, fmt.Errorf("softunit: %w", err)
	}
	v, err := parse(f)
	return v, errors.Join(err, f.Close())
}

// Enrolled reports whether the device was enrolled by this Open.
func (u *Unit) Enrolled() bool { return u.enrolled }

// Rotate gives the unit new keys for PINs and messages, as enrol.Terminal does.
func (u *Unit) Rotate(ctx context.Context) error { return u.terminal.Rotate(ctx) }

// Identity returns the terminal id and the merchant id.
func (u *Unit) Identity() (terminalID, merchantID string) { return u.terminal.Identity() }

// Terminal returns the device as it is enrolled.
func (u *Unit) Terminal() *enrol.Terminal { return u.terminal }

// Close closes the state. Nothing is pending that is not durable.
func (u *Unit) Close() error {
	if c, ok := u.state.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
