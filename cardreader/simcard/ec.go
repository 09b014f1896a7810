package simcard

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"
)

// ECKey is an elliptic-curve key pair for the optimised EC-SDSA (Book 2, A2.2).
//
// Like Key, it takes time that depends on the private key: this is a card for
// tests.
type ECKey struct {
	suite *ecSuite
	d     *big.Int
	x, y  []byte
}

// Signature algorithm suites (Book 2, table 48).
const (
	SuiteP256 = 0x10 // SHA-256 on P-256
	SuiteP521 = 0x11 // SHA-512 on P-521
)

type ecSuite struct {
	id    byte
	curve elliptic.Curve
	ecdh  ecdh.Curve
	hash  func() hash.Hash
}

func lookupSuite(id byte) *ecSuite {
	switch id {
	case SuiteP256:
		return &ecSuite{id, elliptic.P256(), ecdh.P256(), sha256.New}
	case SuiteP521:
		return &ecSuite{id, elliptic.P521(), ecdh.P521(), sha512.New}
	}
	return nil
}

// field is the length of a coordinate.
func (s *ecSuite) field() int { return (s.curve.Params().BitSize + 7) / 8 }

// point returns the coordinates of d times the base point.
func (s *ecSuite) point(d *big.Int) (x, y []byte, err error) {
	k, err := s.ecdh.NewPrivateKey(d.FillBytes(make([]byte, s.field())))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	b := k.PublicKey().Bytes()[1:]
	return b[:len(b)/2], b[len(b)/2:], nil
}

// scalar draws a number from 1 to the order of the curve less one.
func (s *ecSuite) scalar(random io.Reader) (*big.Int, error) {
	b := make([]byte, s.field())
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("simcard: drawing a number: %w", err)
		}
		b[0] &= byte(0xFF >> (8*len(b) - s.curve.Params().BitSize))
		if k := new(big.Int).SetBytes(b); k.Sign() > 0 && k.Cmp(s.curve.Params().N) < 0 {
			return k, nil
		}
	}
}

// NewECKey makes a key pair of a private number. Of the two keys with the same
// x-coordinate it takes the one whose y-coordinate is the lesser (Book 2, B2.2.4).
// Errors wrap ErrKey.
func NewECKey(suite byte, private []byte) (*ECKey, error) {
	s := lookupSuite(suite)
	if s == nil {
		return nil, fmt.Errorf("%w: suite %02X", ErrKey, suite)
	}
	if len(private) > s.field() {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrKey, len(private), s.field())
	}
	k := &ECKey{suite: s, d: new(big.Int).SetBytes(private)}
	var err error
	if k.x, k.y, err = s.point(k.d); err != nil {
		return nil, err
	}
	y := new(big.Int).SetBytes(k.y)
	if other := new(big.Int).Sub(s.curve.Params().P, y); other.Cmp(y) < 0 {
		k.d.Sub(s.curve.Params().N, k.d)
		other.FillBytes(k.y)
	}
	return k, nil
}

// GenerateECKey makes a key pair. A nil random is crypto/rand. The same bytes
// from random make the same key.
func GenerateECKey(random io.Reader, suite byte) (*ECKey, error) {
	s := lookupSuite(suite)
	if s == nil {
		return nil, fmt.Errorf("%w: suite %02X", ErrKey, suite)
	}
	if random == nil {
		random = rand.Reader
	}
	d, err := s.scalar(random)
	if err != nil {
		return nil, err
	}
	return NewECKey(suite, d.Bytes())
}

// Suite returns the algorithm suite indicator.
func (k *ECKey) Suite() byte { return k.suite.id }

// Point returns both coordinates of the public key.
func (k *ECKey) Point() (x, y []byte) { return k.x, k.y }

// Private returns the private number, for writing a key down.
func (k *ECKey) Private() []byte { return k.d.FillBytes(make([]byte, k.suite.field())) }

// Sign signs a message (Book 2, A2.2.2).
func (k *ECKey) Sign(random io.Reader, message ...[]byte) ([]byte, error) {
	n := k.suite.curve.Params().N
	for {
		e, err := k.suite.scalar(random)
		if err != nil {
			return nil, err
		}
		x, _, err := k.suite.point(e)
		if err != nil {
			return nil, err
		}
		h := k.suite.hash()
		h.Write(x)
		for _, m := range message {
			h.Write(m)
		}
		r := h.Sum(nil)
		s := new(big.Int).SetBytes(r)
		s.Mod(s, n)
		if s.Sign() == 0 {
			continue
		}
		s.Mul(s, k.d).Add(s, e).Mod(s, n)
		if s.Sign() != 0 {
			return append(r, s.FillBytes(make([]byte, k.suite.field()))...), nil
		}
	}
}

var errNoEC = errors.New("the PKI has no elliptic-curve keys")
