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

// Causes that a *Failure may wrap besides ErrFailed.
var (
	// ErrNoCAKey: the terminal lacks the authority's key that the card names.
	ErrNoCAKey = errors.New("oda: no such CA key")
	// ErrRevoked: the issuer certificate is on the revocation list.
	ErrRevoked = errors.New("oda: issuer certificate is revoked")
	// ErrMissingData: the card lacks data that authentication needs, for which
	// the TVR has a bit of its own (Book 3, 10.3).
	ErrMissingData = errors.New("oda: card data is missing")
)

// Failure says at which step data authentication failed, and why.
type Failure struct {
	// Step is "CA key", "issuer certificate", "ICC certificate", "PIN
	// certificate", "static data", "signed static data" or "signed dynamic data".
	Step string
	// Reason is the check of Book 2 that failed, in words.
	Reason string
	// Err is ErrNoCAKey, ErrRevoked, ErrMissingData or nil.
	Err error
}

// Error implements error.
func (f *Failure) Error() string { return "oda: " + f.Step + ": " + f.Reason }

// Unwrap returns ErrFailed and, when there is one, the cause.
func (f *Failure) Unwrap() []error {
	if f.Err == nil {
		return []error{ErrFailed}
	}
	return []error{ErrFailed, f.Err}
}

func failed(step, format string, a ...any) error {
	return &Failure{Step: step, Reason: fmt.Sprintf(format, a...)}
}

// The steps of a Failure.
const (
	StepCA      = "CA key"
	StepIssuer  = "issuer certificate"
	StepICC     = "ICC certificate"
	StepPIN     = "PIN certificate"
	StepRecords = "static data"
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

// maxModulus is the longest modulus in bytes. Book 2, B2.1 has 248; test keys of
// 256 are in circulation, and do no harm.
const maxModulus = 256

// apply computes b^e mod n, or says why it can't.
func (k PublicKey) apply(b []byte) (out []byte, reason string) {
	n, e, x := new(big.Int).SetBytes(k.Modulus), new(big.Int).SetBytes(k.Exponent), new(big.Int).SetBytes(b)
	switch {
	case len(k.Modulus) > maxModulus:
		return nil, fmt.Sprintf("the key's modulus has %d bytes", len(k.Modulus))
	case len(k.Exponent) > 4 || e.Cmp(big.NewInt(3)) != 0 && e.Cmp(big.NewInt(65537)) != 0:
		// Book 2, B2.1. An exponent of 1 would let anybody sign.
		return nil, "the key's exponent is neither 3 nor 65537"
	case n.Bit(0) == 0:
		return nil, "the key's modulus is even"
	case x.Cmp(n) >= 0:
		return nil, "the number is not below the key's modulus"
	}
	return x.Exp(x, e, n).FillBytes(make([]byte, len(k.Modulus))), ""
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
	if len(signature) == 0 {
		return nil, &Failure{Step: step, Reason: "absent", Err: ErrMissingData}
	}
	if len(signature) != k.Len() {
		return nil, failed(step, "%d bytes, the key has %d", len(signature), k.Len())
	}
	if len(signature) < 3+hashLen {
		return nil, failed(step, "%d bytes are too few", len(signature))
	}
	b, reason := k.apply(signature)
	switch {
	case reason != "":
		return nil, failed(step, "%s", reason)
	case b[len(b)-1] != trailer:
		return nil, failed(step, "trailer is not BC")
	case b[0] != header:
		return nil, failed(step, "header is not 6A")
	case b[1] != format:
		return nil, failed(step, "format is %02X, want %02X", b[1], format)
	}
	return b, nil
}
