package issuer

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
)

// ErrReference: what a PIN reference or a card verification value is computed from
// is not of its form. The text says which part, never its value.
var ErrReference = errors.New("issuer: PIN reference")

// PVV returns the PIN verification value, four digits (Visa PIN verification
// service): the transformed security parameter, 11 digits of the PAN before its
// check digit, the key index and the PIN's first four digits, enciphered under the
// PVK pair of 16 bytes, and decimalised. pvki is '0' to '9'. Errors wrap
// ErrReference.
func PVV(pvk secret.Bytes, pvki byte, pin secret.Bytes, pan secret.PAN) (string, error) {
	p, number := pin.Reveal(), pan.Reveal()
	switch {
	case pvk.Len() != 16:
		return "", fmt.Errorf("%w: PVK of %d bytes, want 16", ErrReference, pvk.Len())
	case pvki < '0' || pvki > '9':
		return "", fmt.Errorf("%w: key index is no digit", ErrReference)
	case !isPIN(p):
		return "", fmt.Errorf("%w: a PIN has 4 to 12 digits", ErrReference)
	case len(number) < 12:
		return "", fmt.Errorf("%w: PAN of %d digits, want 12 or more", ErrReference, len(number))
	}
	var tsp [16]byte
	defer clear(tsp[:])
	copy(tsp[:11], number[len(number)-12:len(number)-1])
	tsp[11] = pvki
	copy(tsp[12:], p[:4])
	b, err := mac.TDES(pvk)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrReference, err)
	}
	var block [8]byte
	defer clear(block[:])
	pack(block[:], tsp[:])
	b.Encrypt(block[:], block[:])
	return string(decimalise(block[:], 4)), nil
}

// VerifyPVV reports whether a PIN has a PVV. Errors wrap ErrReference.
func VerifyPVV(pvk secret.Bytes, pvki byte, pin secret.Bytes, pan secret.PAN, pvv string) (bool, error) {
	want, err := PVV(pvk, pvki, pin, pan)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(want), []byte(pvv)) == 1, nil
}

// IBM3624 is the way of an issuer to make PINs by the IBM 3624 method.
type IBM3624 struct {
	// Key is the PIN verification key, TDES of 16 or 24 bytes.
	Key secret.Bytes
	// Table is the decimalisation table: 16 digits, the i-th for the
	// hexadecimal digit i. It has at least eight different digits and none
	// more than four times: a table of few digits turns a verification service
	// into one that tells PINs.
	Table string
	// Start and Length select the digits of the PAN that are the validation
	// data, from the left, at most 16. Length zero means the 16 rightmost
	// digits of the PAN, or all of a shorter one.
	Start, Length int
	// Pad is the hexadecimal digit that fills validation data of less than 16
	// digits on the right; zero means 'F'.
	Pad byte
}

// Natural returns the natural PIN of a card, 4 to 12 digits. The caller wipes it.
// Errors wrap ErrReference.
func (m IBM3624) Natural(pan secret.PAN, length int) (secret.Bytes, error) {
	if length < minPIN || length > maxPIN {
		return secret.Bytes{}, fmt.Errorf("%w: a PIN has 4 to 12 digits", ErrReference)
	}
	return m.natural(pan, length)
}

func (m IBM3624) natural(pan secret.PAN, length int) (secret.Bytes, error) {
	if err := m.checkTable(); err != nil {
		return secret.Bytes{}, err
	}
	var data [16]byte
	defer clear(data[:])
	if err := m.validation(data[:], pan.Reveal()); err != nil {
		return secret.Bytes{}, err
	}
	b, err := mac.TDES(m.Key)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrReference, err)
	}
	var block [8]byte
	defer clear(block[:])
	pack(block[:], data[:])
	b.Encrypt(block[:], block[:])
	out := make([]byte, length)
	for i := range out {
		out[i] = m.Table[half(block[:], i)]
	}
	return secret.NewBytes(out), nil
}

