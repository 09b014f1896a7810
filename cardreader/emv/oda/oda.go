// Package oda is EMV offline data authentication: certification authority
// public keys, recovery of issuer and card certificates, static, dynamic and
// combined data authentication, and PIN encipherment (EMV 4.4 Book 2, 5 to 7).
//
// Verifying and building share their layouts, so that a card can be made by the
// same rules by which it is judged.
package oda

import (
	"errors"
	"fmt"
	"math/big"
)

// ErrFailed is wrapped by every *Failure: a certificate or a signature does not
// verify.
var ErrFailed = errors.New("oda: authentication failed")

// Failure says at which step data authentication failed, and why.
type Failure struct {
	// Step is "issuer certificate", "ICC certificate", "PIN certificate",
	// "signed static data", "signed dynamic data" or "CA key".
	Step string
	// Reason is the check of Book 2 that failed, in words.
	Reason string
}

// Error implements error.
func (f *Failure) Error() string { return "oda: " + f.Step + ": " + f.Reason }

// Unwrap returns ErrFailed.
func (*Failure) Unwrap() error { return ErrFailed }

func failed(step, format string, a ...any) error {
	return &Failure{Step: step, Reason: fmt.Sprintf(format, a...)}
}

// The steps of a Failure.
const (
	StepCA      = "CA key"
	StepIssuer  = "issuer certificate"
	StepICC     = "ICC certificate"
	StepPIN     = "PIN certificate"
	StepStatic  = "signed static data"
	StepDynamic = "signed dynamic data"
)

// RID is a registered application provider identifier, the first five bytes of
// an AID.
type RID [5]byte

// PublicKey is an RSA public key as certificates hold it.
type PublicKey struct {
	Modulus  []byte
	Exponent []byte
}

// Len returns the length of the modulus in bytes.
func (k PublicKey) Len() int { return len(k.Modulus) }

// maxModulus is the longest modulus of Book 2, B2.1, in bytes.
const maxModulus = 248

// apply computes b^e mod n. ok is false when b or the key has no business here.
func (k PublicKey) apply(b []byte) ([]byte, bool) {
	n, e, x := new(big.Int).SetBytes(k.Modulus), new(big.Int).SetBytes(k.Exponent), new(big.Int).SetBytes(b)
	if n.Sign() == 0 || n.Bit(0) == 0 || e.Bit(0) == 0 || e.BitLen() > 24 || len(k.Modulus) > maxModulus || x.Cmp(n) >= 0 {
		return nil, false
	}
	return x.Exp(x, e, n).FillBytes(make([]byte, len(k.Modulus))), true
}

// Header, trailer and format bytes of recovered data (Book 2, tables 5 to 22).
const (
	header        = 0x6A
	trailer       = 0xBC
	padding       = 0xBB
	formatIssuer  = 0x02
	formatSDA     = 0x03
	formatICC     = 0x04
	formatDynamic = 0x05
	hashSHA1      = 0x01
	keyRSA        = 0x01
	hashLen       = 20
)

// recoverBlock applies a key and checks what all formats have in common
// (Book 2, A2.1).
func recoverBlock(step string, k PublicKey, signature []byte, format byte) ([]byte, error) {
	if len(signature) != k.Len() {
		return nil, failed(step, "%d bytes, the key has %d", len(signature), k.Len())
	}
	b, ok := k.apply(signature)
	if !ok {
		return nil, failed(step, "the key can't have made it")
	}
	switch {
	case len(b) < 3+hashLen || b[0] != header:
		return nil, failed(step, "header is not 6A")
	case b[len(b)-1] != trailer:
		return nil, failed(step, "trailer is not BC")
	case b[1] != format:
		return nil, failed(step, "format is %02X, want %02X", b[1], format)
	}
	return b, nil
}
