// Package magstripe is the contract of a magnetic stripe reader, and the tracks
// of a payment card's stripe as ISO/IEC 7813 lays them out: strictly, since
// whatever is let through here ends in a message to an issuer.
//
// A stripe authenticates nothing. It is copied by holding it to another reader;
// what speaks for the card is the value in its discretionary data that only its
// issuer can check.
package magstripe

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// ErrTrack is wrapped by *TrackError: what was read is no track of a payment
// card. The cardholder may swipe again.
var ErrTrack = errors.New("magstripe: track")

// TrackError says where a track is wrong. It holds nothing of the track.
type TrackError struct {
	// Track is 1 or 2, 0 where the two contradict each other.
	Track int
	// Offset counts characters from the start sentinel; -1 for the whole.
	Offset int
	// Reason is the rule that is broken.
	Reason string
}

// Error names track, place and rule.
func (e *TrackError) Error() string {
	s := "magstripe: tracks"
	if e.Track != 0 {
		s = fmt.Sprintf("magstripe: track %d", e.Track)
	}
	if e.Offset >= 0 {
		s += fmt.Sprintf(": character %d", e.Offset)
	}
	return s + ": " + e.Reason
}

// Unwrap returns ErrTrack.
func (*TrackError) Unwrap() error { return ErrTrack }

// Reader is a magnetic stripe reader.
type Reader interface {
	// Name names the reader for people.
	Name() string
	// Swipe waits for a card to be swiped. It returns within 100 ms of the end
	// of ctx with an error that wraps ctx.Err(). An error that wraps ErrTrack
	// is a bad swipe, after which another may be good; any other is the
	// reader's. The caller wipes the stripe.
	Swipe(ctx context.Context) (Stripe, error)
}

// Stripe is what was read. Track 2 is there in any case, track 1 where the card
// has one that the reader reads.
type Stripe struct {
	Track1 Track1
	Track2 secret.Track2
}

// ServiceCode returns what the card may be used for.
func (s Stripe) ServiceCode() ServiceCode { return ServiceCode(s.Track2.ServiceCode()) }

// Wipe zeroes the tracks.
func (s Stripe) Wipe() {
	s.Track1.Wipe()
	s.Track2.Wipe()
}

// ServiceCode is the three digits of a service code (ISO/IEC 7813, 4.6): where a
// card may be used, who authorises, and for what and how the cardholder is
// verified.
type ServiceCode string

// Chip reports whether the card has a chip, which is to be used where there is
// a reader for it: 2xx and 6xx.
func (c ServiceCode) Chip() bool { return c.digit(0) == '2' || c.digit(0) == '6' }

// National reports whether the card is for use in its own country alone: 5xx and
// 6xx.
func (c ServiceCode) National() bool { return c.digit(0) == '5' || c.digit(0) == '6' }

// Test reports whether it is a test card: 9xx.
func (c ServiceCode) Test() bool { return c.digit(0) == '9' }

// CashOnly reports whether the card is good for cash alone, which a merchant does
// not sell: xx3 and xx4.
func (c ServiceCode) CashOnly() bool { return c.digit(2) == '3' || c.digit(2) == '4' }

// PIN says whether the cardholder enters a PIN.
func (c ServiceCode) PIN() PINRule {
	switch c.digit(2) {
	case '0', '3', '5':
		return PINRequired
	case '6', '7':
		return PINWherePad
	}
	return NoPIN
}

func (c ServiceCode) digit(i int) byte {
	if len(c) != 3 {
		return 0
	}
	return c[i]
}

// PINRule is what a service code says about the PIN.
type PINRule uint8

// The rules.
const (
	NoPIN       PINRule = iota // none is asked for
	PINRequired                // without one there is no payment
	PINWherePad                // where the terminal has a pad
)
