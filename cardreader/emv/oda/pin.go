package oda

import (
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
)

// EncipherPIN enciphers a PIN for VERIFY (Book 2, 7.2): 7F, the PIN block of
// ISO 9564-1 format 2, the card's unpredictable number from GET CHALLENGE, and
// random padding, under the PIN encipherment key or the card's own.
func EncipherPIN(k PublicKey, pinBlock secret.Bytes, unpredictable [8]byte, random io.Reader) ([]byte, error) {
	if pinBlock.Len() != 8 || k.Len() < 17 {
		return nil, fmt.Errorf("oda: PIN block of %d bytes under a key of %d", pinBlock.Len(), k.Len())
	}
	b := make([]byte, k.Len())
	defer clear(b)
	b[0] = 0x7F
	copy(b[1:9], pinBlock.Reveal())
	copy(b[9:17], unpredictable[:])
	if _, err := io.ReadFull(random, b[17:]); err != nil {
		return nil, fmt.Errorf("oda: randomness: %w", err)
	}
	out, ok := k.apply(b)
	if !ok {
		return nil, fmt.Errorf("oda: the card's key can't encipher: %w", ErrFailed)
	}
	return out, nil
}
