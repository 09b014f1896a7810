package mobile

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/config"
)

// The codes of ErrorCode.
const (
	CodeNone         = ""
	CodeCancelled    = "cancelled"     // by the app
	CodeBusy         = "busy"          // the unit is in the middle of something
	CodeConfig       = "config"        // the configuration or an argument can't work
	CodeOrder        = "order"         // the order can't be paid: its name, or what it asks for
	CodeAlreadyPaid  = "already-paid"  // by another unit
	CodeVoided       = "voided"        // paid, and undone
	CodeOrderPending = "order-pending" // another unit has it under way
	CodeOwed         = "owed"          // an earlier payment is not settled
	CodeRefused      = "refused"       // the server refuses for good what the order owes it
	CodeServer       = "server"        // out of reach, or did not answer as agreed
	CodeAttestation  = "attestation"   // the evidence of device or server was refused
	CodeNotEnrolled  = "not-enrolled"  // Config.Activation is needed
	// CodeConfiguration: the server's configuration is refused, or has ended: bring
	// its present one (Unit.Configure).
	CodeConfiguration = "configuration"
	CodeCardRemoved   = "card-removed"     // before anything was requested
	CodeCard          = "card"             // could not be read, or broke the rules
	CodePIN           = "pin"              // the PIN pad did not work
	CodeStorageFull   = "storage-full"     // nothing was changed
	CodeStorage       = "storage-tampered" // altered, or rolled back
	CodeInUse         = "storage-in-use"   // another unit has the state open
	CodeClosed        = "closed"           // the unit was closed
	CodeInternal      = "internal"         // a defect: please report it
	CodeOther         = "other"            // told in words alone
)

// configErr is a configuration or an argument that can't work.
type configErr struct{ err error }

func (e *configErr) Error() string { return "mobile: " + e.err.Error() }
func (e *configErr) Unwrap() error { return e.err }

func configError(text string) error { return &configErr{errors.New(text)} }

// internalError is a panic that was caught at the border. Its value may hold
// anything and is not told; its type is.
type internalError struct{ doing, kind string }

func (e *internalError) Error() string {
	return fmt.Sprintf("mobile: %s: internal defect (%s)", e.doing, e.kind)
}

// guard turns a panic into an error.
func guard(doing string, err *error) {
	if p := recover(); p != nil {
		*err = &internalError{doing, fmt.Sprintf("%T", p)}
	}
}

// ErrorCode tells the kind of an error that this package returned; CodeNone for
// nil.
func ErrorCode(err error) string {
	if err == nil {
		return CodeNone
	}
	var wrong *configErr
	var internal *internalError
	switch {
	case errors.As(err, &internal):
		return CodeInternal
	case errors.As(err, &wrong):
		return CodeConfig
	}
	// The first that fits: the causes stand before what they cause.
	for _, k := range []struct {
		is   error
		code string
	}{
		{errClosed, CodeClosed},
		{context.Canceled, CodeCancelled},
		{payment.ErrBusy, CodeBusy},
		{payment.ErrConfig, CodeConfig},
		{payment.ErrOrder, CodeOrder},
		{payment.ErrUnsupported, CodeOrder},
		{payment.ErrAlreadyPaid, CodeAlreadyPaid},
		{payment.ErrVoided, CodeVoided},
		{payment.ErrOrderPending, CodeOrderPending},
		{payment.ErrRefused, CodeRefused},
		{payment.ErrOwed, CodeOwed},
		{enrol.ErrNotEnrolled, CodeNotEnrolled},
		{config.ErrRefused, CodeConfiguration}, // also where its record was rolled back: the remedy is the same
		{trusted.ErrStorageFull, CodeStorageFull},
		{trusted.ErrTampered, CodeStorage},
		{trusted.ErrRollback, CodeStorage},
		{trusted.ErrInUse, CodeInUse},
		{channel.ErrEvidence, CodeAttestation},
		{pinpad.ErrUnavailable, CodePIN},
		{cardreader.ErrCardRemoved, CodeCardRemoved},
		{payment.ErrCard, CodeCard},
		{payment.ErrServer, CodeServer},
	} {
		if errors.Is(err, k.is) {
			return k.code
		}
	}
	return CodeOther
}
