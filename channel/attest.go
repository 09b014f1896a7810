package channel

import (
	"context"
	"errors"
)

// Errors of a Verifier. A verifier that could not be asked never says that the
// device is bad.
var (
	// ErrEvidence: the evidence was judged and refused.
	ErrEvidence = errors.New("channel: attestation evidence refused")
	// ErrVerifierUnavailable: the evidence could not be judged now.
	ErrVerifierUnavailable = errors.New("channel: attestation verifier not available")
)

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
}

// Attester produces evidence. challenge is 32 bytes: SHA-256 over a label, the
// handshake hash and the purpose.
type Attester interface {
	Attest(ctx context.Context, challenge []byte) (Evidence, error)
}

// Verifier judges evidence for the challenge that it must answer. Errors:
// ErrEvidence, ErrVerifierUnavailable.
type Verifier interface {
	Verify(ctx context.Context, challenge []byte, e Evidence) (Claims, error)
}
