package simcard

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"
)

// Key is an RSA key pair of any EMV size (Book 2, Annex B2.1: at most 1984
// bits). crypto/rsa refuses keys below 1024 bits and takes its randomness from
// nowhere but the system, so that neither a short ICC key nor a repeatable one
// could be made with it.
//
// The private operation is not constant-time: this is a card for tests, and its
// keys are published.
type Key struct {
	n, p, q   *big.Int
	dp, dq, u *big.Int // CRT exponents, and q inverse modulo p
	e         int

	// certified are signatures in certificates and static data, by what they
	// are over.
	mu        sync.Mutex
	certified map[[sha256.Size]byte][]byte
}

// maxCertified bounds what a key remembers: more than the built-in profiles need.
const maxCertified = 512

// ErrKey says that two numbers make no RSA key.
var ErrKey = errors.New("simcard: not an RSA key")

// NewKey makes a key of two primes, given as big-endian bytes, and the public
// exponent, 3 or 65537. Errors wrap ErrKey.
func NewKey(p, q []byte, e int) (*Key, error) {
	return newKey(new(big.Int).SetBytes(p), new(big.Int).SetBytes(q), e)
}

func newKey(p, q *big.Int, e int) (*Key, error) {
	one := big.NewInt(1)
	if p.Cmp(one) <= 0 || q.Cmp(one) <= 0 || p.Cmp(q) == 0 {
		return nil, fmt.Errorf("%w: the primes", ErrKey)
	}
	if e != 3 && e != 65537 {
		return nil, fmt.Errorf("%w: public exponent %d, want 3 or 65537", ErrKey, e)
	}
	exp := big.NewInt(int64(e))
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	k := &Key{
		n: new(big.Int).Mul(p, q), p: p, q: q, e: e,
		dp: new(big.Int).ModInverse(exp, p1),
		dq: new(big.Int).ModInverse(exp, q1),
		u:  new(big.Int).ModInverse(q, p),
	}
	if k.dp == nil || k.dq == nil || k.u == nil {
		return nil, fmt.Errorf("%w: the exponent has no inverse", ErrKey)
	}
	if k.n.BitLen()%8 != 0 {
		return nil, fmt.Errorf("%w: modulus of %d bits, want whole bytes", ErrKey, k.n.BitLen())
	}
	return k, nil
}

// GenerateKey makes a key whose modulus has exactly bits bits, a multiple of 8.
// A nil random is crypto/rand. The same bytes from random make the same key.
func GenerateKey(random io.Reader, bits, e int) (*Key, error) {
	if bits < 512 || bits > 2048 || bits%16 != 0 {
		return nil, fmt.Errorf("%w: %d bits, want a multiple of 16 from 512 to 2048", ErrKey, bits)
	}
	if random == nil {
		random = rand.Reader
	}
	for {
		p, err := prime(random, bits/2, e)
		if err != nil {
			return nil, err
		}
		q, err := prime(random, bits/2, e)
		if err != nil {
			return nil, err
		}
		if k, err := newKey(p, q, e); err == nil && k.n.BitLen() == bits {
			return k, nil
		}
	}
}

// prime draws primes p with the two top bits set, so that a product of two has
// its top bit set, and p-1 prime to e.
func prime(random io.Reader, bits, e int) (*big.Int, error) {
	b := make([]byte, bits/8)
	one, exp, gcd := big.NewInt(1), big.NewInt(int64(e)), new(big.Int)
	for {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("simcard: drawing a prime: %w", err)
		}
		b[0] |= 0xC0
		b[len(b)-1] |= 1
		p := new(big.Int).SetBytes(b)
		if gcd.GCD(nil, nil, exp, new(big.Int).Sub(p, one)).Cmp(one) == 0 && p.ProbablyPrime(20) {
			return p, nil
		}
	}
}

// Len returns the length of the modulus in bytes.
func (k *Key) Len() int { return k.n.BitLen() / 8 }

// Modulus returns the modulus, most significant byte first.
func (k *Key) Modulus() []byte { return k.n.Bytes() }

// Exponent returns the public exponent in its shortest form, 03 or 010001.
func (k *Key) Exponent() []byte { return big.NewInt(int64(k.e)).Bytes() }

// Primes returns both primes, for writing a key down.
func (k *Key) Primes() (p, q []byte) { return k.p.Bytes(), k.q.Bytes() }

// Apply is the private operation on a block as long as the modulus and
// numerically smaller: signature generation and decipherment (Book 2, B2.1.2).
func (k *Key) Apply(block []byte) ([]byte, error) {
	x := new(big.Int).SetBytes(block)
	if len(block) != k.Len() || x.Cmp(k.n) >= 0 {
		return nil, fmt.Errorf("simcard: block of %d bytes does not fit a modulus of %d", len(block), k.Len())
	}
	// Garner's recombination: two exponentiations of half the size.
	m1 := new(big.Int).Exp(new(big.Int).Mod(x, k.p), k.dp, k.p)
	m2 := new(big.Int).Exp(new(big.Int).Mod(x, k.q), k.dq, k.q)
	m1.Sub(m1, m2).Mul(m1, k.u).Mod(m1, k.p)
	m1.Mul(m1, k.q).Add(m1, m2)
	return m1.FillBytes(make([]byte, k.Len())), nil
}
