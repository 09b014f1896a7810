// Package contactless is the entry point of a contactless reader (EMV
// Contactless Books A and B, 2.10): configuration by combination, pre-processing,
// protocol activation, combination selection, kernel activation and outcome
// processing, and the restarts that Book A's main flow makes. The kernels are
// sub-packages, one each: c2 (Mastercard) and c3 (Visa).
//
// A transaction is an Entry that is activated at Start A, B, C or D; most callers
// take Reader.Pay, which does what a reader does around it and returns a Session
// with the same three steps as a contact one.
//
// It drives a cardreader.Reader: a field is powered by Connect and switched off
// by Close. The radio protocol (Book D) is the reader's.
package contactless

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// Errors that callers branch on.
var (
	// ErrConfig: New was given what can't work.
	ErrConfig = errors.New("contactless: configuration")
	// ErrState: an Entry or Session is in a state that lacks what was asked.
	ErrState = errors.New("contactless: wrong state")
)

// KernelID is the identifier of a kernel (Book B, table 3-4): its one byte, or
// three for a domestic or proprietary kernel. It is a string of raw bytes.
type KernelID string

// The kernels of EMV Contactless Books C-1 to C-8.
const (
	Kernel1 KernelID = "\x01"
	Kernel2 KernelID = "\x02"
	Kernel3 KernelID = "\x03"
	Kernel4 KernelID = "\x04"
	Kernel5 KernelID = "\x05"
	Kernel6 KernelID = "\x06"
	Kernel7 KernelID = "\x07"
	Kernel8 KernelID = "\x08"
)

// String returns the identifier in hex.
func (k KernelID) String() string { return strings.ToUpper(hex.EncodeToString([]byte(k))) }

// Kernel processes the transaction of a selected combination.
type Kernel interface {
	// Activate runs the kernel. What the card or a rule decides is the
	// outcome; an error says that the transaction can't go on at all, and is
	// one of ctx or of the kernel's modules.
	Activate(ctx context.Context, a *Activation) (Outcome, error)
}

// Flag is a configuration flag that may be absent (Book A, table 5-2).
type Flag uint8

// The values of a Flag. The zero value is absence.
const (
	Absent Flag = iota
	No
	Yes
)

// Settings are the configuration data of a combination for a transaction type
// (Book A, table 5-2). Limits are in minor units of the transaction's currency;
// nil means that there is none.
type Settings struct {
	// StatusCheck lets a transaction of one unit of currency ask for a status
	// check.
	StatusCheck Flag
	// ZeroAmount says whether a zero amount is allowed. Absent allows it.
	ZeroAmount Flag
	// ExtendedSelection lets 9F29 take part in the final selection.
	ExtendedSelection Flag
	// TransactionLimit is the amount from which on contactless is not
	// allowed, FloorLimit the highest without online authorisation, CVMLimit
	// the amount from which on the cardholder is verified.
	TransactionLimit, FloorLimit, CVMLimit *uint64
	// TerminalFloorLimit (9F1B) is used when FloorLimit is nil.
	TerminalFloorLimit *uint64
	// TTQ are the terminal transaction qualifiers, nil where the kernel has
	// none.
	TTQ *tags.TTQValue
}

// Combination is an AID with a kernel and its configuration.
type Combination struct {
	AID    []byte
	Kernel KernelID
	// Types are the transaction types (9C) that it is for; empty means all.
	Types    []byte
	Settings Settings
	// Run is the kernel, configured for this combination. No default.
	Run Kernel
}

// Config configures a reader.
type Config struct {
	// Terminal is the terminal's EMV data; its Applications are not used.
	Terminal emv.Terminal
	// Combinations are in the reader's order.
	Combinations []Combination
	// Show takes each user interface request as it becomes due: message,
	// lights, tones. Nil shows nothing.
	Show func(UIRequest)
	// Observe is told what happens, in words without secrets; nil tells
	// nobody.
	Observe func(emv.Event)
	// Restarts bounds how often one transaction may begin anew; zero means 8.
	Restarts int
	// Rand is the source of unpredictable numbers; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Pause waits while the field is off, and while the cardholder takes cards
	// apart; nil waits by the clock.
	Pause func(ctx context.Context, d time.Duration) error
}

// defaultRestarts bounds restarts where Config doesn't: a card that asks for
// ever must not hold the reader.
const defaultRestarts = 8

func (c *Config) complete() error {
	if len(c.Combinations) == 0 {
		return fmt.Errorf("%w: no combinations", ErrConfig)
	}
	for i, x := range c.Combinations {
		switch n := len(x.Kernel); {
		case len(x.AID) < 5 || len(x.AID) > 16:
			return fmt.Errorf("%w: combination %d: AID of %d bytes, want 5 to 16", ErrConfig, i+1, len(x.AID))
		case n == 0 || n > 8:
			return fmt.Errorf("%w: combination %d (%X): kernel identifier of %d bytes", ErrConfig, i+1, x.AID, n)
		case x.Run == nil:
			return fmt.Errorf("%w: combination %d (%X): no kernel and no default", ErrConfig, i+1, x.AID)
		}
	}
	c.Combinations = slices.Clone(c.Combinations)
	if c.Show == nil {
		c.Show = func(UIRequest) {}
	}
	if c.Observe == nil {
		c.Observe = func(emv.Event) {}
	}
	if c.Restarts <= 0 {
		c.Restarts = defaultRestarts
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Pause == nil {
		c.Pause = pause
	}
	return nil
}

// pause waits by the clock.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("contactless: field off: %w", ctx.Err())
	}
}
