package attest

import (
	"crypto/sha256"
	"fmt"

	"github.com/payunit/payunit/channel"
)

// ChallengeLen is the length of a challenge, in bytes.
const ChallengeLen = sha256.Size

// Challenge is what the evidence of a handshake has to answer. binding is the
// handshake's hash, with the server's nonce in it.
//
//	SHA-256 over
//	offset  size  field
//	0       21    label "payunit attestation 1"
//	21      n     binding
//	21+n    1     purpose: 1 pay, 2 enrol, 3 resume
func Challenge(binding []byte, p channel.Purpose) []byte {
	sum := sha256.New()
	sum.Write([]byte("payunit attestation 1"))
	sum.Write(binding)
	sum.Write([]byte{byte(p)})
	return sum.Sum(nil)
}

// Moment is when, in a payment, evidence is asked for again.
type Moment string

// The moments.
const (
	BeforePayment Moment = "payment" // before the trade is sent down
	BeforePIN     Moment = "pin"     // before the PIN is entered
)

// NonceLen is the length of a server's nonce, in bytes.
const NonceLen = 32

// Question is what evidence inside a channel has to answer.
type Question struct {
	// Nonce is the server's, never used before.
	Nonce [NonceLen]byte
	// Binding is the channel's, up to 255 bytes.
	Binding []byte
	Moment  Moment
	// Payment is the id of the payment, up to 255 bytes.
	Payment string
}

// Challenge returns the challenge of a question.
//
//	SHA-256 over
//	offset     size  field
//	0          24    label "payunit re-attestation 1"
//	24         32    the server's nonce
//	56         1     length n of the binding
//	57         n     the channel's binding
//	57+n       1     length m of the moment
//	58+n       m     moment: "payment" or "pin"
//	58+n+m     1     length k of the payment's id
//	59+n+m     k     the payment's id
func (q Question) Challenge() ([]byte, error) {
	if q.Moment != BeforePayment && q.Moment != BeforePIN {
		return nil, fmt.Errorf("attest: no moment of a payment is called %.16q", string(q.Moment))
	}
	sum := sha256.New()
	sum.Write([]byte("payunit re-attestation 1"))
	sum.Write(q.Nonce[:])
	for _, field := range [][]byte{q.Binding, []byte(q.Moment), []byte(q.Payment)} {
		if len(field) == 0 || len(field) > 255 {
			return nil, fmt.Errorf("attest: a field of the question has %d bytes, want 1 to 255", len(field))
		}
		sum.Write([]byte{byte(len(field))})
		sum.Write(field)
	}
	return sum.Sum(nil), nil
}
