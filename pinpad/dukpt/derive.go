package dukpt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// keyBuffer holds any key while it is derived, and behind it the derivation data,
// so that a walk over all counter bits has one buffer. Whoever declares one clears
// it on every way out.
type keyBuffer [keyMax + 16]byte

const keyMax = 32

// deriveAES derives a key under another (X9.24-3, 6.3.1): AES in ECB over the
// derivation data, as many blocks as the key needs.
func deriveAES(b cipher.Block, out *keyBuffer, u Usage, t KeyType, id *ident, counter uint32) {
	data := out[keyMax:]
	clear(data)
	data[0] = 0x01
	binary.BigEndian.PutUint16(data[2:], uint16(u))
	binary.BigEndian.PutUint16(data[4:], t.indicator())
	binary.BigEndian.PutUint16(data[6:], uint16(8*t.Len()))
	if u == derivationInitial {
		copy(data[8:], id[:8])
	} else {
		copy(data[8:12], id[4:8])
		binary.BigEndian.PutUint32(data[12:], counter)
	}
	for i := 0; i < t.Len(); i += 16 {
		data[1] = byte(i/16 + 1)
		b.Encrypt(out[i:i+16], data)
	}
	clear(out[t.Len():keyMax])
}

// variant XORs a byte string into both halves of a double-length key.
func variant(key []byte, mask uint64) {
	var m [8]byte
	binary.BigEndian.PutUint64(m[:], mask)
	subtle.XORBytes(key[:8], key[:8], m[:])
	subtle.XORBytes(key[8:16], key[8:16], m[:])
}

// maskLeft is the variant under which left halves are made.
const maskLeft = 0xC0C0C0C000000000

// initialTDES derives the initial key from a base derivation key and the KSN
// with its counter cleared (X9.24-1:2009, A.6).
func initialTDES(bdk []byte, out *keyBuffer, id *ident) error {
	var k [16]byte
	defer clear(k[:])
	copy(k[:], bdk)
	for i := range 2 {
		b, err := tdes(k[:])
		if err != nil {
			return err
		}
		b.Encrypt(out[8*i:8*i+8], id[:8])
		variant(k[:], maskLeft)
	}
	return nil
}

// tdes returns triple DES under 16 or 24 bytes.
func tdes(key []byte) (cipher.Block, error) {
	var full [24]byte
	defer clear(full[:])
	copy(full[copy(full[:], key):], key)
	b, err := des.NewTripleDESCipher(full[:])
	if err != nil {
		return nil, fmt.Errorf("dukpt: %w", err)
	}
	return b, nil
}

// nextTDES replaces a key by the one of a counter with one bit more: the
// non-reversible key generation process (X9.24-1:2009, A.2) on the rightmost
// eight bytes of the KSN.
func nextTDES(key *keyBuffer, register [8]byte) error {
	var k [16]byte
	defer clear(k[:])
	copy(k[:], key[:16])
	for i := 1; i >= 0; i-- {
		b, err := des.NewCipher(k[:8])
		if err != nil {
			return fmt.Errorf("dukpt: %w", err)
		}
		half := key[8*i : 8*i+8]
		subtle.XORBytes(half, register[:], k[8:])
		b.Encrypt(half, half)
		subtle.XORBytes(half, half, k[8:])
		variant(k[:], maskLeft)
	}
	return nil
}

// next replaces the key of a counter without its lowest bit by the key of the
// counter.
func (a Algorithm) next(key *keyBuffer, id *ident, counter uint32) error {
	if a == TDES {
		var ksn [10]byte
		a.appendKSN(ksn[:0], id, counter)
		return nextTDES(key, [8]byte(ksn[2:]))
	}
	b, err := aes.NewCipher(key[:a.keyLen()])
	if err != nil {
		return fmt.Errorf("dukpt: %w", err)
	}
	deriveAES(b, key, derivation, a.KeyType(), id, counter)
	return nil
}

// walk replaces the key of a counter's first bits from the highest, steps of them,
// by the key of the counter, bit by bit. With no steps it begins with the initial
// key. What it passes it writes to p, unless that is nil.
func (a Algorithm) walk(key *keyBuffer, id *ident, steps int, counter uint32, p *passed) error {
	sofar, step := uint32(0), 0
	for rest := counter; rest != 0; {
		bit := uint32(1) << (31 - bits.LeadingZeros32(rest))
		rest &^= bit
		sofar |= bit
		if step++; step <= steps {
			continue
		}
		if err := a.next(key, id, sofar); err != nil {
			return err
		}
		if p != nil {
			copy(p[step][:], key[:keyMax])
		}
	}
	return nil
}

// working replaces the key of a counter by a working key.
func (a Algorithm) working(key *keyBuffer, u Usage, t KeyType, id *ident, counter uint32) error {
	if err := a.checkWorking(u, t); err != nil {
		return err
	}
	if a != TDES {
		b, err := aes.NewCipher(key[:a.keyLen()])
		if err != nil {
			return fmt.Errorf("dukpt: %w", err)
		}
		deriveAES(b, key, u, t, id, counter)
		return nil
	}
	variant(key[:16], u.mask())
	if u != DataEncrypt && u != DataDecrypt && u != DataBoth {
		return nil
	}
	// A data key is the variant enciphered under itself, so that it does not
	// tell the PIN key (X9.24-1:2009, A.4.1).
	b, err := tdes(key[:16])
	if err != nil {
		return err
	}
	b.Encrypt(key[:8], key[:8])
	b.Encrypt(key[8:16], key[8:16])
	return nil
}

// cipherOf makes the cipher of a working key.
func cipherOf(t KeyType, key []byte) (cipher.Block, error) {
	switch {
	case t.isHMAC():
		return nil, fmt.Errorf("%w: an HMAC key enciphers nothing", ErrKey)
	case t.isTDES():
		return tdes(key)
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("dukpt: %w", err)
	}
	return b, nil
}
