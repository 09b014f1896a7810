// Package akca is a small certification authority for TPM attestation keys (AK).
// It certifies an AK after credential activation (TPM 2.0 Part 1, 24): a secret
// sealed to the TPM's endorsement key (EK), which the TPM opens only when the AK
// of that very name is loaded in it. An EK counts by the certificate of the TPM's
// maker.
package akca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync/atomic"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel/attest/tpm/internal/usage"
)

// Errors of an Authority.
var (
	// ErrConfig: New was given something that can't work.
	ErrConfig = errors.New("akca: configuration")
	// ErrRefused: the keys are not what is certified here, or the answer is
	// wrong.
	ErrRefused = errors.New("akca: refused")
)

// Request is what a device says of its keys. The public areas are TPMT_PUBLIC
// (Part 2, 12.2.4).
type Request struct {
	EKCertificate, EKPublic, AKPublic []byte
}

// Challenge is what the TPM has to open: a TPMS_ID_OBJECT and the secret that
// seals it (Part 3, TPM2_ActivateCredential).
type Challenge struct {
	Blob, Secret []byte
}

// Config makes an Authority.
type Config struct {
	// EKRoots are the makers of TPMs whose EK certificates count. No default,
	// unless EK is set.
	EKRoots *x509.CertPool
	// EK, when set, judges an EK in the place of EKRoots: its certificate, nil
	// where the TPM has none, and its public key.
	EK func(certificate []byte, key *ecdsa.PublicKey) error
	// EKIntermediates are the makers' authorities between a root and an EK; nil
	// for none.
	EKIntermediates *x509.CertPool
	// Certificate and Key are the authority's own. No default.
	Certificate *x509.Certificate
	Key         crypto.Signer
	// Validity is how long an AK certificate lasts; zero means a year.
	Validity time.Duration
	// Rand is the source of secrets and serial numbers; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Authority certifies AKs. It is safe for concurrent use.
type Authority struct{ c Config }

// New makes an authority. Errors wrap ErrConfig.
func New(c Config) (*Authority, error) {
	switch {
	case c.EKRoots == nil && c.EK == nil:
		return nil, fmt.Errorf("%w: EKRoots is nil and has no default", ErrConfig)
	case c.Certificate == nil || c.Key == nil:
		return nil, fmt.Errorf("%w: Certificate or Key is nil and has no default", ErrConfig)
	case !c.Certificate.IsCA:
		return nil, fmt.Errorf("%w: Certificate is not an authority's", ErrConfig)
	}
	if c.Validity <= 0 {
		c.Validity = 365 * 24 * time.Hour
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Authority{c}, nil
}

// Pending is an AK whose challenge is out. It serves for one answer.
type Pending struct {
	secret secret.Bytes
	ak     *ecdsa.PublicKey
	// answered, because a secret that was wiped is as long as before, and its
	// zeros anybody's to guess.
	answered atomic.Bool
}

var (
	// oidAK and oidEK are tcg-kp-AIKCertificate and tcg-kp-EKCertificate (TCG
	// EK Credential Profile for TPM 2.0, 3.2).
	oidAK  = asn1.ObjectIdentifier{2, 23, 133, 8, 3}
	oidEK  = asn1.ObjectIdentifier{2, 23, 133, 8, 1}
	oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}
)

const secretLen = 32

// AKTemplate is the public area that the AK is made from: a restricted signing
// key, ECDSA on P-256 with SHA-256, fixed to its TPM.
func AKTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{
				Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			CurveID: tpm2.TPMECCNistP256,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: make([]byte, 32)}, Y: tpm2.TPM2BECCParameter{Buffer: make([]byte, 32)},
		}),
	}
}

