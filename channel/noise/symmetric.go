package noise

import (
	"bytes"
	"crypto/cipher"
	"fmt"
	"hash"
)

// maxNonce is reserved for rekeying (Noise, 5.1 and 11.3).
const maxNonce = ^uint64(0)

// cipherState is the CipherState of Noise, 5.1. The key is in the AEAD alone,
// which is dropped when it is done with: Go's AEADs can't be wiped.
type cipherState struct {
	s     suite
	aead  func() cipher.AEAD // a function, because fmt prints what a field points to
	n     uint64
	nonce [12]byte
	// wiped keeps what had a key from passing for what has none yet, which
	// sends in clear.
	wiped bool
}

func (c *cipherState) set(s suite, key []byte) error {
	a, err := s.aead(key)
	if err != nil {
		return fmt.Errorf("noise: %w", err)
	}
	c.s, c.aead, c.n = s, func() cipher.AEAD { return a }, 0
	return nil
}

// encrypt appends the sealed text to dst. plain may lie where the sealed text
// will, as cipher.AEAD has it.
func (c *cipherState) encrypt(dst, ad, plain []byte) ([]byte, error) {
	if c.wiped {
		return nil, errFinished
	}
	if c.aead == nil {
		return append(dst, plain...), nil
	}
	if c.n == maxNonce {
		return nil, errNonces
	}
	dst = c.aead().Seal(dst, c.s.nonce(&c.nonce, c.n), plain, ad)
	c.n++
	return dst, nil
}

// decrypt appends the opened text to dst. The nonce does not advance on
// failure.
func (c *cipherState) decrypt(dst, ad, sealed []byte) ([]byte, error) {
	if c.wiped {
		return nil, errFinished
	}
	if c.aead == nil {
		return append(dst, sealed...), nil
	}
	if c.n == maxNonce {
		return nil, errNonces
	}
	dst, err := c.aead().Open(dst, c.s.nonce(&c.nonce, c.n), sealed, ad)
	if err != nil {
		return nil, errAuth
	}
	c.n++
	return dst, nil
}

// rekey replaces the key (Noise, 4.2 and 11.3). The nonce goes on.
func (c *cipherState) rekey() error {
	if c.aead == nil {
		return errFinished
	}
	var zeros [keyLen]byte
	var out [keyLen + tagLen]byte
	next := c.aead().Seal(out[:0], c.s.nonce(&c.nonce, maxNonce), zeros[:], nil)
	n := c.n
	err := c.set(c.s, next[:keyLen])
	c.n = n
	clear(out[:])
	return err
}

func (c *cipherState) wipe() { c.aead, c.wiped = nil, true }

// symmetricState is the SymmetricState of Noise, 5.2.
type symmetricState struct {
	s      suite
	cipher cipherState
	digest hash.Hash
	ck, h  [hashLen]byte
	// pad and inner are what hmac works in.
	pad   [blockLen]byte
	inner [hashLen]byte
}

func (y *symmetricState) initialize(s suite, name string) {
	y.s, y.digest = s, s.newHash()
	if len(name) <= hashLen {
		copy(y.h[:], name)
	} else {
		y.digest.Write([]byte(name))
		y.digest.Sum(y.h[:0])
	}
	y.ck = y.h
}

func (y *symmetricState) mixHash(data []byte) {
	y.digest.Reset()
	y.digest.Write(y.h[:])
	y.digest.Write(data)
	y.digest.Sum(y.h[:0])
}

func (y *symmetricState) mixKey(input []byte) error {
	var k [hashLen]byte
	defer clear(k[:])
	y.hkdf(input, &y.ck, &k)
	return y.cipher.set(y.s, k[:])
}

func (y *symmetricState) mixKeyAndHash(input []byte) error {
	var h, k [hashLen]byte
	defer clear(k[:])
	y.hkdf(input, &y.ck, &h, &k)
	y.mixHash(h[:])
	return y.cipher.set(y.s, k[:])
}

func (y *symmetricState) encryptAndHash(dst, plain []byte) ([]byte, error) {
	at := len(dst)
	dst, err := y.cipher.encrypt(dst, y.h[:], plain)
	if err != nil {
		return nil, err
	}
	y.mixHash(dst[at:])
	return dst, nil
}

func (y *symmetricState) decryptAndHash(sealed []byte) ([]byte, error) {
	plain, err := y.cipher.decrypt(nil, y.h[:], sealed)
	if err != nil {
		return nil, err
	}
	if !y.s.gcm && len(plain)%512 == 64 {
		// From a text so long, as a KEM ciphertext is, the assembly of
		// x/crypto v0.58.0 returns with the upper halves of the vector
		// registers in use. Hashing is then a hundred times slower until
		// something lets go of them, as copying does.
		plain = bytes.Clone(plain)
	}
	y.mixHash(sealed)
	return plain, nil
}

// overhead is the length of the tag of what is encrypted now.
func (y *symmetricState) overhead() int {
	if y.cipher.aead == nil {
		return 0
	}
	return tagLen
}

// split makes the two transport ciphers (Noise, 5.2).
func (y *symmetricState) split() (first, second cipherState, err error) {
	var a, b [hashLen]byte
	defer clear(a[:])
	defer clear(b[:])
	y.hkdf(nil, &a, &b)
	if err = first.set(y.s, a[:]); err == nil {
		err = second.set(y.s, b[:])
	}
	return first, second, err
}

func (y *symmetricState) wipe() {
	y.cipher.wipe()
	clear(y.ck[:])
	if y.digest != nil {
		// What it was last fed lies in its block, which takes less than a block at
		// a time alone: a whole one is hashed from where it is.
		clear(y.pad[:])
		y.digest.Reset()
		y.digest.Write(y.pad[1:])
		y.digest.Write(y.pad[:1])
		y.digest.Reset()
	}
}
