// Package tpm judges attestation by a TPM 2.0: a quote of platform configuration
// registers over the challenge, by an attestation key (AK) that a certificate
// vouches for. It needs nothing but the standard library; the device's end is
// tpmdevice, and akca certifies keys.
//
// What a quote proves: a TPM whose AK the certification authority has checked
// signed these PCR values now, for this challenge. What it does not: which
// process asked for it. Whoever may use the TPM on the same machine can quote; the
// PCR policy, and what the measured boot lets run, are what tells.
package tpm

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest/tpm/internal/usage"
)

// Type is the evidence type.
const Type = "tpm2-quote"

// ErrConfig: NewVerifier was given something that can't work.
var ErrConfig = errors.New("tpm: configuration")

// PCR is the value of a register of the SHA-256 bank.
type PCR [sha256.Size]byte

// PCRs are values by register number, 0 to 23.
type PCRs map[uint]PCR

// PCRPolicy says which states of a platform are accepted. An
// *channel.EvidenceError refuses; any other error means that it could not be
// judged.
type PCRPolicy interface {
	Accept(ctx context.Context, values PCRs) error
}

// Golden accepts a platform each of whose registers here has one of the values
// given. Registers that are not in it may have any value; those in it have to be
// quoted.
type Golden map[uint][]PCR

// Accept implements PCRPolicy.
func (g Golden) Accept(_ context.Context, values PCRs) error {
	if len(g) == 0 {
		return fmt.Errorf("%w: a policy of no registers", ErrConfig)
	}
	for index, good := range g {
		v, quoted := values[index]
		if !quoted {
			return channel.RefuseEvidence(channel.ReasonPlatform, "PCR %d is not quoted", index)
		}
		known := false
		for _, w := range good {
			known = known || v == w
		}
		if !known {
			return channel.RefuseEvidence(channel.ReasonPlatform, "PCR %d has a value that is not known", index)
		}
	}
	return nil
}

// Config makes a Verifier.
type Config struct {
	// Roots are the certification authorities whose AK certificates count. No
	// default.
	Roots *x509.CertPool
	// PCRs says which platforms are accepted. No default.
	PCRs PCRPolicy
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier judges quotes. It is safe for concurrent use as far as its policy is.
// Which AKs were revoked is for attest.Policy to say, by the device's name.
type Verifier struct{ c Config }

var _ channel.Verifier = (*Verifier)(nil)

// NewVerifier makes a verifier. Errors wrap ErrConfig.
func NewVerifier(c Config) (*Verifier, error) {
	if c.Roots == nil {
		return nil, fmt.Errorf("%w: Roots is nil and has no default", ErrConfig)
	}
	if c.PCRs == nil {
		return nil, fmt.Errorf("%w: PCRs is nil and has no default", ErrConfig)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{c}, nil
}

// Verify implements channel.Verifier. Claims.Device names the AK: the first 16
// bytes of SHA-256 of its public key (PKIX), in hex.
func (v *Verifier) Verify(ctx context.Context, challenge []byte, e channel.Evidence) (channel.Claims, error) {
	if e.Type != Type {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonType, "type %.32q, want %q", e.Type, Type)
	}
	s, err := ParseStatement(e.Statement)
	if err != nil {
		return channel.Claims{}, err
	}
	key, until, err := v.certified(s.Certificates)
	if err != nil {
		return channel.Claims{}, err
	}
	sum := sha256.Sum256(s.Attest)
	if !ecdsa.Verify(key, sum[:], s.R, s.S) {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonSignature, "the AK's signature does not verify")
	}
	q, err := parseQuote(s.Attest)
	if err != nil {
		return channel.Claims{}, err
	}
	if !bytes.Equal(q.extraData, challenge) {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonChallenge, "the quote answers another challenge")
	}
	if len(q.selected) != len(s.Values) {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonFormat, "%d registers are quoted, %d values given", len(q.selected), len(s.Values))
	}
	values, all := PCRs{}, sha256.New()
	for i, index := range q.selected {
		values[index] = s.Values[i]
		all.Write(s.Values[i][:])
	}
	if !bytes.Equal(all.Sum(nil), q.digest) {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonSignature, "the registers' values are not those that were quoted")
	}
	if err := v.c.PCRs.Accept(ctx, values); err != nil {
		if errors.Is(err, channel.ErrEvidence) {
			return channel.Claims{}, err
		}
		return channel.Claims{}, fmt.Errorf("%w: PCR policy: %w", channel.ErrVerifierUnavailable, err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonChain, "the AK's public key")
	}
	name := sha256.Sum256(pub)
	return channel.Claims{Assurance: channel.AssuranceHardware, Device: hex.EncodeToString(name[:16]), Expires: until}, nil
}

var (
	// oidAK is the extended key usage of AK certificates, tcg-kp-AIKCertificate
	// (TCG Credential Profile for TPM 2.0, 3.2).
	oidAK  = asn1.ObjectIdentifier{2, 23, 133, 8, 3}
	oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// certified checks an AK's certificates, the AK's own first, and returns its key
// and the end of the chain's validity.
func (v *Verifier) certified(chain [][]byte) (*ecdsa.PublicKey, time.Time, error) {
	none := time.Time{}
	if len(chain) == 0 {
		return nil, none, channel.RefuseEvidence(channel.ReasonChain, "the AK has no certificate")
	}
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		var err error
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			return nil, none, channel.RefuseEvidence(channel.ReasonFormat, "certificate %d can't be read", i+1)
		}
	}
	ak := certs[0]
	// An AK has no name; its certificate names the TPM in a critical directory
	// name that nothing here depends on (Credential Profile, 3.2).
	ak.UnhandledCriticalExtensions = without(ak.UnhandledCriticalExtensions, oidSAN)
	middle := x509.NewCertPool()
	for _, c := range certs[1:] {
		middle.AddCert(c)
	}
	paths, err := ak.Verify(x509.VerifyOptions{
		Roots: v.c.Roots, Intermediates: middle, CurrentTime: v.c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return nil, none, channel.RefuseEvidence(channel.ReasonExpired, "a certificate of the AK is not valid now")
	case err != nil:
		return nil, none, channel.RefuseEvidence(channel.ReasonChain, "no authority that is trusted certifies the AK")
	}
	path := usage.Path(paths, oidAK)
	if path == nil || ak.IsCA || ak.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, none, channel.RefuseEvidence(channel.ReasonChain, "the certificate is not an AK's, or is from an authority that certifies no AKs")
	}
	key, ok := ak.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, none, channel.RefuseEvidence(channel.ReasonChain, "the AK is not an ECDSA key on P-256")
	}
	until := none
	for _, c := range path {
		if until.IsZero() || c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return key, until, nil
}

func without(list []asn1.ObjectIdentifier, oid asn1.ObjectIdentifier) []asn1.ObjectIdentifier {
	var out []asn1.ObjectIdentifier
	for _, o := range list {
		if !o.Equal(oid) {
			out = append(out, o)
		}
	}
	return out
}
