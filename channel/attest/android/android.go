// Package android judges Android Key Attestation, at the server: a key of the
// device's key store signs the challenge, and a certificate by the device's
// trusted execution environment or StrongBox says where that key is, what may be
// done with it, which app made it, and what the device booted
// (source.android.com/docs/security/features/keystore/attestation).
//
// What is checked: the chain up to the roots given, that the attestation is the
// leaf's alone, the revocation list, the security level, how the key may be used,
// the verified boot state, patch levels, package and signing certificate, and
// freshness. What is not: that the app's process was not taken over since the boot
// (root at runtime, hooking), device identifiers, and Play Integrity's verdicts.
package android

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
	"slices"
	"time"

	"github.com/payunit/payunit/channel"
)

// Type is the evidence type.
const Type = "android-key"

// ErrConfig: NewVerifier was given something that can't work.
var ErrConfig = errors.New("android: configuration")

// signLabel stands before the challenge in what the key signs (ECDSA on P-256
// with SHA-256).
const signLabel = "payunit android attestation 1"

// App is an app that is accepted.
type App struct {
	// Package is its name, "org.example.till".
	Package string
	// Signers are SHA-256 digests of the certificates that it may be signed
	// with; one has to be there.
	Signers [][sha256.Size]byte
	// MinVersion is the lowest version code.
	MinVersion int64
}

// Config makes a Verifier.
type Config struct {
	// Roots are the attestation roots: those that Google publishes, as a rule.
	// No default.
	Roots *x509.CertPool
	// Revocations knows certificates that were revoked. No default.
	Revocations Revocations
	// Apps are the apps that are accepted. No default.
	Apps []App
	// MinLevel is the lowest security level: TrustedEnvironment, which zero
	// means too, or StrongBox.
	MinLevel SecurityLevel
	// BootKeys are the verified boot keys of self-signed systems that are
	// accepted beside those that the maker of the device signed; nil for none.
	BootKeys [][]byte
	// MinOSPatch and MinVendorPatch are the oldest patch levels, YYYYMM and
	// YYYYMMDD; zero takes any.
	MinOSPatch, MinVendorPatch int64
	// Known says whether a device key was attested before, by the name that
	// Claims.Device has, as when it enrolled: then its certificates need not be
	// fresh, and its signature alone answers the challenge. Of one that is not
	// known the certificates have to answer the challenge too. Without it a key
	// could answer but once, and no device would be, inside a channel, the one
	// that opened it (attest.Gate). No default.
	Known func(ctx context.Context, device string) (bool, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier judges attestations. It is safe for concurrent use as far as its
// modules are.
type Verifier struct{ c Config }

var _ channel.Verifier = (*Verifier)(nil)

// NewVerifier makes a verifier. Errors wrap ErrConfig.
func NewVerifier(c Config) (*Verifier, error) {
	switch {
	case c.Roots == nil:
		return nil, fmt.Errorf("%w: Roots is nil and has no default", ErrConfig)
	case c.Revocations == nil:
		return nil, fmt.Errorf("%w: Revocations is nil and has no default", ErrConfig)
	case len(c.Apps) == 0:
		return nil, fmt.Errorf("%w: there are no Apps, and no default", ErrConfig)
	case c.Known == nil:
		return nil, fmt.Errorf("%w: Known is nil and has no default: a device could not attest again inside its channel", ErrConfig)
	case c.MinLevel > StrongBox:
		return nil, fmt.Errorf("%w: there is no security level %d", ErrConfig, c.MinLevel)
	}
	for _, a := range c.Apps {
		if a.Package == "" || len(a.Signers) == 0 {
			return nil, fmt.Errorf("%w: an app without a package or a signer", ErrConfig)
		}
	}
	c.MinLevel = max(c.MinLevel, TrustedEnvironment)
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{c}, nil
}

// Verify implements channel.Verifier. Claims.Device names the key: the first 16
// bytes of SHA-256 of its public key (PKIX), in hex. The assurance is isolated
// for a trusted execution environment, hardware for a StrongBox.
func (v *Verifier) Verify(ctx context.Context, challenge []byte, e channel.Evidence) (channel.Claims, error) {
	if e.Type != Type {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonType, "type %.32q, want %q", e.Type, Type)
	}
	s, err := ParseStatement(e.Statement)
	if err != nil {
		return channel.Claims{}, err
	}
	a, err := v.attested(ctx, s.Certificates)
	if err != nil {
		return channel.Claims{}, err
	}
	sum := sha256.Sum256(append([]byte(signLabel), challenge...))
	if !ecdsa.VerifyASN1(a.key, sum[:], s.Signature) {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonSignature, "the key's signature over the challenge does not verify")
	}
	claims := channel.Claims{Assurance: channel.AssuranceIsolated, Device: a.name, Expires: a.until}
	// The statement is as good as who makes it, the key as where it is.
	if min(a.description.SecurityLevel, a.description.KeyMintSecurityLevel) == StrongBox {
		claims.Assurance = channel.AssuranceHardware
	}
	if bytes.Equal(a.description.Challenge, challenge) {
		return claims, nil
	}
	known, err := v.c.Known(ctx, a.name)
	if err != nil {
		return channel.Claims{}, fmt.Errorf("%w: known devices: %w", channel.ErrVerifierUnavailable, err)
	}
	if !known {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonChallenge, "the certificate answers another challenge, and the key is not known")
	}
	return claims, nil
}

