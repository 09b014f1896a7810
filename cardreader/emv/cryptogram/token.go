package cryptogram

import (
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/payunit/payunit/cardreader/secret"
)

// CVC3 is the dynamic card verification code of a contactless magnetic stripe
// card (EMV Contactless Book C-2): the last two bytes of a MAC over the track's
// template make an initial value, which with the unpredictable number and the
// ATC is enciphered; the last two bytes of that are the code. Tracks carry its
// rightmost decimal digits. Errors wrap ErrKey.
func CVC3(card secret.Bytes, track []byte, un [4]byte, atc uint16) (uint16, error) {
	iv, err := MAC(card, track, Pad80)
	if err != nil {
		return 0, err
	}
	c, err := tdes(card)
	if err != nil {
		return 0, err
	}
	var b [8]byte
	copy(b[:2], iv[6:])
	copy(b[2:6], un[:])
	binary.BigEndian.PutUint16(b[6:], atc)
	c.Encrypt(b[:], b[:])
	return binary.BigEndian.Uint16(b[6:]), nil
}

// CAPToken is the number that a hand-held reader shows for a cryptogram (Chip
// Authentication Program): the bits of data that bitmap selects, as one decimal
// number. data is CID, ATC, cryptogram and IAD of the GENERATE AC response,
// bitmap the issuer's proprietary bitmap. Errors wrap ErrData.
func CAPToken(data, bitmap []byte) (string, error) {
	if len(bitmap) == 0 || len(bitmap) > len(data) {
		return "", fmt.Errorf("%w: bitmap of %d bytes for %d bytes of data", ErrData, len(bitmap), len(data))
	}
	n := new(big.Int)
	for i, m := range bitmap {
		for mask := byte(0x80); mask != 0; mask >>= 1 {
			if m&mask == 0 {
				continue
			}
			n.Lsh(n, 1)
			if data[i]&mask != 0 {
				n.SetBit(n, 0, 1)
			}
		}
	}
	return n.String(), nil
}
