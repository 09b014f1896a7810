// Package tlv reads and writes BER-TLV data objects, data object lists and tag
// lists as EMV uses them (EMV 4.4 Book 3, Annex B and 5.4; ISO/IEC 8825-1).
// Lengths are definite and at most four bytes long beyond the first, tags at
// most four bytes.
//
// It judges no value and knows no tag's meaning; emv/tags does. Nothing in it
// keeps or changes the slices that it is given, and values that it returns point
// into them.
package tlv

import (
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every *Error of this package.
var ErrMalformed = errors.New("tlv: malformed")

// Error says what is wrong with an encoding, and where.
type Error struct {
	// Offset counts bytes from the start of the input.
	Offset int
	// Tag is the object in which it is, 0 when none was read yet.
	Tag Tag
	// Reason is in words.
	Reason string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Tag != 0 {
		return fmt.Sprintf("tlv: tag %s at offset %d: %s", e.Tag, e.Offset, e.Reason)
	}
	return fmt.Sprintf("tlv: offset %d: %s", e.Offset, e.Reason)
}

// Unwrap returns ErrMalformed.
func (*Error) Unwrap() error { return ErrMalformed }

// Tag is a BER tag with its bytes as a big-endian number: 0x82, 0x9F02, 0xDF8101.
type Tag uint32

// maxTagLen is the longest tag taken. EMV uses two bytes, contactless kernels
// three.
const maxTagLen = 4

// Len returns the number of bytes of the encoding.
func (t Tag) Len() int {
	switch {
	case t > 0xFFFFFF:
		return 4
	case t > 0xFFFF:
		return 3
	case t > 0xFF:
		return 2
	}
	return 1
}

// Constructed reports whether the value holds data objects (bit 6 of the first
// byte).
func (t Tag) Constructed() bool { return t>>(8*(t.Len()-1))&0x20 != 0 }

// String returns the hex of the encoding, "9F02".
func (t Tag) String() string { return fmt.Sprintf("%0*X", 2*t.Len(), uint32(t)) }

// Append appends the encoding to dst.
func (t Tag) Append(dst []byte) []byte {
	for i := t.Len() - 1; i >= 0; i-- {
		dst = append(dst, byte(t>>(8*i)))
	}
	return dst
}

// ParseTag reads one tag at the start of b and returns it with its length in
// bytes. Errors are *Error.
func ParseTag(b []byte) (Tag, int, error) {
	t, n, reason := parseTag(b)
	if reason != "" {
		return 0, 0, &Error{Reason: reason}
	}
	return t, n, nil
}

func parseTag(b []byte) (t Tag, n int, reason string) {
	if len(b) == 0 {
		return 0, 0, "a tag is missing"
	}
	t = Tag(b[0])
	if b[0]&0x1F != 0x1F {
		return t, 1, ""
	}
	for n = 1; n < maxTagLen; n++ {
		if n == len(b) {
			return 0, 0, "tag cut off"
		}
		// 8.1.2.4.2 c: the first subsequent byte's number is not zero.
		if n == 1 && b[1] == 0x80 {
			return 0, 0, "tag number with leading zeros"
		}
		t = t<<8 | Tag(b[n])
		if b[n]&0x80 == 0 {
			return t, n + 1, ""
		}
	}
	return 0, 0, fmt.Sprintf("tag of more than %d bytes", maxTagLen)
}

// ParseTagList reads tags that follow each other without lengths. Errors are
// *Error.
func ParseTagList(b []byte) ([]Tag, error) {
	var out []Tag
	for i := 0; i < len(b); {
		t, n, reason := parseTag(b[i:])
		if reason != "" {
			return nil, &Error{Offset: i, Reason: reason}
		}
		out = append(out, t)
		i += n
	}
	return out, nil
}