// attestation is what certificates say of a key.
type attestation struct {
	key         *ecdsa.PublicKey
	name        string
	description *KeyDescription
	until       time.Time
}

// oidKeyDescription is the extension of the attestation.
var oidKeyDescription = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}

// attested judges a chain, the key's own certificate first.
func (v *Verifier) attested(ctx context.Context, chain [][]byte) (*attestation, error) {
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		var err error
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			return nil, channel.RefuseEvidence(channel.ReasonFormat, "certificate %d can't be read", i+1)
		}
	}
	leaf := certs[0]
	path, err := v.path(leaf, certs[1:])
	if err != nil {
		return nil, err
	}
	a := &attestation{}
	for i, c := range path {
		if a.until.IsZero() || c.NotAfter.Before(a.until) {
			a.until = c.NotAfter
		}
		// A key that may sign can sign a certificate with an attestation of its
		// own invention: the one that counts is the one nearest to the root,
		// and here that is the leaf's or none.
		if i > 0 && extension(c) != nil {
			return nil, channel.RefuseEvidence(channel.ReasonChain, "certificate %d is an attested key's, not an authority's", i+1)
		}
		revoked, err := v.c.Revocations.Revoked(ctx, c.SerialNumber)
		if err != nil {
			return nil, fmt.Errorf("%w: revocations: %w", channel.ErrVerifierUnavailable, err)
		}
		if revoked {
			return nil, channel.RefuseEvidence(channel.ReasonRevoked, "certificate %d was revoked", i+1)
		}
	}
	der := extension(leaf)
	if der == nil {
		return nil, channel.RefuseEvidence(channel.ReasonFormat, "the key's certificate has no attestation")
	}
	if a.description, err = ParseKeyDescription(der); err != nil {
		return nil, err
	}
	if err := v.judge(a.description); err != nil {
		return nil, err
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, channel.RefuseEvidence(channel.ReasonFormat, "the key is not an ECDSA key on P-256")
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	a.key, a.name = key, hex.EncodeToString(sum[:16])
	return a, nil
}

func extension(c *x509.Certificate) []byte {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidKeyDescription) {
			return e.Value
		}
	}
	return nil
}

