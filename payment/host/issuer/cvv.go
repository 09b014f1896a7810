package issuer

import (
	"crypto/des"
	"crypto/subtle"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
)

// Service codes that stand for a place rather than for a service.
const (
	serviceCVV2 = "000" // printed on the card
	serviceICVV = "999" // in the chip's track 2 equivalent data
)

// CVV returns a card verification value of three digits, Mastercard's CVC1: PAN,
// expiry and service code, filled with zeros to 32 digits; the first half
// enciphered under the left half of the CVK pair, the second half added, the
// result enciphered under the pair, and decimalised. The expiry is four digits in
// the order that the issuer uses, YYMM as in track 2, or MMYY. The caller wipes
// the value. Errors wrap ErrReference.
func CVV(cvk secret.Bytes, pan secret.PAN, expiry, service string) (secret.Bytes, error) {
	switch {
	case cvk.Len() != 16:
		return secret.Bytes{}, fmt.Errorf("%w: CVK of %d bytes, want 16", ErrReference, cvk.Len())
	case pan.IsZero():
		return secret.Bytes{}, fmt.Errorf("%w: no PAN", ErrReference)
	case len(expiry) != 4 || !digits(expiry):
		return secret.Bytes{}, fmt.Errorf("%w: an expiry has four digits", ErrReference)
	case len(service) != 3 || !digits(service):
		return secret.Bytes{}, fmt.Errorf("%w: a service code has three digits", ErrReference)
	}
	var text [32]byte
	defer clear(text[:])
	for i := range text {
		text[i] = '0'
	}
	n := copy(text[:], pan.Reveal())
	n += copy(text[n:], expiry)
	copy(text[n:], service)
	left, err := des.NewCipher(cvk.Reveal()[:8])
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrReference, err)
	}
	both, err := mac.TDES(cvk)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrReference, err)
	}
	var block [16]byte
	defer clear(block[:])
	pack(block[:], text[:])
	left.Encrypt(block[:8], block[:8])
	subtle.XORBytes(block[:8], block[:8], block[8:])
	both.Encrypt(block[:8], block[:8])
	return secret.NewBytes(decimalise(block[:8], 3)), nil
}

// ICVV returns the value of the chip's track 2 equivalent data (iCVV, Chip CVC):
// a copy of it on a magnetic stripe is found out.
func ICVV(cvk secret.Bytes, pan secret.PAN, expiry string) (secret.Bytes, error) {
	return CVV(cvk, pan, expiry, serviceICVV)
}

// CVV2 returns the value that is printed on the card (CVV2, CVC2).
func CVV2(cvk secret.Bytes, pan secret.PAN, expiry string) (secret.Bytes, error) {
	return CVV(cvk, pan, expiry, serviceCVV2)
}

// VerifyCVV reports whether a value is a card's under a service code, "000" for
// CVV2 and "999" for iCVV. Errors wrap ErrReference.
func VerifyCVV(cvk secret.Bytes, pan secret.PAN, expiry, service string, value secret.Bytes) (bool, error) {
	want, err := CVV(cvk, pan, expiry, service)
	if err != nil {
		return false, err
	}
	defer want.Wipe()
	return want.Equal(value), nil
}
