package cryptogram

import (
	"crypto/des" //nolint:gosec // the algorithm of EMV cards
	"crypto/subtle"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// Padding is how data is filled up to whole blocks of 8 bytes.
type Padding uint8

// Paddings of ISO/IEC 9797-1.
const (
	// PadZeros is method 1: zeros, and nothing when the data fits.
	PadZeros Padding = iota + 1
	// Pad80 is method 2: a byte 80, then zeros.
	Pad80
)

func (p Padding) append(data []byte) []byte {
	out := append(make([]byte, 0, len(data)+16), data...)
	if p == Pad80 {
		out = append(out, 0x80)
	}
	for len(out)%8 != 0 || len(out) == 0 {
		out = append(out, 0)
	}
	return out
}

// MAC is ISO/IEC 9797-1 algorithm 3 (Book 2, A1.2.1): CBC with single DES under
// the left half of the key, the last block deciphered under the right half and
// enciphered under the left again. Errors wrap ErrKey.
func MAC(k secret.Bytes, data []byte, p Padding) (mac [8]byte, err error) {
	b := k.Reveal()
	if len(b) != keyLen {
		return mac, fmt.Errorf("%w: %d bytes", ErrKey, len(b))
	}
	if p != PadZeros && p != Pad80 {
		return mac, fmt.Errorf("%w: padding %d", ErrScheme, p)
	}
	left, err := des.NewCipher(b[:8])
	if err != nil {
		return mac, err
	}
	right, err := des.NewCipher(b[8:])
	if err != nil {
		return mac, err
	}
	padded := p.append(data)
	defer clear(padded)
	for i := 0; i < len(padded); i += 8 {
		subtle.XORBytes(mac[:], mac[:], padded[i:i+8])
		left.Encrypt(mac[:], mac[:])
	}
	right.Decrypt(mac[:], mac[:])
	left.Encrypt(mac[:], mac[:])
	return mac, nil
}

// AC is an application cryptogram over its assembled input (Book 2, 8.1.2).
func AC(session secret.Bytes, input []byte, p Padding) ([8]byte, error) {
	return MAC(session, input, p)
}

// ARPC1 is the response cryptogram of method 1 (Book 2, 8.2.1): the cryptogram
// xor the authorisation response code, enciphered.
func ARPC1(k secret.Bytes, ac [8]byte, arc [2]byte) (arpc [8]byte, err error) {
	c, err := tdes(k)
	if err != nil {
		return arpc, err
	}
	arpc = ac
	arpc[0] ^= arc[0]
	arpc[1] ^= arc[1]
	c.Encrypt(arpc[:], arpc[:])
	return arpc, nil
}

// ARPC2 is the response cryptogram of method 2 (Book 2, 8.2.2): the first four
// bytes of the MAC over cryptogram, card status update and 0 to 8 bytes of
// proprietary authentication data.
func ARPC2(k secret.Bytes, ac [8]byte, csu [4]byte, proprietary []byte) (arpc [4]byte, err error) {
	if len(proprietary) > 8 {
		return arpc, fmt.Errorf("%w: %d bytes of proprietary authentication data, want at most 8", ErrData, len(proprietary))
	}
	y := append(append(append(make([]byte, 0, 20), ac[:]...), csu[:]...), proprietary...)
	mac, err := MAC(k, y, Pad80)
	return [4]byte(mac[:4]), err
}
