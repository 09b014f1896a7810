package channel

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors of a Verifier. A verifier that could not be asked never says that the
// device is bad.
var (
	// ErrEvidence: the evidence was judged and refused; an *EvidenceError
	// says why.
	ErrEvidence = errors.New("channel: attestation evidence refused")
	// ErrVerifierUnavailable: the evidence could not be judged now.
	ErrVerifierUnavailable = errors.New("channel: attestation verifier not available")
)

// Reason is why evidence was refused, in a word for machines.
type Reason string

// The reasons.
const (
	ReasonFormat    Reason = "format"    // not of its type's format
	ReasonType      Reason = "type"      // of a type that nobody here judges
	ReasonChallenge Reason = "challenge" // it answers another challenge: an old one, another channel's, another payment's
	ReasonSignature Reason = "signature" // a signature does not verify
	ReasonChain     Reason = "chain"     // not certified by a root that is trusted
	ReasonRevoked   Reason = "revoked"   // the key or the device was revoked
	ReasonExpired   Reason = "expired"   // a certificate, or the evidence, is past its time
	ReasonAssurance Reason = "assurance" // weaker protected than is asked for
	ReasonPlatform  Reason = "platform"  // the platform is in a state that is not accepted
	ReasonApp       Reason = "app"       // another app than is accepted
	ReasonDevice    Reason = "device"    // another device than it has to be
	ReasonReplay    Reason = "replay"    // a counter did not go up
)

// EvidenceError is evidence that was judged and refused; it is ErrEvidence.
type EvidenceError struct {
	Reason Reason
	// What is the reason in words, without secrets.
	What string
}

// Error implements error.
func (e *EvidenceError) Error() string {
	return ErrEvidence.Error() + " (" + string(e.Reason) + "): " + e.What
}

// Is makes it ErrEvidence.
func (e *EvidenceError) Is(target error) bool { return target == ErrEvidence }

// RefuseEvidence makes an *EvidenceError.
func RefuseEvidence(r Reason, format string, a ...any) error {
	return &EvidenceError{Reason: r, What: fmt.Sprintf(format, a...)}
}

// Assurance orders how well a module is protected. A unit is as good as its
// weakest module.
type Assurance uint8

// The levels. The zero value is unknown, the weakest.
const (
	AssuranceUnknown  Assurance = iota
	AssuranceSoftware           // ordinary process memory and files
	AssuranceIsolated           // a trusted execution environment or platform key store
	AssuranceHardware           // a secure element, TPM or approved PIN entry device
)

// String returns the level in words.
func (a Assurance) String() string {
	switch a {
	case AssuranceSoftware:
		return "software"
	case AssuranceIsolated:
		return "isolated"
	case AssuranceHardware:
		return "hardware"
	}
	return "unknown"
}

// Evidence is what a device says about itself: a statement of its platform
// over a challenge that binds the channel.
type Evidence struct {
	// Type names the statement's format, "software" or "tpm2-quote".
	Type string
	// Statement is opaque but to the verifier of that type. At most 16 KiB.
	Statement []byte
}

// Claims is what a verifier takes to be proven.
type Claims struct {
	// Assurance is the level that the evidence proves.
	Assurance Assurance
	// Device is a stable name of the device key, for the server's records.
	Device string
	// Expires is when the evidence ends to count and the server wants new one;
	// zero for never.
	Expires time.Time
}

// Attester produces evidence. challenge is 32 bytes: SHA-256 over a label, the
// handshake hash and the purpose.
type Attester interface {
	Attest(ctx context.Context, challenge []byte) (Evidence, error)
}

// Verifier judges evidence for the challenge that it must answer. Errors:
// ErrEvidence, as an *EvidenceError, and ErrVerifierUnavailable.
type Verifier interface {
	Verify(ctx context.Context, challenge []byte, e Evidence) (Claims, error)
}
