package pcsc

import (
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader"
)

// Errors that callers branch on, beside those of cardreader.
var (
	// ErrService: the PC/SC service is not running, or stopped.
	ErrService = errors.New("pcsc: the PC/SC service is not running")
	// ErrNotBuilt: the program was built without the driver. Build it with
	// -tags pcsc; on Linux and macOS that takes cgo, and on Linux the package
	// libpcsclite-dev.
	ErrNotBuilt = errors.New("pcsc: built without PC/SC; build with -tags pcsc, on Linux and macOS with cgo (CGO_ENABLED=1), on Linux with libpcsclite-dev too")
	// ErrUnpowered: the card is in the reader and has no power, as one that did
	// not answer may be said to have: it wraps cardreader.ErrCardMute.
	ErrUnpowered = fmt.Errorf("pcsc: card has no power: %w", cardreader.ErrCardMute)
)

// Error is a return code of PC/SC.
type Error struct {
	// Op is the call, "connecting".
	Op string
	// Code is the return code (PC/SC part 5, table 3-5), 0x8010000B.
	Code uint32
	// Kind is the error of this package or of cardreader that it comes to.
	Kind error
	// Advice says what to do, "" for nothing.
	Advice string
}

// Error says what failed, and what to do.
func (e *Error) Error() string {
	s := fmt.Sprintf("pcsc: %s: %v (%08X)", e.Op, e.Kind, e.Code)
	if e.Advice != "" {
		s += ": " + e.Advice
	}
	return s
}

// Unwrap returns Kind.
func (e *Error) Unwrap() error { return e.Kind }

// returnCode is what a service returns for a failed call.
type returnCode uint32

func (c returnCode) Error() string { return fmt.Sprintf("pcsc: return code %08X", uint32(c)) }

// Return codes (PC/SC part 5, table 3-5).
const (
	codeCancelled         returnCode = 0x80100002
	codeInvalidHandle     returnCode = 0x80100003
	codeUnknownReader     returnCode = 0x80100009
	codeTimeout           returnCode = 0x8010000A
	codeSharingViolation  returnCode = 0x8010000B
	codeNoSmartcard       returnCode = 0x8010000C
	codeProtoMismatch     returnCode = 0x8010000F
	codeSystemCancelled   returnCode = 0x80100012
	codeCommError         returnCode = 0x80100013
	codeNotTransacted     returnCode = 0x80100016
	codeReaderUnavailable returnCode = 0x80100017
	codeNoService         returnCode = 0x8010001D
	codeServiceStopped    returnCode = 0x8010001E
	codeNoReaders         returnCode = 0x8010002E
	codeUnsupportedCard   returnCode = 0x80100065
	codeUnresponsiveCard  returnCode = 0x80100066
	codeUnpoweredCard     returnCode = 0x80100067
	codeResetCard         returnCode = 0x80100068
	codeRemovedCard       returnCode = 0x80100069
)

// codeOf returns the return code in an error, 0 when there is none.
func codeOf(err error) returnCode {
	var c returnCode
	if errors.As(err, &c) {
		return c
	}
	return 0
}

// failed makes the typed error of a failed call.
func failed(op string, err error) error {
	c := codeOf(err)
	if c == 0 {
		return fmt.Errorf("pcsc: %s: %w", op, err)
	}
	e := &Error{Op: op, Code: uint32(c)}
	switch c {
	case codeNoService, codeServiceStopped, codeInvalidHandle, codeSystemCancelled:
		e.Kind, e.Advice = ErrService, startAdvice
	case codeUnknownReader, codeReaderUnavailable, codeNoReaders:
		e.Kind, e.Advice = cardreader.ErrNoReader, "plug the reader in"
	case codeSharingViolation:
		e.Kind, e.Advice = cardreader.ErrBusy, "another program holds the card: end it, or wait"
	case codeNoSmartcard, codeRemovedCard:
		e.Kind = cardreader.ErrCardRemoved
	case codeResetCard:
		// What it was in the middle of is gone, as if it had been taken out.
		e.Kind, e.Advice = cardreader.ErrCardRemoved, "another program reset the card"
	case codeUnresponsiveCard:
		e.Kind, e.Advice = cardreader.ErrCardMute, "the card may be the wrong way round, dirty or no chip card"
	case codeUnpoweredCard:
		e.Kind, e.Advice = ErrUnpowered, "take the card out and put it in again"
	case codeProtoMismatch, codeUnsupportedCard:
		e.Kind, e.Advice = cardreader.ErrProtocol, "the card has neither T=0 nor T=1"
	case codeCommError, codeNotTransacted:
		e.Kind = cardreader.ErrCardMute
	default:
		e.Kind = cardreader.ErrProtocol
	}
	return e
}
