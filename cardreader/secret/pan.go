package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
)

// ErrPAN says that a byte string is no PAN. It never carries the digits.
var ErrPAN = errors.New("secret: not a PAN")

// PAN is a primary account number: 8 to 19 decimal digits (ISO/IEC 7812-1).
// The zero value holds none.
type PAN struct {
	redacted
	x *box
}

// NewPAN copies ASCII digits. The check digit is not judged: EMV does not ask
// for it, and test cards often have none. Errors wrap ErrPAN.
func NewPAN(digits []byte) (PAN, error) {
	if len(digits) < 8 || len(digits) > 19 {
		return PAN{}, fmt.Errorf("%w: %d digits, want 8 to 19", ErrPAN, len(digits))
	}
	for i, c := range digits {
		if c < '0' || c > '9' {
			return PAN{}, fmt.Errorf("%w: position %d is no digit", ErrPAN, i)
		}
	}
	return PAN{x: newBox(append([]byte(nil), digits...))}, nil
}

// PANFromCN decodes tag 5A: format cn, two digits a byte, padded on the right
// with F (EMV 4.4 Book 3, 4.3). Errors wrap ErrPAN.
func PANFromCN(cn []byte) (PAN, error) {
	var buf [20]byte
	n := 0
	defer clear(buf[:])
	for i, b := range cn {
		for _, nib := range [2]byte{b >> 4, b & 0x0F} {
			switch {
			case nib == 0x0F:
				if !onlyFill(cn[i+1:]) || b&0x0F != 0x0F {
					return PAN{}, fmt.Errorf("%w: fill inside the digits at byte %d", ErrPAN, i)
				}
			case nib > 9:
				return PAN{}, fmt.Errorf("%w: byte %d is not decimal", ErrPAN, i)
			case n == len(buf):
				return PAN{}, fmt.Errorf("%w: more than 19 digits", ErrPAN)
			default:
				buf[n] = '0' + nib
				n++
			}
		}
	}
	return NewPAN(buf[:n])
}

func onlyFill(b []byte) bool {
	for _, c := range b {
		if c != 0xFF {
			return false
		}
	}
	return true
}

// Reveal returns the ASCII digits themselves, not a copy. Valid until Wipe.
func (p PAN) Reveal() []byte { return p.x.bytes() }

// IsZero reports whether p holds no number.
func (p PAN) IsZero() bool { return p.Len() == 0 }

// Len returns the number of digits.
func (p PAN) Len() int { return len(p.x.bytes()) }

// Masked returns the number with all but the first six and the last four digits
// as '*', which is what PCI DSS 3.4 lets an app see. Numbers of fewer than 13
// digits keep the last four only.
func (p PAN) Masked() string {
	d := p.Reveal()
	if len(d) == 0 {
		return ""
	}
	out := make([]byte, len(d))
	for i := range out {
		out[i] = '*'
	}
	if len(d) >= 13 {
		copy(out[:6], d[:6])
	}
	copy(out[len(out)-4:], d[len(d)-4:])
	return string(out)
}

// Truncated returns all but the last four digits as '*', for a cardholder's
// receipt.
func (p PAN) Truncated() string {
	d := p.Reveal()
	if len(d) == 0 {
		return ""
	}
	out := make([]byte, len(d))
	for i := range out {
		out[i] = '*'
	}
	copy(out[len(out)-4:], d[len(d)-4:])
	return string(out)
}

// Luhn reports whether the last digit checks the others (ISO/IEC 7812-1, Annex B):
// the slip of a hand that enters a number shows there.
func (p PAN) Luhn() bool {
	d, sum := p.Reveal(), 0
	for i := range d {
		n := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return len(d) > 0 && sum%10 == 0
}

// Equal compares in constant time for equal lengths.
func (p PAN) Equal(o PAN) bool { return subtle.ConstantTimeCompare(p.Reveal(), o.Reveal()) == 1 }

// Clone returns an independent copy, which needs its own Wipe.
func (p PAN) Clone() PAN { return PAN{x: newBox(append([]byte(nil), p.Reveal()...))} }

// Wipe zeroes the digits, for every copy of p.
func (p PAN) Wipe() { clear(p.Reveal()) }
