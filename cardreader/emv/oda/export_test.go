package oda

import (
	"crypto/sha1"
	"math/big"
)

// Rehash makes the hash of an altered block right again.
func Rehash(block []byte, hashed ...[]byte) {
	end := len(block) - 1 - hashLen
	h := sha1.New()
	h.Write(block[1:end])
	for _, b := range hashed {
		h.Write(b)
	}
	copy(block[end:], h.Sum(nil))
}

// Raw applies a key and checks header, format and trailer only, for published
// signatures whose records are not published.
func Raw(step string, k PublicKey, signature []byte) ([]byte, error) {
	format := map[string]byte{StepIssuer: formatIssuer, StepICC: formatICC, StepStatic: formatSDA, StepDynamic: formatDynamic}[step]
	return recoverBlock(step, k, signature, format)
}

// DynamicData is what VerifyDDA and VerifyCDA read the number from.
var DynamicData = dynamicData

// VerifySDSA checks a signature with a whole point, whichever of its two
// y-coordinates it has.
func VerifySDSA(s Suite, x, y *big.Int, message, signature []byte) string {
	p, _ := s.params()
	return p.verify(x, y, message, signature)
}

// VerifyEC checks a signature with a key as certificates hold it.
func (k ECKey) VerifyEC(message, signature []byte) string { return k.verify(message, signature) }
