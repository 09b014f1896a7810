package ledger

import (
	"fmt"
	"math"
	"time"
)

// ScriptState is what has become of a command for a card.
type ScriptState string

// The states of a script.
const (
	ScriptOwed   ScriptState = "owed"   // it is to go with the next answer to the card
	ScriptSent   ScriptState = "sent"   // it went with an answer; what the card did is not known
	ScriptDone   ScriptState = "done"   // the card has carried it out
	ScriptFailed ScriptState = "failed" // the card refused it so often that it is not sent again
	// a later command sets what it was to set: it is not sent any more, though the
	// card may have carried it out
	ScriptReplaced ScriptState = "replaced"
)

// Open reports whether the card is still owed the command.
func (s ScriptState) Open() bool { return s == ScriptOwed || s == ScriptSent }

// Script is a command that an issuer has for a card: written when it is given,
// and there for good, with what the card made of it.
type Script struct {
	// Number is its identifier, tag 9F18, and says which is older.
	Number uint64
	// Card is the card's reference.
	Card string
	// Command is what it does, as the issuer spells it, and Data what it takes;
	// a new PIN is sealed in it.
	Command string
	Data    []byte
	// Early sends it before the card's last word, in template 71; else it goes
	// after it, in 72.
	Early bool
	State ScriptState
	// Authorisation is the request whose answer took it along last, ATC that
	// request's transaction counter; zero where the card's next cryptogram can't
	// tell whether it did this script or one before it.
	Authorisation Key
	ATC           uint16
	// Sent counts how often it was sent, Refused how often the card refused it.
	Sent, Refused int
	// Result is the first byte of the last issuer script result about it (EMV
	// Book 4, A5); zero for none.
	Result           byte
	Created, Changed time.Time
}

// Check says whether s can be written. Errors wrap ErrInvalid.
func (s *Script) Check() error {
	if s.Number == 0 || s.Number > math.MaxUint32 || s.Card == "" || s.Command == "" || s.Sent < 0 || s.Refused < 0 {
		return fmt.Errorf("%w: script without number, card or command", ErrInvalid)
	}
	switch s.State {
	case ScriptOwed, ScriptSent, ScriptDone, ScriptFailed, ScriptReplaced:
	default:
		return fmt.Errorf("%w: script in no state", ErrInvalid)
	}
	if s.Authorisation.IsZero() {
		return nil
	}
	return s.Authorisation.Check()
}
