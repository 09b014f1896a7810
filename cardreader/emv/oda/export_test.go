package oda

import "crypto/sha1"

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
