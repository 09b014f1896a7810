package mac

import (
	"crypto/cipher"

	"github.com/payunit/payunit/cardreader/secret"
)

// Lengths of key check values (ANSI X9.24-1:2017, annex A).
const (
	kcvZeros = 3
	kcvCMAC  = 5
)

// KCVZeros returns the older key check value, that of DES keys: the first three
// bytes of a block of zeros enciphered.
func KCVZeros(b cipher.Block) []byte {
	zeros := make([]byte, b.BlockSize())
	b.Encrypt(zeros, zeros)
	return zeros[:kcvZeros:kcvZeros]
}

// KCVCMAC returns the key check value of AES keys: the first five bytes of the
// CMAC of a block of zeros, which no message has to have as its MAC.
func KCVCMAC(b cipher.Block) []byte {
	code := CMAC(b, make([]byte, b.BlockSize()))
	return code[:kcvCMAC:kcvCMAC]
}

// KCVTDES returns the three-byte key check value of a TDES key of 16 or 24 bytes.
func KCVTDES(key secret.Bytes) ([]byte, error) {
	b, err := TDES(key)
	if err != nil {
		return nil, err
	}
	return KCVZeros(b), nil
}

// KCVAES returns the five-byte key check value of an AES key of 16, 24 or 32
// bytes.
func KCVAES(key secret.Bytes) ([]byte, error) {
	b, err := AES(key)
	if err != nil {
		return nil, err
	}
	return KCVCMAC(b), nil
}
