// Package pinpad is the contract of a PIN entry device: it takes a PIN from the
// cardholder and lets it out only as an encrypted PIN block (ISO 9564-1) or as
// a VERIFY command to the card. No method returns a PIN, and none tells how
// many digits were entered.
package pinpad

import (
	"context"
	"errors"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// Errors that callers branch on, wrapped with what was being done.
var (
	// ErrCancelled: the cardholder pressed cancel.
	ErrCancelled = errors.New("pinpad: cancelled by the cardholder")
	// ErrBypassed: the cardholder skipped the PIN, where the prompt allows it
	// (EMV 4.4 Book 3, 10.5.1).
	ErrBypassed = errors.New("pinpad: PIN entry bypassed")
	// ErrTimeout: nobody entered a PIN in time.
	ErrTimeout = errors.New("pinpad: no PIN in time")
	// ErrUnavailable: the pad does not work, or has no keys for this job.
	ErrUnavailable = errors.New("pinpad: not working")
)

// Prompt is what the pad shows while it waits.
type Prompt struct {
	// Amount stays on display during the entry.
	Amount money.Amount
	// Label is the application's name, from the card.
	Label string
	// Language is an ISO 639-1 code; empty means English.
	Language string
	// TriesLeft is what the card or the issuer still allows; negative means
	// unknown. 1 brings the last-try wording.
	TriesLeft int
	// Attempt counts entries for this payment from 0; from 1 on the pad says
	// that the last PIN was wrong.
	Attempt int
	// AllowBypass lets the cardholder skip the PIN.
	AllowBypass bool
	// AllowAccessible lets the cardholder change to a keypad of fixed layout with
	// tones (Accessible). Only the server's policy grants it: digits that lie
	// where they always do can be read off the movements of a hand.
	AllowAccessible bool
	// Accessible asks for that keypad from the start. Without AllowAccessible it
	// does nothing. What a panel is given says which keypad it is to draw.
	Accessible bool
}

// Wording is which words stand above the keypad (EMV 4.4 Book 4, 11.2).
type Wording uint8

// The wordings.
const (
	// EnterPIN: the first entry.
	EnterPIN Wording = iota
	// WrongPIN: the last PIN was wrong, and there are tries left.
	WrongPIN
	// LastTry: the first entry, and the card takes one more wrong PIN at most.
	LastTry
	// WrongPINLastTry: the last PIN was wrong, and this is the last try.
	WrongPINLastTry
)

// Wording returns the words to show.
func (p Prompt) Wording() Wording {
	switch {
	case p.TriesLeft == 1 && p.Attempt > 0:
		return WrongPINLastTry
	case p.TriesLeft == 1:
		return LastTry
	case p.Attempt > 0:
		return WrongPIN
	}
	return EnterPIN
}

// EncryptedBlock is an online PIN as it leaves the pad.
type EncryptedBlock struct {
	// Format is the ISO 9564-1 format: 0 or 4 (3 where a pad uses it).
	Format uint8
	// Block is 8 bytes for format 0 and 3, 16 bytes for format 4.
	Block []byte
	// KSN is the key serial number: 10 bytes for TDES DUKPT, 12 bytes for AES
	// DUKPT (ANSI X9.24-1 and X9.24-3).
	KSN []byte
}

// Pad takes PINs. One entry runs at a time; a second returns ErrUnavailable.
// Both methods return within 100 ms of the end of ctx with an error that wraps
// ctx.Err(), the PIN wiped. Errors: ErrCancelled, ErrBypassed, ErrTimeout,
// ErrUnavailable. Package padtest has the contract as a test.
type Pad interface {
	// OnlinePIN takes a PIN and encrypts it for the issuer, bound to the PAN.
	OnlinePIN(ctx context.Context, p Prompt, pan secret.PAN) (EncryptedBlock, error)
	// OfflinePIN takes a PIN and sends it to the card in a VERIFY command, in
	// clear when key is nil, else enciphered under it with a challenge from
	// the card (EMV 4.4 Book 2, 7). The card's status word is returned as it
	// came: 9000, 63Cx, 6983, 6984 are outcomes, not errors.
	OfflinePIN(ctx context.Context, p Prompt, c cardreader.Card, key *oda.PublicKey) (apdu.Status, error)
}
