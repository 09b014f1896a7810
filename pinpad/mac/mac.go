// Package mac computes message authentication codes with block ciphers: ISO/IEC
// 9797-1 algorithms 1 (CBC-MAC) and 3 (the retail MAC of ANSI X9.19), and CMAC
// (NIST SP 800-38B) over TDES or AES.
package mac

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// ErrMAC: a code does not verify.
var ErrMAC = errors.New("mac: does not verify")

// Padding is a padding method of ISO/IEC 9797-1, 6.3.
type Padding uint8

// The methods.
const (
	Padding1 Padding = 1 // zeros, as few as needed
	Padding2 Padding = 2 // one bit, then zeros
	Padding3 Padding = 3 // the length in bits as a block in front, zeros behind
)

func pad(data []byte, size int, p Padding) ([]byte, error) {
	var out []byte
	switch p {
	case Padding1:
		out = append(out, data...)
	case Padding2:
		out = append(append(out, data...), 0x80)
	case Padding3:
		out = make([]byte, size, size+len(data)+size)
		for i, n := size-1, uint64(len(data))*8; n > 0; i, n = i-1, n>>8 {
			out[i] = byte(n)
		}
		out = append(out, data...)
	default:
		return nil, fmt.Errorf("mac: padding method %d", p)
	}
	for len(out)%size != 0 || len(out) == 0 {
		out = append(out, 0)
	}
	return out, nil
}

func chain(b cipher.Block, padded []byte) []byte {
	n := b.BlockSize()
	out := make([]byte, n)
	for ; len(padded) > 0; padded = padded[n:] {
		subtle.XORBytes(out, out, padded[:n])
		b.Encrypt(out, out)
	}
	return out
}

// CBC returns the CBC-MAC of data, a whole block (ISO/IEC 9797-1, algorithm 1).
func CBC(b cipher.Block, data []byte, p Padding) ([]byte, error) {
	padded, err := pad(data, b.BlockSize(), p)
	if err != nil {
		return nil, err
	}
	defer clear(padded)
	return chain(b, padded), nil
}

// Retail returns the retail MAC of data, a whole block: CBC-MAC under k1, then
// decryption under k2 and encryption under k1 (ANSI X9.19; ISO/IEC 9797-1,
// algorithm 3).
func Retail(k1, k2 cipher.Block, data []byte, p Padding) ([]byte, error) {
	out, err := CBC(k1, data, p)
	if err != nil {
		return nil, err
	}
	k2.Decrypt(out, out)
	k1.Encrypt(out, out)
	return out, nil
}

// Algorithm3 returns the eight bytes of ISO/IEC 9797-1 algorithm 3 under a
// double-length DES key, with any padding.
func Algorithm3(key secret.Bytes, data []byte, p Padding) ([]byte, error) {
	k := key.Reveal()
	if len(k) != 16 {
		return nil, fmt.Errorf("mac: key of %d bytes, want 16", len(k))
	}
	k1, err := des.NewCipher(k[:8])
	if err != nil {
		return nil, fmt.Errorf("mac: %w", err)
	}
	k2, err := des.NewCipher(k[8:])
	if err != nil {
		return nil, fmt.Errorf("mac: %w", err)
	}
	return Retail(k1, k2, data, p)
}

// X919 returns the eight bytes of the retail MAC under a double-length DES key,
// padded with zeros as X9.19 does.
func X919(key secret.Bytes, data []byte) ([]byte, error) { return Algorithm3(key, data, Padding1) }

// CMAC returns the CMAC of the parts' concatenation, a whole block (NIST SP
// 800-38B).
func CMAC(b cipher.Block, parts ...[]byte) []byte {
	n := b.BlockSize()
	subkey := make([]byte, n)
	defer clear(subkey)
	b.Encrypt(subkey, subkey)
	double(subkey)
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	whole := max((length+n-1)/n, 1) * n
	data := make([]byte, whole)
	defer clear(data)
	at := 0
	for _, p := range parts {
		at += copy(data[at:], p)
	}
	if length < whole {
		data[length] = 0x80
		double(subkey)
	}
	tail := data[whole-n:]
	subtle.XORBytes(tail, tail, subkey)
	return chain(b, data)
}

// double multiplies by x in GF(2^n).
func double(k []byte) {
	poly := byte(0x87)
	if len(k) == 8 {
		poly = 0x1B
	}
	carry := k[0] >> 7
	for i := range k {
		k[i] <<= 1
		if i+1 < len(k) {
			k[i] |= k[i+1] >> 7
		}
	}
	k[len(k)-1] ^= byte(-int8(carry)) & poly
}

// AES returns AES under a key of 16, 24 or 32 bytes.
func AES(key secret.Bytes) (cipher.Block, error) {
	b, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("mac: AES key of %d bytes, want 16, 24 or 32", key.Len())
	}
	return b, nil
}

// TDES returns triple DES under a key of 16 or 24 bytes (NIST SP 800-67; two-key
// and three-key).
func TDES(key secret.Bytes) (cipher.Block, error) {
	k := key.Reveal()
	if len(k) != 16 && len(k) != 24 {
		return nil, fmt.Errorf("mac: TDES key of %d bytes, want 16 or 24", len(k))
	}
	full := append(append(make([]byte, 0, 32), k...), k[:8]...)
	defer clear(full)
	b, err := des.NewTripleDESCipher(full[:24])
	if err != nil {
		return nil, fmt.Errorf("mac: %w", err)
	}
	return b, nil
}

// Verify compares two codes of equal length in constant time. Errors: ErrMAC.
func Verify(want, got []byte) error {
	if len(want) == 0 || subtle.ConstantTimeCompare(want, got) != 1 {
		return ErrMAC
	}
	return nil
}
