// Package acquirer speaks ISO 8583 with whoever takes payments: it turns a
// Message with typed fields into the bytes of a Dialect and back, authenticates
// it, matches answers to requests, and says in words what a message and a
// response code mean.
//
// A dialect is data (Table): which field has which format, and which of a
// Message's members it carries; what each message type has to carry (Rule) and
// each kind of transaction beyond that (Transaction); and what a response code
// means at the acquirer, and what follows from it (Response). The package has a table of ISO 8583:1987 in
// ASCII, one in BCD and one of ISO 8583:1993, and an embedder adds others with
// NewDialect. Underneath, github.com/moov-io/iso8583 keeps the message, its
// order and its bitmap; no type of it is exported. What it leaves to its caller
// is done here: bounds and contents of every field with the offset of what is
// wrong, bytes after the last field, the message type, the mandatory fields,
// masking, and errors without a copy of the message.
//
// Field 55 goes through untouched, as one string of BER-TLV that is validated
// and never re-encoded: tags keep their order, their repeats and their empty
// values.
//
// The package moves no message; the sub-package link does, over a TCP
// connection.
package acquirer

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers branch on.
var (
	// ErrMalformed: the bytes are no message of the dialect. The error is a
	// *FieldError when a field is to blame.
	ErrMalformed = errors.New("acquirer: malformed message")
	// ErrInvalid: a Message can't be expressed in the dialect, or breaks a
	// rule of its message type. The error is a *FieldError.
	ErrInvalid = errors.New("acquirer: invalid message")
	// ErrMAC: the message carries no MAC, or one that does not verify.
	ErrMAC = errors.New("acquirer: message authentication")
	// ErrMismatch: a response does not belong to the request.
	ErrMismatch = errors.New("acquirer: response does not belong to the request")
	// ErrTable: a Table is not coherent.
	ErrTable = errors.New("acquirer: dialect table")
)

// FieldError says which field of a message is wrong, where and why. It never
// carries the field's value.
type FieldError struct {
	// Field is the number of the data element; 0 is the message type, 1 the
	// bitmap, -1 the message as a whole.
	Field int
	// Name is the element's name in the dialect, empty when it has none.
	Name string
	// Offset is where the element begins in the bytes that were unpacked, -1
	// when a Message was packed.
	Offset int
	// Reason is the rule that is broken.
	Reason string
	// Err is ErrMalformed when bytes were unpacked, ErrInvalid otherwise.
	Err error
}

// Error names field, offset and reason.
func (e *FieldError) Error() string {
	var b strings.Builder
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString("acquirer: field")
	}
	switch {
	case e.Field < 0:
		b.WriteString(": message")
	case e.Field == 0:
		b.WriteString(": message type")
	case e.Field == 1:
		b.WriteString(": bitmap")
	default:
		fmt.Fprintf(&b, ": field %d", e.Field)
		if e.Name != "" {
			b.WriteString(" (" + e.Name + ")")
		}
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at byte %d", e.Offset)
	}
	return b.String() + ": " + e.Reason
}

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

// invalid is a FieldError of a Message that is to be packed or was checked.
func invalid(field int, reason string) *FieldError {
	return &FieldError{Field: field, Offset: -1, Reason: reason, Err: ErrInvalid}
}
