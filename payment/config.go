package payment

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/trusted"
)

// Storage is what the unit keeps its journal, results and numbers in.
type Storage interface {
	trusted.Storage
	trusted.Counter
}

// Session is an established channel to the payment server, message by message.
// One that can prove the device again, as the server wants before each payment,
// has a method Attest(ctx, attest.Moment, payment string) error too; payment/enrol's
// has.
type Session interface {
	// Call sends a request and waits for its reply. A reply of
	// trade.KindError comes back as a *trade.Error. After any other error the
	// session is dead, and whether the request arrived is unknown.
	Call(ctx context.Context, kind trade.Kind, body []byte) (trade.Envelope, error)
	Close() error
}

// MessageKey is a key for one request and its response.
type MessageKey interface {
	// KSN is the key serial number that the request carries.
	KSN() []byte
	// MAC is the message authentication code of a request.
	MAC(data []byte) ([]byte, error)
	// VerifyMAC checks the code of the response, in constant time.
	VerifyMAC(data, mac []byte) error
	// Wipe ends the key's use.
	Wipe()
}

// Device is an enrolled terminal: its identity, its channel and its message
// keys. payment/enrol makes it.
type Device interface {
	// Identity returns the terminal id (8 characters) and the merchant id (15
	// at most), ISO 8583 DE 41 and 42.
	Identity() (terminalID, merchantID string)
	// Open brings a channel to the server up.
	Open(ctx context.Context) (Session, error)
	// NextKey returns a key that was never used and never will be again.
	NextKey(ctx context.Context) (MessageKey, error)
}

// keyChanger is a Device that can take new keys from the server when it next opens
// a channel.
type keyChanger interface {
	RotateNext(ctx context.Context) error
}

// Config composes a unit. The fields without a default are the ones that
// decide whom the unit trusts: New fails when one is nil.
type Config struct {
	// Device is the enrolled terminal. No default.
	Device Device
	// Reader is where a card is inserted. No default, but beside a TapReader:
	// then nil takes tapped cards alone.
	Reader cardreader.Reader
	// TapReader is where a card or a phone is held to; nil has none. Where
	// there is one it is used first, for the applications of Terminal that
	// have contactless data; a card that wants to be inserted goes to Reader, and
	// so does the payment when TapReader says that one was
	// (cardreader.ErrOther).
	TapReader cardreader.Reader
	// Stripe reads magnetic stripes, beside Reader; nil reads none. What is taken
	// of a stripe, and when, is the server's policy (trade.EntryPolicy).
	Stripe magstripe.Reader
	// ChipAttempts is how often a chip that does not answer, or not as a card, is
	// tried before its stripe is read in its place, where the policy lets it be;
	// zero means 3.
	ChipAttempts int
	// UI is the trusted user interface. No default.
	UI trusted.UI
	// Pad takes PINs. No default.
	Pad pinpad.Pad
	// Storage is the trusted storage; no other unit may use it meanwhile. No
	// default.
	Storage Storage
	// Monitor looks for signs of tampering before each payment and before each
	// PIN; at any, the unit stops with a *trusted.TamperError. Nil looks for
	// none.
	Monitor trusted.Monitor
	// CAKeys are the certification authorities' public keys. No default.
	CAKeys emv.CAKeys
	// Exceptions are cards that are not taken, inserted or tapped; nil takes
	// those of Terminal. A card is not looked up where the bank is asked anyway.
	Exceptions emv.ExceptionFile
	// Terminal is the terminal's EMV data, of an online-only type unless Offline
	// is set. No default.
	// Terminal id and merchant id are the Device's.
	Terminal emv.Terminal
	// Language is the terminal's, ISO 639-1, for cardholders whose card prefers
	// none that the UI speaks (trusted.Speaker); empty leaves it to the UI.
	Language string
	// MerchantLanguage is that of the merchant's receipts; empty is English.
	MerchantLanguage string
	// ReceiptWidth is the width of receipts on paper in columns: 32, 40 or 48
	// as a rule, 24 at least; zero means 40.
	ReceiptWidth int
	// Dialect is the ISO 8583 dialect; nil means acquirer.Default().
	Dialect *acquirer.Dialect
	// Offline bounds what cards may approve without their bank; the zero value
	// asks the bank each time. A Terminal of an online-only type makes none.
	Offline OfflineLimits
	// Keep bounds the results that are kept of settled payments; zero fields have
	// defaults.
	Keep KeepLimits
	// Limits bound how long each phase may take; zero fields have defaults.
	Limits Limits
	// Observe is told what happens, in words without secrets, from the
	// goroutine that called Pay or Recover; nil tells nobody. It must not
	// call the unit.
	Observe func(Event)
	// Rand is the source of randomness; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Timeout makes the context of a phase that Limits bounds but those of the
	// server; nil means context.WithTimeout. A payment that is recorded or played
	// has its tape's (package cassette).
	Timeout func(context.Context, time.Duration) (context.Context, context.CancelFunc)
}

// ErrConfig: New was given a Config that can't work.
var ErrConfig = errors.New("payment: configuration")

func (c *Config) complete() error {
	for _, f := range []struct {
		name string
		nil  bool
	}{
		{"Device", c.Device == nil},
		{"Reader", c.Reader == nil && c.TapReader == nil},
		{"UI", c.UI == nil},
		{"Pad", c.Pad == nil},
		{"Storage", c.Storage == nil},
		{"CAKeys", c.CAKeys == nil},
	} {
		if f.nil {
			return fmt.Errorf("%w: %s is nil and has no default", ErrConfig, f.name)
		}
	}
	if c.Dialect == nil {
		c.Dialect = acquirer.Default()
	}
	if c.ReceiptWidth == 0 {
		c.ReceiptWidth = 40
	}
	if c.ChipAttempts <= 0 {
		c.ChipAttempts = defaultChipAttempts
	}
	c.Limits.complete()
	c.Keep.complete()
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout == nil {
		c.Timeout = context.WithTimeout
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	return nil
}