// Challenge checks a device's keys and makes the challenge for its TPM. Errors
// wrap ErrRefused.
func (a *Authority) Challenge(r Request) (Challenge, *Pending, error) {
	refused := func(err error) (Challenge, *Pending, error) {
		return Challenge{}, nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	ek, ekKey, err := public(r.EKPublic, tpm2.ECCEKTemplate)
	if err != nil {
		return refused(fmt.Errorf("EK: %w", err))
	}
	check := a.checkEK
	if a.c.EK != nil {
		check = a.c.EK
	}
	if err := check(r.EKCertificate, ekKey); err != nil {
		return refused(fmt.Errorf("EK certificate: %w", err))
	}
	ak, akKey, err := public(r.AKPublic, AKTemplate())
	if err != nil {
		return refused(fmt.Errorf("AK: %w", err))
	}
	name, err := tpm2.ObjectName(ak)
	if err != nil {
		return refused(fmt.Errorf("AK: %w", err))
	}
	to, err := tpm2.ImportEncapsulationKey(ek)
	if err != nil {
		return refused(fmt.Errorf("EK: %w", err))
	}
	b := make([]byte, secretLen)
	if _, err := io.ReadFull(a.c.Rand, b); err != nil {
		return Challenge{}, nil, fmt.Errorf("akca: randomness: %w", err)
	}
	p := &Pending{secret: secret.NewBytes(b), ak: akKey}
	blob, sealed, err := tpm2.CreateCredential(a.c.Rand, to, name.Buffer, b)
	if err != nil {
		return refused(err)
	}
	return Challenge{Blob: blob, Secret: sealed}, p, nil
}

// public reads a TPMT_PUBLIC that differs from its template in nothing but the
// key itself.
func public(b []byte, template tpm2.TPMTPublic) (*tpm2.TPMTPublic, *ecdsa.PublicKey, error) {
	p, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
	if err != nil {
		return nil, nil, err
	}
	if p.Type != template.Type || !bytes.Equal(tpm2.Marshal(p), b) {
		return nil, nil, errors.New("not a public area of an ECC key")
	}
	point, err := p.Unique.ECC()
	if err != nil {
		return nil, nil, err
	}
	want := template
	want.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, point)
	if !bytes.Equal(tpm2.Marshal(want), b) {
		return nil, nil, errors.New("it has other attributes or parameters than its kind of key")
	}
	key, err := tpm2.Pub(*p)
	if err != nil {
		return nil, nil, err
	}
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, nil, errors.New("not an ECC key")
	}
	// A point beside the curve ends here.
	if _, err := k.ECDH(); err != nil {
		return nil, nil, err
	}
	return p, k, nil
}

// checkEK checks the maker's certificate of an EK.
func (a *Authority) checkEK(der []byte, key *ecdsa.PublicKey) error {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return errors.New("it can't be read")
	}
	// An EK's certificate names the TPM in a critical directory name that
	// nothing here depends on (Credential Profile, 3.2).
	var left []asn1.ObjectIdentifier
	for _, o := range c.UnhandledCriticalExtensions {
		if !o.Equal(oidSAN) {
			left = append(left, o)
		}
	}
	c.UnhandledCriticalExtensions = left
	paths, err := c.Verify(x509.VerifyOptions{
		Roots: a.c.EKRoots, Intermediates: a.c.EKIntermediates, CurrentTime: a.c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return err
	}
	// An ECC EK agrees on keys, and does nothing else (Credential Profile, 3.2).
	wrong := c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageKeyAgreement == 0
	if usage.Path(paths, oidEK) == nil || c.IsCA || wrong {
		return errors.New("it is not an EK's, or is from an authority that certifies no EKs")
	}
	if !key.Equal(c.PublicKey) {
		return errors.New("it is another key's")
	}
	return nil
}

// Issue takes the device's answer and returns the AK's certificate, DER. Errors
// wrap ErrRefused.
func (a *Authority) Issue(p *Pending, answer []byte) ([]byte, error) {
	if p.answered.Swap(true) {
		return nil, fmt.Errorf("%w: the challenge was answered before", ErrRefused)
	}
	defer p.secret.Wipe()
	if p.secret.Len() != secretLen || subtle.ConstantTimeCompare(p.secret.Reveal(), answer) != 1 {
		return nil, fmt.Errorf("%w: the TPM did not open the challenge", ErrRefused)
	}
	serial := make([]byte, 16)
	if _, err := io.ReadFull(a.c.Rand, serial); err != nil {
		return nil, fmt.Errorf("akca: randomness: %w", err)
	}
	now := a.c.Now()
	t := &x509.Certificate{
		SerialNumber: new(big.Int).Rsh(new(big.Int).SetBytes(serial), 1), Subject: pkix.Name{CommonName: "TPM attestation key"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(a.c.Validity), KeyUsage: x509.KeyUsageDigitalSignature,
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidAK}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(a.c.Rand, t, a.c.Certificate, p.ak, a.c.Key)
	if err != nil {
		return nil, fmt.Errorf("akca: issuing: %w", err)
	}
	return der, nil
}
