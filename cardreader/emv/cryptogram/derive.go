package cryptogram

import (
	"crypto/sha1" //nolint:gosec // Book 2, A1.4.2 prescribes it
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// Derivation is how a card's master keys come from the issuer's (Book 2, A1.4).
// The zero value is none, and is refused.
type Derivation uint8

// Derivations.
const (
	// DerivationA takes the rightmost 16 digits of PAN and sequence number.
	DerivationA Derivation = iota + 1
	// DerivationB is A for PANs of up to 16 digits, and otherwise takes 16
	// digits of a hash of PAN and sequence number.
	DerivationB
)

// String returns "A" or "B".
func (d Derivation) String() string {
	switch d {
	case DerivationA:
		return "A"
	case DerivationB:
		return "B"
	}
	return fmt.Sprintf("Derivation(%d)", uint8(d))
}

// MasterKey derives a card's master key from an issuer's (Book 2, A1.4.1 and
// A1.4.2). psn is the PAN sequence number as tag 5F34 codes it, two digits in
// one byte; 00 when the card has none. Errors wrap ErrKey, ErrScheme or ErrData.
func MasterKey(d Derivation, issuer secret.Bytes, pan secret.PAN, psn byte) (secret.Bytes, error) {
	if psn>>4 > 9 || psn&0x0F > 9 {
		return secret.Bytes{}, fmt.Errorf("%w: PAN sequence number is not decimal", ErrData)
	}
	if pan.IsZero() {
		return secret.Bytes{}, fmt.Errorf("%w: no PAN", ErrData)
	}
	digits := append(append(make([]byte, 0, 24), pan.Reveal()...), '0'+psn>>4, '0'+psn&0x0F)
	defer clear(digits[:cap(digits)])
	var y [8]byte
	defer clear(y[:])
	switch {
	case d == DerivationA, d == DerivationB && pan.Len() <= 16:
		packRight(y[:], digits)
	case d == DerivationB:
		// An odd number of digits gets a zero on the left.
		packed := make([]byte, (len(digits)+1)/2)
		defer clear(packed)
		packRight(packed, digits)
		hash := sha1.Sum(packed)
		y = decimalise(hash[:])
	default:
		return secret.Bytes{}, fmt.Errorf("%w: %v", ErrScheme, d)
	}
	var inverse [8]byte
	defer clear(inverse[:])
	for i := range y {
		inverse[i] = ^y[i]
	}
	k, err := pair(issuer, y, inverse)
	if err == nil {
		oddParity(k.Reveal())
	}
	return k, err
}

// packRight packs the rightmost digits two a byte, zeros on the left.
func packRight(dst, digits []byte) {
	clear(dst)
	for i := range min(2*len(dst), len(digits)) {
		d := digits[len(digits)-1-i] - '0'
		dst[len(dst)-1-i/2] |= d << (4 * (i % 2))
	}
}

// decimalise takes the first 16 decimal digits of a hash and, when there are
// fewer, fills up with its letters, A as 0 to F as 5 (Book 2, A1.4.2).
func decimalise(hash []byte) [8]byte {
	digits := make([]byte, 0, 2*len(hash))
	var letters []byte
	for _, b := range hash {
		for _, nib := range [2]byte{b >> 4, b & 0x0F} {
			if nib <= 9 {
				digits = append(digits, nib)
			} else {
				letters = append(letters, nib-10)
			}
		}
	}
	digits = append(digits, letters...)
	var y [8]byte
	for i := range y {
		y[i] = digits[2*i]<<4 | digits[2*i+1]
	}
	return y
}
