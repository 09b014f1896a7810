package oda

import (
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"math/big"
)

// Suite is a signature algorithm suite of elliptic curves (Book 2, table 48). The
// zero value is none.
type Suite byte

// The suites that EMV has in use. Both are the optimised EC-SDSA of ISO/IEC
// 14888-3, which hashes the x-coordinate alone.
const (
	SuiteP256 Suite = 0x10 // SHA-256 on P-256
	SuiteP521 Suite = 0x11 // SHA-512 on P-521
)

// String returns the scheme, its hash and its curve; "" for an unknown suite.
func (s Suite) String() string {
	switch s {
	case SuiteP256:
		return "EC-SDSA with SHA-256 on P-256"
	case SuiteP521:
		return "EC-SDSA with SHA-512 on P-521"
	}
	return ""
}

type suiteParams struct {
	curve elliptic.Curve
	hash  func() hash.Hash
	// field and digest are NFIELD and NHASH, in bytes.
	field, digest int
}

func (s Suite) params() (suiteParams, bool) {
	switch s {
	case SuiteP256:
		return suiteParams{elliptic.P256(), sha256.New, 32, sha256.Size}, true
	case SuiteP521:
		return suiteParams{elliptic.P521(), sha512.New, 66, sha512.Size}, true
	}
	return suiteParams{}, false
}

// Len returns the lengths of a public key and of a signature in bytes, zeros for
// an unknown suite.
func (s Suite) Len() (key, signature int) {
	p, _ := s.params()
	return p.field, p.digest + p.field
}

// ECKey is an elliptic-curve public key as certificates hold it: the x-coordinate
// of the point; of its two y-coordinates the lesser one counts (Book 2, B2.2.4).
type ECKey struct {
	Suite Suite
	X     []byte
}

// point finds the key's point (Book 2, B2.2.1 e, Point4x). False when there is
// none.
func (k ECKey) point() (x, y *big.Int, ok bool) {
	p, known := k.Suite.params()
	if !known || len(k.X) != p.field {
		return nil, nil, false
	}
	x, y = elliptic.UnmarshalCompressed(p.curve, append([]byte{0x02}, k.X...))
	if x == nil {
		return nil, nil, false
	}
	if other := new(big.Int).Sub(p.curve.Params().P, y); other.Cmp(y) < 0 {
		y = other
	}
	return x, y, true
}

// verify checks a signature (Book 2, A2.2.3), and says what is wrong with it.
func (k ECKey) verify(message, signature []byte) (reason string) {
	x, y, ok := k.point()
	if !ok {
		return "the key is no point of a curve that is known"
	}
	p, _ := k.Suite.params()
	return p.verify(x, y, message, signature)
}

// verify is the signature scheme itself, on the public values of a signature.
// Nothing in it is secret, so that its time may depend on all of it.
func (p suiteParams) verify(x, y *big.Int, message, signature []byte) (reason string) {
	if len(signature) != p.digest+p.field {
		return "the signature has another length than its suite's"
	}
	order := p.curve.Params().N
	r := new(big.Int).SetBytes(signature[:p.digest])
	s := new(big.Int).SetBytes(signature[p.digest:])
	if r.Mod(r, order); r.Sign() == 0 || s.Sign() == 0 || s.Cmp(order) >= 0 {
		return "the signature's numbers are out of range"
	}
	// sG - rP. Package ecdh, which the standard library recommends instead, has
	// no sum of points.
	//lint:ignore SA1019 see above
	sx, sy := p.curve.ScalarBaseMult(s.Bytes())
	//lint:ignore SA1019 see above
	rx, ry := p.curve.ScalarMult(x, y, r.Sub(order, r).Bytes())
	//lint:ignore SA1019 see above
	qx, qy := p.curve.Add(sx, sy, rx, ry)
	if qx.Sign() == 0 && qy.Sign() == 0 {
		return "the signature does not verify"
	}
	h := p.hash()
	h.Write(qx.FillBytes(make([]byte, p.field)))
	h.Write(message)
	if subtle.ConstantTimeCompare(h.Sum(nil), signature[:p.digest]) != 1 {
		return "the signature does not verify"
	}
	return ""
}
