package noise

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"hash"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	keyLen  = 32
	hashLen = 32
	tagLen  = 16
	// sharedLen is the length of a shared secret of both curves.
	sharedLen = 32
	p256Len   = 65
	x25519Len = 32
)

// suite is the choice of DH, AEAD and hash of a protocol name (Noise, 12).
type suite struct {
	curve  ecdh.Curve
	dhLen  int // of a public key
	gcm    bool
	blake2 bool
}

// newSuite knows the algorithms by their names in a protocol name. P256 is not
// of the framework; its public keys are uncompressed points (SEC 1, 2.3.3).
func newSuite(dh, aead, digest string) (suite, error) {
	s := suite{gcm: aead == "AESGCM", blake2: digest == "BLAKE2s"}
	switch dh {
	case "25519":
		s.curve, s.dhLen = ecdh.X25519(), x25519Len
	case "P256":
		s.curve, s.dhLen = ecdh.P256(), p256Len
	}
	if s.curve == nil || !s.gcm && aead != "ChaChaPoly" || !s.blake2 && digest != "SHA256" {
		return suite{}, errors.New("noise: suite is not supported")
	}
	return s, nil
}

func (s suite) newHash() hash.Hash {
	if s.blake2 {
		// The error is of a key too long, and there is none.
		if h, err := blake2s.New256(nil); err == nil {
			return h
		}
	}
	return sha256.New()
}

func (s suite) aead(key []byte) (cipher.AEAD, error) {
	if s.gcm {
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
	if s.gcm {
		binary.BigEndian.PutUint64(dst[4:], n)
	} else {
		binary.LittleEndian.PutUint64(dst[4:], n)
	}
	return dst[:]
}

// hkdf is the HKDF of Noise, 4.3, with as many outputs as out has.
func (y *symmetricState) hkdf(input []byte, out ...*[hashLen]byte) {
	var temp, last [hashLen]byte
	y.hmac(&temp, &y.ck, input, nil)
	for i, o := range out {
		previous := last[:]
		if i == 0 {
			previous = nil
		}
		y.hmac(&last, &temp, previous, []byte{byte(i + 1)})
		*o = last
	}
	clear(temp[:])
	clear(last[:])
}

// blockLen is the block length of both hashes.
const blockLen = 64

// hmac is HMAC (RFC 2104) under a key as long as the hash, of two parts of a
// text. crypto/hmac makes two hash states a key, and a handshake has many keys;
// this uses the one that is there.
func (y *symmetricState) hmac(out, key *[hashLen]byte, first, second []byte) {
	pad := &y.pad
	for i := range pad {
		pad[i] = 0x36
	}
	subtle.XORBytes(pad[:], pad[:], key[:])
	y.digest.Reset()
	y.digest.Write(pad[:])
	y.digest.Write(first)
	y.digest.Write(second)
	y.digest.Sum(y.inner[:0])
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5C
	}
	y.digest.Reset()
	y.digest.Write(pad[:])
	y.digest.Write(y.inner[:])
	y.digest.Sum(out[:0])
	clear(pad[:])
	clear(y.inner[:])
	y.digest.Reset()
}
