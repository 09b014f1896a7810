package noise

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	keyLen  = 32
	hashLen = 32
	tagLen  = 16
	dhLen   = 32
)

// suite is the choice of AEAD and hash of a protocol name; the DH is X25519.
type suite struct {
	cipher, hash string
}

func (s suite) valid() bool {
	return (s.cipher == "ChaChaPoly" || s.cipher == "AESGCM") && (s.hash == "SHA256" || s.hash == "BLAKE2s")
}

func (s suite) newHash() hash.Hash {
	if s.hash == "BLAKE2s" {
		h, err := blake2s.New256(nil)
		if err == nil {
			return h
		}
	}
	return sha256.New()
}

func (s suite) sum(parts ...[]byte) [hashLen]byte {
	h := s.newHash()
	for _, p := range parts {
		h.Write(p)
	}
	return [hashLen]byte(h.Sum(nil))
}

func (s suite) aead(key []byte) (cipher.AEAD, error) {
	if s.cipher == "AESGCM" {
		b, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(b)
	}
	return chacha20poly1305.New(key)
}

// nonce encodes n as the cipher wants it (Noise, 12.3 and 12.4).
func (s suite) nonce(dst *[12]byte, n uint64) []byte {
	if s.cipher == "AESGCM" {
		binary.BigEndian.PutUint64(dst[4:], n)
	} else {
		binary.LittleEndian.PutUint64(dst[4:], n)
	}
	return dst[:]
}

// hkdf is the HKDF of Noise, 4.3, with two or three outputs.
func (s suite) hkdf(ck, input []byte) (a, b, c [hashLen]byte) {
	mac := func(key []byte, parts ...[]byte) [hashLen]byte {
		m := hmac.New(s.newHash, key)
		for _, p := range parts {
			m.Write(p)
		}
		return [hashLen]byte(m.Sum(nil))
	}
	temp := mac(ck, input)
	a = mac(temp[:], []byte{1})
	b = mac(temp[:], a[:], []byte{2})
	c = mac(temp[:], b[:], []byte{3})
	clear(temp[:])
	return a, b, c
}

// maxNonce is reserved for rekeying (Noise, 5.1 and 11.3).
const maxNonce = ^uint64(0)

// cipherState is the CipherState of Noise, 5.1.
type cipherState struct {
	s     suite
	key   [keyLen]byte
	aead  cipher.AEAD
	n     uint64
	nonce [12]byte
}

func (c *cipherState) set(s suite, key []byte) error {
	a, err := s.aead(key)
	if err != nil {
		return fmt.Errorf("noise: %w", err)
	}
	c.s, c.aead, c.n = s, a, 0
	copy(c.key[:], key)
	return nil
}

// encrypt appends the sealed text to dst.
func (c *cipherState) encrypt(dst, ad, plain []byte) ([]byte, error) {
	if c.aead == nil {
		return append(dst, plain...), nil
	}
	if c.n == maxNonce {
		return nil, errNonces
	}
	dst = c.aead.Seal(dst, c.s.nonce(&c.nonce, c.n), plain, ad)
	c.n++
	return dst, nil
}

// decrypt appends the opened text to dst. The nonce does not advance on
// failure.
func (c *cipherState) decrypt(dst, ad, sealed []byte) ([]byte, error) {
	if c.aead == nil {
		return append(dst, sealed...), nil
	}
	if c.n == maxNonce {
		return nil, errNonces
	}
	dst, err := c.aead.Open(dst, c.s.nonce(&c.nonce, c.n), sealed, ad)
	if err != nil {
		return nil, errAuth
	}
	c.n++
	return dst, nil
}

// rekey replaces the key (Noise, 4.2 and 11.3). The nonce goes on.
func (c *cipherState) rekey() error {
	var zeros [keyLen]byte
	var out [keyLen + tagLen]byte
	next := c.aead.Seal(out[:0], c.s.nonce(&c.nonce, maxNonce), zeros[:], nil)
	n := c.n
	err := c.set(c.s, next[:keyLen])
	c.n = n
	clear(out[:])
	return err
}

func (c *cipherState) wipe() {
	clear(c.key[:])
	c.aead = nil
}

// symmetricState is the SymmetricState of Noise, 5.2.
type symmetricState struct {
	s      suite
	cipher cipherState
	ck, h  [hashLen]byte
}

func (y *symmetricState) initialize(s suite, name string) {
	y.s = s
	if len(name) <= hashLen {
		copy(y.h[:], name)
	} else {
		y.h = s.sum([]byte(name))
	}
	y.ck = y.h
}

func (y *symmetricState) mixHash(data []byte) { y.h = y.s.sum(y.h[:], data) }

func (y *symmetricState) mixKey(input []byte) error {
	ck, k, _ := y.s.hkdf(y.ck[:], input)
	y.ck = ck
	defer clear(k[:])
	return y.cipher.set(y.s, k[:])
}

func (y *symmetricState) mixKeyAndHash(input []byte) error {
	ck, h, k := y.s.hkdf(y.ck[:], input)
	y.ck = ck
	y.mixHash(h[:])
	defer clear(k[:])
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
	y.mixHash(sealed)
	return plain, nil
}

// keyed reports whether what is encrypted has a tag.
func (y *symmetricState) keyed() int {
	if y.cipher.aead == nil {
		return 0
	}
	return tagLen
}

// split makes the two transport ciphers (Noise, 5.2).
func (y *symmetricState) split() (first, second cipherState, err error) {
	a, b, _ := y.s.hkdf(y.ck[:], nil)
	defer clear(a[:])
	defer clear(b[:])
	if err = first.set(y.s, a[:]); err == nil {
		err = second.set(y.s, b[:])
	}
	return first, second, err
}

func (y *symmetricState) wipe() {
	y.cipher.wipe()
	clear(y.ck[:])
}
