package trusted

import (
	"context"
	"strings"
)

// SignalID names a kind of sign that a unit may not be what it was built to be.
// The ids are stable: servers and policies may be written against them.
type SignalID string

// The signals.
const (
	// SignalDebugger: a debugger or tracer is attached to the process.
	SignalDebugger SignalID = "debugger"
	// SignalForeignCode: code of a file that is no part of the program is
	// loaded into the process.
	SignalForeignCode SignalID = "foreign-code"
	// SignalWritableCode: memory of the process is writable and executable at
	// once.
	SignalWritableCode SignalID = "writable-code"
	// SignalBinary: the program is not the one that was released.
	SignalBinary SignalID = "binary"
)

// Signal is one sign, and where it was seen.
type Signal struct {
	ID SignalID
	// Detail is for people: a path, a process number. It holds no secret.
	Detail string
}

// Monitor looks for signs of tampering. A unit asks it before each payment and
// before each PIN, and stops at any signal.
type Monitor interface {
	// Check returns the signals that there are now. An error means that it
	// could not look, which is no better than a signal.
	Check(ctx context.Context) ([]Signal, error)
}

// TamperError is a unit that stopped at a Monitor's signals.
type TamperError struct{ Signals []Signal }

// Error names the signals.
func (e *TamperError) Error() string {
	var b strings.Builder
	b.WriteString("trusted: the unit may have been tampered with")
	sep := ": "
	for _, s := range e.Signals {
		b.WriteString(sep + string(s.ID))
		sep = ", "
		if s.Detail != "" {
			b.WriteString(" (" + s.Detail + ")")
		}
	}
	return b.String()
}