// validation writes the validation data as 16 hexadecimal digits.
func (m IBM3624) validation(dst, pan []byte) error {
	start, n := m.Start, m.Length
	if n == 0 && start == 0 {
		n = min(len(pan), 16)
		start = len(pan) - n
	}
	if start < 0 || n < 1 || n > 16 || start+n > len(pan) {
		return fmt.Errorf("%w: validation data is not within a PAN of %d digits", ErrReference, len(pan))
	}
	pad := m.Pad
	if pad == 0 {
		pad = 'F'
	}
	if strings.IndexByte("0123456789ABCDEFabcdef", pad) < 0 {
		return fmt.Errorf("%w: padding is no hexadecimal digit", ErrReference)
	}
	for i := copy(dst, pan[start:start+n]); i < len(dst); i++ {
		dst[i] = pad
	}
	return nil
}

func (m IBM3624) checkTable() error {
	if len(m.Table) != 16 || !digits(m.Table) {
		return fmt.Errorf("%w: a decimalisation table has 16 digits", ErrReference)
	}
	var count [10]int
	different := 0
	for i := range m.Table {
		d := m.Table[i] - '0'
		if count[d]++; count[d] == 1 {
			different++
		}
		if count[d] > 4 {
			return fmt.Errorf("%w: a digit stands more than four times in the decimalisation table", ErrReference)
		}
	}
	if different < 8 {
		return fmt.Errorf("%w: the decimalisation table has %d different digits, want 8 or more", ErrReference, different)
	}
	return nil
}

// Offset returns the offset of a PIN, as many digits as it has: PIN minus natural
// PIN, digit by digit. Errors wrap ErrReference.
func (m IBM3624) Offset(pin secret.Bytes, pan secret.PAN) (string, error) {
	p := pin.Reveal()
	if !isPIN(p) {
		return "", fmt.Errorf("%w: a PIN has 4 to 12 digits", ErrReference)
	}
	natural, err := m.natural(pan, len(p))
	if err != nil {
		return "", err
	}
	defer natural.Wipe()
	out := make([]byte, len(p))
	for i, n := range natural.Reveal() {
		out[i] = '0' + (10+p[i]-n)%10
	}
	return string(out), nil
}

// PIN returns the PIN that an offset stands for, as many digits as it has. The
// caller wipes it. Errors wrap ErrReference.
func (m IBM3624) PIN(offset string, pan secret.PAN) (secret.Bytes, error) {
	if len(offset) < minPIN || len(offset) > maxPIN || !digits(offset) {
		return secret.Bytes{}, fmt.Errorf("%w: an offset has 4 to 12 digits", ErrReference)
	}
	pin, err := m.natural(pan, len(offset))
	if err != nil {
		return secret.Bytes{}, err
	}
	for i, n := range pin.Reveal() {
		pin.Reveal()[i] = '0' + (n-'0'+offset[i]-'0')%10
	}
	return pin, nil
}

// Verify reports whether a PIN has an offset, in constant time for a given length.
// Errors wrap ErrReference.
func (m IBM3624) Verify(pin secret.Bytes, pan secret.PAN, offset string) (bool, error) {
	want, err := m.Offset(pin, pan)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(want), []byte(offset)) == 1, nil
}

const (
	minPIN = 4
	maxPIN = 12
)

func isPIN(p []byte) bool { return len(p) >= minPIN && len(p) <= maxPIN && digits(p) }

// pack turns hexadecimal digits into bytes.
func pack(dst, hexDigits []byte) {
	for i := range dst {
		dst[i] = value(hexDigits[2*i])<<4 | value(hexDigits[2*i+1])
	}
}

func value(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// half is the i-th hexadecimal digit.
func half(b []byte, i int) byte { return b[i/2] >> (4 * (1 - i%2)) & 0x0F }

// decimalise takes n digits of a block: those that are decimal from the left, and
// when they do not suffice, the others from the left less ten.
func decimalise(block []byte, n int) []byte {
	out := make([]byte, 0, n)
	for _, decimal := range []bool{true, false} {
		for i := 0; i < 2*len(block) && len(out) < n; i++ {
			switch v := half(block, i); {
			case decimal && v < 10:
				out = append(out, '0'+v)
			case !decimal && v >= 10:
				out = append(out, '0'+v-10)
			}
		}
	}
	return out
}
