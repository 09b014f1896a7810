// Package cryptogram computes what a card and its issuer share: card keys from
// issuer keys, session keys, application cryptograms, the issuer's answer
// (ARPC), and the protection of issuer scripts (EMV 4.4 Book 2, 8 and 9, Annex
// A1). The issuer host and the software card call the same functions, each with
// its own copy of the keys.
//
// A Scheme says which rules a card follows; the functions below it (SessionCSK,
// AC, ARPC1 and so on) are the rules one by one. All keys are double-length
// TDES keys. The AES variants of Annex A1 and format preserving schemes are not
// part of the package: ParseScheme refuses their names.
//
// Nothing here keeps state or a key; a caller wipes what it was given.
package cryptogram

import (
	"crypto/cipher"
	"crypto/des" //nolint:gosec // TDES is what EMV cards use
	"errors"
	"fmt"
	"math/bits"

	"github.com/payunit/payunit/cardreader/secret"
)

// What callers branch on.
var (
	// ErrKey: a key is not 16 bytes long.
	ErrKey = errors.New("cryptogram: not a double-length key")
	// ErrScheme: a scheme's name or combination is not known.
	ErrScheme = errors.New("cryptogram: scheme is not supported")
	// ErrData: data that the computation needs is absent or has the wrong length.
	ErrData = errors.New("cryptogram: data")
	// ErrARPC: the issuer's authentication data was not made for this
	// transaction by the holder of the key.
	ErrARPC = errors.New("cryptogram: issuer authentication failed")
	// ErrMAC: a script command's MAC does not verify.
	ErrMAC = errors.New("cryptogram: script MAC does not verify")
	// ErrPIN: a PIN or an enciphered PIN block is malformed.
	ErrPIN = errors.New("cryptogram: not a PIN block")
)

const keyLen = 16

// tdes makes the two-key TDES cipher of Book 2, B1.1.
func tdes(k secret.Bytes) (cipher.Block, error) {
	b := k.Reveal()
	if len(b) != keyLen {
		return nil, fmt.Errorf("%w: %d bytes", ErrKey, len(b))
	}
	var k3 [24]byte
	defer clear(k3[:])
	copy(k3[:], b)
	copy(k3[16:], b[:8])
	return des.NewTripleDESCipher(k3[:])
}

// oddParity sets the lowest bit of every byte of a key so that the byte has an
// odd number of ones. DES ignores the bit; hardware modules compare it.
func oddParity(k []byte) {
	for i, b := range k {
		if bits.OnesCount8(b)%2 == 0 {
			k[i] ^= 1
		}
	}
}

// pair enciphers two blocks under k and makes a key of the results.
func pair(k secret.Bytes, left, right [8]byte) (secret.Bytes, error) {
	c, err := tdes(k)
	if err != nil {
		return secret.Bytes{}, err
	}
	out := make([]byte, keyLen)
	c.Encrypt(out[:8], left[:])
	c.Encrypt(out[8:], right[:])
	return secret.NewBytes(out), nil
}
