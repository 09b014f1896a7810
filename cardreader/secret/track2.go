package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
)

// ErrTrack2 says that a byte string is no track 2 equivalent data. It never
// carries the digits.
var ErrTrack2 = errors.New("secret: not track 2 equivalent data")

// Track2 is track 2 equivalent data, tag 57 (EMV 4.4 Book 3, Annex A): PAN,
// separator, expiry YYMM, service code, discretionary data, kept in the form
// that ISO 8583 DE 35 takes: ASCII digits with '=' or 'D' as the separator.
// The zero value holds none.
type Track2 struct {
	redacted
	x   *box
	sep int
}

// Track2FromTag decodes the value of tag 57: two digits a byte, D as the
// separator, F as fill on the right. Errors wrap ErrTrack2.
func Track2FromTag(b []byte) (Track2, error) {
	if len(b) > 19 {
		return Track2{}, fmt.Errorf("%w: %d bytes, want at most 19", ErrTrack2, len(b))
	}
	d := make([]byte, 0, 2*len(b))
	sep := -1
	for i, c := range b {
		for j, nib := range [2]byte{c >> 4, c & 0x0F} {
			switch {
			case nib <= 9:
				d = append(d, '0'+nib)
			case nib == 0x0D && sep < 0:
				sep = len(d)
				d = append(d, '=')
			case nib == 0x0F && i == len(b)-1 && j == 1:
			default:
				clear(d)
				return Track2{}, fmt.Errorf("%w: byte %d", ErrTrack2, i)
			}
		}
	}
	if sep < 8 || sep > 19 || len(d) < sep+8 {
		clear(d)
		return Track2{}, fmt.Errorf("%w: separator or length", ErrTrack2)
	}
	return Track2{x: newBox(d), sep: sep}, nil
}

// Reveal returns the ASCII form itself ("PAN=YYMMSSS..."), not a copy. Valid
// until Wipe.
func (t Track2) Reveal() []byte { return t.x.bytes() }

// IsZero reports whether t holds no data.
func (t Track2) IsZero() bool { return len(t.x.bytes()) == 0 }

// PAN returns the PAN part as its own copy.
func (t Track2) PAN() (PAN, error) {
	if t.IsZero() {
		return PAN{}, fmt.Errorf("%w: empty", ErrTrack2)
	}
	return NewPAN(t.Reveal()[:t.sep])
}

// Expiry returns YYMM as four ASCII digits, "" when empty.
func (t Track2) Expiry() string {
	if t.IsZero() {
		return ""
	}
	return string(t.Reveal()[t.sep+1 : t.sep+5])
}

// ServiceCode returns the three digits of the service code, "" when empty.
func (t Track2) ServiceCode() string {
	if t.IsZero() {
		return ""
	}
	return string(t.Reveal()[t.sep+5 : t.sep+8])
}

// Equal compares in constant time for equal lengths.
func (t Track2) Equal(o Track2) bool { return subtle.ConstantTimeCompare(t.Reveal(), o.Reveal()) == 1 }

// Clone returns an independent copy, which needs its own Wipe.
func (t Track2) Clone() Track2 {
	return Track2{x: newBox(append([]byte(nil), t.Reveal()...)), sep: t.sep}
}

// Wipe zeroes the data, for every copy of t.
func (t Track2) Wipe() { clear(t.Reveal()) }
