package dukpt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
)

// Key usages of AES DUKPT (ANSI X9.24-3, table 2).
const (
	usagePIN         = 0x1000
	usageMACGenerate = 0x2000
	usageMACVerify   = 0x2001
	usageDerivation  = 0x8000
	usageInitial     = 0x8001
)

// deriveAES derives a key of an algorithm under key (X9.24-3, 6.3.1): AES in ECB
// over the derivation data, as many blocks as the key needs. id is the initial
// key id, eight bytes.
func deriveAES(key []byte, usage uint16, alg Algorithm, id []byte, counter uint32) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("dukpt: %w", err)
	}
	n := alg.keyLen()
	var data [16]byte
	data[0] = 0x01
	binary.BigEndian.PutUint16(data[2:], usage)
	binary.BigEndian.PutUint16(data[4:], alg.indicator())
	binary.BigEndian.PutUint16(data[6:], uint16(8*n))
	if usage == usageInitial {
		copy(data[8:], id)
	} else {
		copy(data[8:12], id[4:])
		binary.BigEndian.PutUint32(data[12:], counter)
	}
	out := make([]byte, (n+15)/16*16)
	for i := 0; i < len(out); i += 16 {
		data[1] = byte(i/16 + 1)
		b.Encrypt(out[i:], data[:])
	}
	clear(out[n:])
	return out[:n], nil
}

// variant XORs a byte string into both halves of a double-length key.
func variant(key []byte, mask uint64) []byte {
	var m [8]byte
	binary.BigEndian.PutUint64(m[:], mask)
	out := append([]byte(nil), key...)
	subtle.XORBytes(out[:8], out[:8], m[:])
	subtle.XORBytes(out[8:16], out[8:16], m[:])
	return out
}

// Variant masks of TDES DUKPT (X9.24-1:2009, A.4.1).
const (
	maskPIN         = 0x00000000000000FF
	maskMACRequest  = 0x000000000000FF00
	maskMACResponse = 0x00000000FF000000
	maskSecond      = 0xC0C0C0C000000000
)

// initialTDES derives the initial key from a base derivation key and the KSN
// with its counter cleared (X9.24-1:2009, A.6).
func initialTDES(bdk []byte, ksn []byte) ([]byte, error) {
	out := make([]byte, 0, 16)
	for _, mask := range []uint64{0, maskSecond} {
		k := variant(bdk, mask)
		b, err := mac.TDES(secret.NewBytes(k))
		if err != nil {
			return nil, err
		}
		var half [8]byte
		b.Encrypt(half[:], ksn[:8])
		out = append(out, half[:]...)
		clear(k)
	}
	return out, nil
}

// deriveTDES is the non-reversible key generation process (X9.24-1:2009, A.2) on
// the rightmost eight bytes of the KSN.
func deriveTDES(key []byte, register [8]byte) ([]byte, error) {
	half := func(k []byte) ([]byte, error) {
		b, err := des.NewCipher(k[:8])
		if err != nil {
			return nil, fmt.Errorf("dukpt: %w", err)
		}
		out := make([]byte, 8)
		subtle.XORBytes(out, register[:], k[8:])
		b.Encrypt(out, out)
		subtle.XORBytes(out, out, k[8:])
		return out, nil
	}
	right, err := half(key)
	if err != nil {
		return nil, err
	}
	k := variant(key, maskSecond)
	defer clear(k)
	left, err := half(k)
	if err != nil {
		return nil, err
	}
	return append(left, right...), nil
}

// next derives the key of a counter from the key of the same counter without
// its lowest bit.
func (a Algorithm) next(key, id []byte, counter uint32) ([]byte, error) {
	if a != TDES {
		return deriveAES(key, usageDerivation, a, id, counter)
	}
	return deriveTDES(key, [8]byte(a.ksn(id, counter)[2:]))
}

// ksn is the key serial number of a counter (X9.24-3, 6.2; X9.24-1, 6.1).
func (a Algorithm) ksn(id []byte, counter uint32) []byte {
	if a != TDES {
		return binary.BigEndian.AppendUint32(append([]byte(nil), id...), counter)
	}
	k := append([]byte(nil), id...)
	k[7] = k[7]&0xE0 | byte(counter>>16)
	k[8], k[9] = byte(counter>>8), byte(counter)
	return k
}

// split reads a key serial number.
func (a Algorithm) split(ksn []byte) (id []byte, counter uint32, err error) {
	if len(ksn) != a.ksnLen() {
		return nil, 0, fmt.Errorf("%w: %d bytes, want %d", ErrKSN, len(ksn), a.ksnLen())
	}
	if a != TDES {
		return append([]byte(nil), ksn[:8]...), binary.BigEndian.Uint32(ksn[8:]), nil
	}
	counter = uint32(ksn[7]&0x1F)<<16 | uint32(ksn[8])<<8 | uint32(ksn[9])
	return a.ksn(ksn, 0), counter, nil
}

// cipherFor makes the cipher of a working key.
func (a Algorithm) cipherFor(key []byte) (cipher.Block, error) {
	if a == TDES {
		return mac.TDES(secret.NewBytes(key))
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("dukpt: %w", err)
	}
	return b, nil
}
