package oda

import (
	"crypto/rand"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
)

// EncipherPIN enciphers a PIN for VERIFY (Book 2, 7.2): 7F, the PIN block of
// ISO 9564-1 format 2, the card's unpredictable number from GET CHALLENGE, and
// random padding, under the PIN encipherment key or the card's own. A nil random
// is crypto/rand. Errors wrap ErrFailed when the key is not fit for it.
func EncipherPIN(k PublicKey, pinBlock secret.Bytes, unpredictable [8]byte, random io.Reader) ([]byte, error) {
	if pinBlock.Len() != 8 || k.Len() < 17 {
		return nil, failed(StepPIN, "PIN block of %d bytes under a key of %d", pinBlock.Len(), k.Len())
	}
	if random == nil {
		random = rand.Reader
	}
	b := make([]byte, k.Len())
	defer clear(b)
	b[0] = 0x7F
	copy(b[1:9], pinBlock.Reveal())
	copy(b[9:17], unpredictable[:])
	if _, err := io.ReadFull(random, b[17:]); err != nil {
		return nil, fmt.Errorf("oda: randomness: %w", err)
	}
	out, reason := k.apply(b)
	if reason != "" {
		return nil, failed(StepPIN, "%s", reason)
	}
	return out, nil
}
