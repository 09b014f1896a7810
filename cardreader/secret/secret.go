// Package secret holds the value types of cardholder data and keys: PAN,
// track 2, and byte strings such as keys and clear PIN blocks.
//
// A value prints as "[redacted]" under every fmt verb, in JSON, XML, gob, text
// and slog; it can't be compared with ==; and Wipe zeroes the bytes behind every
// copy of it, because copies share them. The package reveals nothing on its own
// account: whoever calls Reveal takes over the duty to keep the bytes out of
// logs, errors and events (PCI DSS, requirement 3).
//
// What computes with secrets does so inside Do, and a build with
// GOEXPERIMENT=runtimesecret has the runtime erase the registers, the stack and
// the heap that were used there.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every secret prints as.
const Redacted = "[redacted]"

// ErrRedacted is returned by the encoders that can't write a placeholder (gob,
// binary): a secret is never serialised by accident.
var ErrRedacted = errors.New("secret: value is not serialisable")

// redacted gives the types of this package their mute methods.
type redacted struct{ _ [0]func() }

// Format writes Redacted whatever the verb and flags are.
func (redacted) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// String returns Redacted.
func (redacted) String() string { return Redacted }

// GoString returns Redacted.
func (redacted) GoString() string { return Redacted }

// LogValue returns Redacted, for log/slog.
func (redacted) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON returns Redacted as a JSON string.
func (redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText returns Redacted; encoding/xml and map keys use it.
func (redacted) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalBinary fails with ErrRedacted.
func (redacted) MarshalBinary() ([]byte, error) { return nil, ErrRedacted }

// GobEncode fails with ErrRedacted.
func (redacted) GobEncode() ([]byte, error) { return nil, ErrRedacted }

// box keeps the bytes behind two pointers. fmt does not call the methods of a
// secret in an unexported field of somebody else's struct. It prints a nested
// pointer as an address; but for a verb that does not suit a pointer, such as %s,
// it prints what the pointer points to, one level deep.
type box struct{ b *[]byte }

func newBox(b []byte) *box { return &box{&b} }

func (x *box) bytes() []byte {
	if x == nil {
		return nil
	}
	return *x.b
}

// Bytes is a secret byte string: a key, a clear PIN block, a seed. The zero
// value is empty.
type Bytes struct {
	redacted
	x *box
}

// NewBytes takes over b: the caller no longer uses it. Nothing is copied, so
// that Wipe leaves no second copy behind.
func NewBytes(b []byte) Bytes { return Bytes{x: newBox(b)} }

// CopyBytes returns a secret with its own copy of b.
func CopyBytes(b []byte) Bytes {
	m := new(small)
	if len(b) > len(m.bytes) {
		return NewBytes(append([]byte(nil), b...))
	}
	m.slice = m.bytes[:copy(m.bytes[:], b):len(b)]
	m.box.b = &m.slice
	return Bytes{x: &m.box}
}

// small keeps a key, and the two pointers in front of it, in one allocation. Only
// the box is ever pointed to from outside.
type small struct {
	box   box
	slice []byte
	bytes [32]byte
}

// Reveal returns the bytes themselves, not a copy. They are valid until Wipe.
func (s Bytes) Reveal() []byte { return s.x.bytes() }

// Len returns the length in bytes.
func (s Bytes) Len() int { return len(s.x.bytes()) }

// Equal compares in constant time for equal lengths.
func (s Bytes) Equal(o Bytes) bool { return subtle.ConstantTimeCompare(s.x.bytes(), o.x.bytes()) == 1 }

// Blank reports, in constant time for a length, whether s holds nothing but zeros:
// it was wiped, or never was a key. Its length does not tell.
func (s Bytes) Blank() bool {
	var all byte
	for _, b := range s.x.bytes() {
		all |= b
	}
	return subtle.ConstantTimeByteEq(all, 0) == 1
}

// Wipe zeroes the bytes, for every copy of s.
func (s Bytes) Wipe() { clear(s.x.bytes()) }

// Clone returns an independent copy, which needs its own Wipe.
func (s Bytes) Clone() Bytes { return CopyBytes(s.x.bytes()) }