// path finds the way to a root.
func (v *Verifier) path(leaf *x509.Certificate, middle []*x509.Certificate) ([]*x509.Certificate, error) {
	pool := x509.NewCertPool()
	for _, c := range middle {
		pool.AddCert(c)
	}
	paths, err := leaf.Verify(x509.VerifyOptions{
		Roots: v.c.Roots, Intermediates: pool, CurrentTime: v.c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return nil, channel.RefuseEvidence(channel.ReasonExpired, "a certificate is not valid now")
	case err != nil:
		return nil, channel.RefuseEvidence(channel.ReasonChain, "no root that is trusted certifies the key")
	}
	return paths[0], nil
}

// What the values of an authorization list mean (KeyMint, Tag.aidl and its
// enumerations).
const (
	purposeSign     = 2
	algorithmEC     = 3
	digestSHA256    = 4
	curveP256       = 1
	originGenerated = 0
)

// judge holds a description to the policy.
func (v *Verifier) judge(d *KeyDescription) error {
	hw := d.Hardware
	switch {
	case d.SecurityLevel < v.c.MinLevel || d.KeyMintSecurityLevel < v.c.MinLevel:
		return channel.RefuseEvidence(channel.ReasonAssurance, "security levels %v and %v, want at least %v", d.SecurityLevel, d.KeyMintSecurityLevel, v.c.MinLevel)
	case !slices.Equal(hw.Purposes, []int64{purposeSign}):
		return channel.RefuseEvidence(channel.ReasonFormat, "the key may do more than sign, or not that")
	case !is(hw.Algorithm, algorithmEC) || !is(hw.Curve, curveP256) || !slices.Contains(hw.Digests, digestSHA256):
		return channel.RefuseEvidence(channel.ReasonFormat, "the key is not an ECDSA key on P-256 with SHA-256")
	case !is(hw.Origin, originGenerated):
		return channel.RefuseEvidence(channel.ReasonAssurance, "the key was not made in the secure hardware")
	case hw.AllApplications || d.Software.AllApplications:
		return channel.RefuseEvidence(channel.ReasonApp, "any app may use the key")
	}
	if err := v.judgeBoot(hw); err != nil {
		return err
	}
	return v.judgeApp(d)
}

func is(v *int64, want int64) bool { return v != nil && *v == want }

// judgeBoot counts only what the secure hardware says: the system's own word
// proves nothing of itself.
func (v *Verifier) judgeBoot(hw AuthorizationList) error {
	r := hw.RootOfTrust
	switch {
	case r == nil:
		return channel.RefuseEvidence(channel.ReasonPlatform, "the secure hardware says nothing of the boot")
	case !r.Locked:
		return channel.RefuseEvidence(channel.ReasonPlatform, "the boot loader is unlocked")
	case r.State == SelfSigned && slices.ContainsFunc(v.c.BootKeys, func(k []byte) bool { return bytes.Equal(k, r.BootKey) }):
	case r.State != Verified:
		return channel.RefuseEvidence(channel.ReasonPlatform, "verified boot state %v", r.State)
	}
	if v.c.MinOSPatch != 0 && (hw.OSPatch == nil || *hw.OSPatch < v.c.MinOSPatch) {
		return channel.RefuseEvidence(channel.ReasonPlatform, "the system's patch level is older than %d", v.c.MinOSPatch)
	}
	if v.c.MinVendorPatch != 0 && (hw.VendorPatch == nil || *hw.VendorPatch < v.c.MinVendorPatch) {
		return channel.RefuseEvidence(channel.ReasonPlatform, "the vendor's patch level is older than %d", v.c.MinVendorPatch)
	}
	return nil
}

// judgeApp looks at the app id, which the system fills in: it counts since the
// boot was verified.
func (v *Verifier) judgeApp(d *KeyDescription) error {
	id := d.Software.Application
	if id == nil {
		return channel.RefuseEvidence(channel.ReasonApp, "the attestation names no app")
	}
	// More than one package shares a user id with this one, and could use its
	// keys.
	if len(id.Packages) != 1 {
		return channel.RefuseEvidence(channel.ReasonApp, "%d packages may use the key", len(id.Packages))
	}
	for _, a := range v.c.Apps {
		if a.Package != id.Packages[0].Name || id.Packages[0].Version < a.MinVersion {
			continue
		}
		if len(id.Signers) != 0 && !slices.ContainsFunc(id.Signers, func(s []byte) bool {
			return !slices.ContainsFunc(a.Signers, func(w [sha256.Size]byte) bool { return bytes.Equal(w[:], s) })
		}) {
			return nil
		}
	}
	return channel.RefuseEvidence(channel.ReasonApp, "another app, version or signer")
}
