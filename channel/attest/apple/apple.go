// Package apple judges Apple App Attest, at the server
// (developer.apple.com/documentation/devicecheck/validating-apps-that-connect-to-your-server):
// a key in the device's Secure Enclave, attested by Apple once for one app, which
// then signs assertions that count.
//
// What is checked: the chain up to the root given, the nonce over the challenge,
// the key's id, the app, the environment, the counter, and of an assertion the
// signature. What is not: the receipt and Apple's fraud metric, which need Apple's
// server, and the state of the operating system, of which App Attest says nothing.
// Its assurance is therefore isolated, not hardware.
package apple

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
)

// Type is the evidence type.
const Type = "apple-appattest"

// ErrConfig: NewVerifier was given something that can't work.
var ErrConfig = errors.New("apple: configuration")

// The evidence's statement:
//
//	offset  size  field
//	0       1     version, 1
//	1       1     kind: 1 an attestation, 2 an assertion
//	2       32    key id: SHA-256 of the public key's uncompressed point
//	34      n     the object that the device's App Attest service returned, CBOR
//
// The service is given the challenge, 32 bytes, as its client data hash. An
// attestation is made once for a key, at enrolment; every later evidence is an
// assertion.
const (
	statementVersion = 1

	kindAttestation = 1
	kindAssertion   = 2

	keyIDLen  = sha256.Size
	headerLen = 2 + keyIDLen
)

// Keys keeps what the server knows of devices' keys, by name. Safe for concurrent
// use. An error means that it could not be asked.
type Keys interface {
	// Enrol keeps the uncompressed point, 65 bytes, of a key that was attested.
	// A key that is known keeps its counter.
	Enrol(ctx context.Context, device string, point []byte) error
	// Key returns the point of a key, nil when it is not known.
	Key(ctx context.Context, device string) ([]byte, error)
	// Advance sets a key's counter, and says whether it was lower; of two calls
	// with one counter only one is told so. A key begins with 0.
	Advance(ctx context.Context, device string, counter uint32) (bool, error)
}

