//go:build !release || software

package attest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/payunit/payunit/channel"
)

// TypeSoftware is the evidence type of a signature by a key in the device's key
// store. It proves that the same key store answers as before, and nothing about
// the platform around it; its assurance level says so. The statement:
//
//	offset  size  field
//	0       32    Ed25519 public key (RFC 8032)
//	32      64    signature over label and challenge
const TypeSoftware = "software"

const softwareLabel = "payunit software attestation 1"

// Signer signs with a named Ed25519 key that it keeps; trusted.KeyStore is one.
type Signer interface {
	VerificationKey(ctx context.Context, name string) ([]byte, error)
	Sign(ctx context.Context, name string, message []byte) ([]byte, error)
}

// Software attests with a key of a key store.
type Software struct {
	Keys Signer
	// Key is the key's name; empty means "attestation".
	Key string
}

var (
	_ channel.Attester = Software{}
	_ channel.Verifier = SoftwareVerifier{}
)

func message(challenge []byte) []byte { return append([]byte(softwareLabel), challenge...) }

// Attest implements channel.Attester.
func (s Software) Attest(ctx context.Context, challenge []byte) (channel.Evidence, error) {
	name := s.Key
	if name == "" {
		name = "attestation"
	}
	pub, err := s.Keys.VerificationKey(ctx, name)
	if err != nil {
		return channel.Evidence{}, fmt.Errorf("attest: %w", err)
	}
	sig, err := s.Keys.Sign(ctx, name, message(challenge))
	if err != nil {
		return channel.Evidence{}, fmt.Errorf("attest: %w", err)
	}
	return channel.Evidence{Type: TypeSoftware, Statement: append(append([]byte(nil), pub...), sig...)}, nil
}

// SoftwareVerifier takes evidence of Software by any key, and names the key in
// Claims.Device: which keys are known is for the server to say once it knows
// whose channel it is. Using it is to accept devices without a protected
// platform.
type SoftwareVerifier struct{}

// Verify implements channel.Verifier.
func (SoftwareVerifier) Verify(_ context.Context, challenge []byte, e channel.Evidence) (channel.Claims, error) {
	if e.Type != TypeSoftware {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonType, "type %.32q, want %q", e.Type, TypeSoftware)
	}
	if len(e.Statement) != ed25519.PublicKeySize+ed25519.SignatureSize {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonFormat, "statement of %d bytes", len(e.Statement))
	}
	pub := e.Statement[:ed25519.PublicKeySize]
	if !ed25519.Verify(pub, message(challenge), e.Statement[ed25519.PublicKeySize:]) {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonSignature, "the signature over the challenge does not verify")
	}
	sum := sha256.Sum256(pub)
	return channel.Claims{Assurance: channel.AssuranceSoftware, Device: hex.EncodeToString(sum[:16])}, nil
}
