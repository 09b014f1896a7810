package emv

import (
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Errors that callers branch on. An error ends the session; what a card or a
// rule decides is an Outcome.
var (
	// ErrConfig: New or ParseTerminal was given something that can't work.
	ErrConfig = errors.New("emv: configuration")
	// ErrCard is wrapped by *CardError and *StatusError: the card broke a
	// rule for which the standard ends the session.
	ErrCard = errors.New("emv: card")
	// ErrCardBlocked: the card answers SELECT with 6A81.
	ErrCardBlocked = errors.New("emv: card blocked")
	// ErrNoApplication: card and terminal have no application in common, or
	// none that the card lets be used.
	ErrNoApplication = errors.New("emv: no application in common")
	// ErrNotUsable stands beside ErrNoApplication where there was one in common,
	// and the card has blocked it or refuses it: no reason to read the card in
	// another way.
	ErrNotUsable = errors.New("emv: the card lets no application be used")
	// ErrCancelled: the cardholder cancelled. A Chooser or PINVerifier
	// returns it.
	ErrCancelled = errors.New("emv: cancelled by the cardholder")
	// ErrState: a method was called in a state that does not have it.
	ErrState = errors.New("emv: wrong state")
)

// CardError is a breach of the standard by the card's data.
type CardError struct {
	// Step is where in the transaction it was noticed.
	Step Step
	// Tag is the data object concerned, 0 for none.
	Tag tlv.Tag
	// Reason is in words, without any of the card's data.
	Reason string
	// Err is the cause, where there is one.
	Err error
}

// Error implements error.
func (e *CardError) Error() string {
	s := "emv: " + string(e.Step)
	if e.Tag != 0 {
		s += ": tag " + e.Tag.String()
	}
	s += ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns ErrCard and the cause.
func (e *CardError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrCard}
	}
	return []error{ErrCard, e.Err}
}

// StatusError is a status word for which the standard ends the session.
type StatusError struct {
	Step Step
	// Command is the command's name.
	Command string
	SW      apdu.Status
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("emv: %s: %s answered %s", e.Step, e.Command, e.SW)
}

// Unwrap returns ErrCard.
func (*StatusError) Unwrap() error { return ErrCard }

func breach(step Step, tag tlv.Tag, reason string) error {
	return &CardError{Step: step, Tag: tag, Reason: reason}
}