// Config makes a Verifier.
type Config struct {
	// Roots has the root of App Attest that Apple publishes. No default.
	Roots *x509.CertPool
	// Keys keeps the devices' keys. No default.
	Keys Keys
	// AppIDs are the apps that are accepted: team id, dot, bundle id. No
	// default.
	AppIDs []string
	// Development accepts keys of the development environment, and no others.
	Development bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier judges attestations and assertions. It is safe for concurrent use.
type Verifier struct {
	c    Config
	apps [][sha256.Size]byte
}

var _ channel.Verifier = (*Verifier)(nil)

// NewVerifier makes a verifier. Errors wrap ErrConfig.
func NewVerifier(c Config) (*Verifier, error) {
	switch {
	case c.Roots == nil:
		return nil, fmt.Errorf("%w: Roots is nil and has no default", ErrConfig)
	case c.Keys == nil:
		return nil, fmt.Errorf("%w: Keys is nil and has no default", ErrConfig)
	case len(c.AppIDs) == 0:
		return nil, fmt.Errorf("%w: there are no AppIDs, and no default", ErrConfig)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	v := &Verifier{c: c}
	for _, id := range c.AppIDs {
		v.apps = append(v.apps, sha256.Sum256([]byte(id)))
	}
	return v, nil
}

func malformed(what any) error {
	return channel.RefuseEvidence(channel.ReasonFormat, "App Attest: %v", what)
}

// Verify implements channel.Verifier. Claims.Device names the key: the first 16
// bytes of its id, in hex. An attestation that is accepted is kept in Keys.
func (v *Verifier) Verify(ctx context.Context, challenge []byte, e channel.Evidence) (channel.Claims, error) {
	if e.Type != Type {
		return channel.Claims{}, channel.RefuseEvidence(channel.ReasonType, "type %.32q, want %q", e.Type, Type)
	}
	if len(e.Statement) < headerLen || e.Statement[0] != statementVersion {
		return channel.Claims{}, malformed("unknown version, or cut off")
	}
	id := [keyIDLen]byte(e.Statement[2:])
	object := e.Statement[headerLen:]
	claims := channel.Claims{Assurance: channel.AssuranceIsolated, Device: hex.EncodeToString(id[:16])}
	switch e.Statement[1] {
	case kindAttestation:
		d, until, err := v.attested(challenge, id, object)
		if err != nil {
			return channel.Claims{}, err
		}
		if err := v.c.Keys.Enrol(ctx, claims.Device, d.point[:]); err != nil {
			return channel.Claims{}, fmt.Errorf("%w: keys: %w", channel.ErrVerifierUnavailable, err)
		}
		claims.Expires = until
		return claims, nil
	case kindAssertion:
		if err := v.asserted(ctx, challenge, claims.Device, id, object); err != nil {
			return channel.Claims{}, err
		}
		return claims, nil
	}
	return channel.Claims{}, malformed("unknown kind")
}

// app says whether a hash is that of an app that is accepted.
func (v *Verifier) app(hash [sha256.Size]byte) error {
	for _, a := range v.apps {
		if a == hash {
			return nil
		}
	}
	return channel.RefuseEvidence(channel.ReasonApp, "another app")
}

// aaguids name the environments.
var (
	aaguidProduction  = [aaguidLen]byte{'a', 'p', 'p', 'a', 't', 't', 'e', 's', 't'}
	aaguidDevelopment = [aaguidLen]byte{'a', 'p', 'p', 'a', 't', 't', 'e', 's', 't', 'd', 'e', 'v', 'e', 'l', 'o', 'p'}
)

// attested judges an attestation object, in the steps of Apple's article.
func (v *Verifier) attested(challenge []byte, id [keyIDLen]byte, b []byte) (*authData, time.Time, error) {
	fail := func(err error) (*authData, time.Time, error) { return nil, time.Time{}, err }
	o, err := parseObject(b)
	if err != nil {
		return fail(malformed(err))
	}
	leaf, until, err := v.certified(o.certificates)
	if err != nil {
		return fail(err)
	}
	nonce := sha256.Sum256(append(bytes.Clone(o.authData), challenge...))
	if got, err := nonceOf(leaf); err != nil {
		return fail(err)
	} else if !bytes.Equal(got, nonce[:]) {
		return fail(channel.RefuseEvidence(channel.ReasonChallenge, "the certificate is for another challenge, or other authenticator data"))
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return fail(malformed("the key is not on P-256"))
	}
	point, err := key.Bytes()
	if err != nil {
		return fail(malformed("the key is not on P-256"))
	}
	d, err := parseAuthData(o.authData, true)
	if err != nil {
		return fail(malformed(err))
	}
	if sha256.Sum256(point) != id || !bytes.Equal(d.credential, id[:]) || !bytes.Equal(d.point[:], point) {
		return fail(channel.RefuseEvidence(channel.ReasonDevice, "the key's id is not the certificate's key's"))
	}
	if err := v.app(d.appHash); err != nil {
		return fail(err)
	}
	if d.counter != 0 {
		return fail(channel.RefuseEvidence(channel.ReasonReplay, "the key was used before it was attested"))
	}
	want := aaguidProduction
	if v.c.Development {
		want = aaguidDevelopment
	}
	if d.aaguid != want {
		return fail(channel.RefuseEvidence(channel.ReasonPlatform, "the key is of another environment"))
	}
	return d, until, nil
}

// certified checks a chain, the key's own certificate first.
func (v *Verifier) certified(chain [][]byte) (*x509.Certificate, time.Time, error) {
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		var err error
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			return nil, time.Time{}, malformed(fmt.Sprintf("certificate %d can't be read", i+1))
		}
	}
	middle := x509.NewCertPool()
	for _, c := range certs[1:] {
		middle.AddCert(c)
	}
	paths, err := certs[0].Verify(x509.VerifyOptions{
		Roots: v.c.Roots, Intermediates: middle, CurrentTime: v.c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return nil, time.Time{}, channel.RefuseEvidence(channel.ReasonExpired, "a certificate is not valid now")
	case err != nil:
		return nil, time.Time{}, channel.RefuseEvidence(channel.ReasonChain, "no root that is trusted certifies the key")
	}
	var until time.Time
	for _, c := range paths[0] {
		if until.IsZero() || c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return certs[0], until, nil
}

// oidNonce is the extension with the nonce: a sequence of one element, an octet
// string tagged 1.
var oidNonce = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 2}

func nonceOf(c *x509.Certificate) ([]byte, error) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidNonce) {
			continue
		}
		var seq struct {
			Nonce []byte `asn1:"explicit,tag:1"`
		}
		rest, err := asn1.Unmarshal(e.Value, &seq)
		if err != nil || len(rest) != 0 {
			return nil, malformed("the nonce's extension")
		}
		// Go takes more elements than a structure has.
		back, err := asn1.Marshal(seq)
		if err != nil || !bytes.Equal(back, e.Value) {
			return nil, malformed("the nonce's extension")
		}
		return seq.Nonce, nil
	}
	return nil, malformed("the certificate has no nonce")
}

// asserted judges an assertion.
func (v *Verifier) asserted(ctx context.Context, challenge []byte, device string, id [keyIDLen]byte, b []byte) error {
	a, err := parseAssertion(b)
	if err != nil {
		return malformed(err)
	}
	d, err := parseAuthData(a.authData, false)
	if err != nil {
		return malformed(err)
	}
	if err := v.app(d.appHash); err != nil {
		return err
	}
	point, err := v.c.Keys.Key(ctx, device)
	if err != nil {
		return fmt.Errorf("%w: keys: %w", channel.ErrVerifierUnavailable, err)
	}
	if point == nil || sha256.Sum256(point) != id {
		return channel.RefuseEvidence(channel.ReasonDevice, "the key was never attested here")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return fmt.Errorf("%w: the key that is kept is none", channel.ErrVerifierUnavailable)
	}
	nonce := sha256.Sum256(append(bytes.Clone(a.authData), challenge...))
	sum := sha256.Sum256(nonce[:])
	if !ecdsa.VerifyASN1(key, sum[:], a.signature) {
		return channel.RefuseEvidence(channel.ReasonSignature, "the key's signature over the challenge does not verify")
	}
	higher, err := v.c.Keys.Advance(ctx, device, d.counter)
	if err != nil {
		return fmt.Errorf("%w: keys: %w", channel.ErrVerifierUnavailable, err)
	}
	if !higher {
		return channel.RefuseEvidence(channel.ReasonReplay, "the key's counter did not go up")
	}
	return nil
}
