package tpm

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/trusted"
)

// Usage is what a key of the TPM does, and all that it does: the TPM refuses the
// rest.
type Usage string

// The usages.
const (
	UsageAgree Usage = "agree" // ECDH, as the static key of a channel
	UsageSign  Usage = "sign"  // ECDSA over SHA-256
)

// P256 is a handle of a P-256 key that was made in the TPM and never leaves it;
// the folder keeps it wrapped under the TPM's storage root key. It is a static
// key as channel/noise takes one. Safe for concurrent use.
type P256 struct {
	s     *Store
	name  string
	usage Usage
}

// P256 returns the handle of a key, which is made on first use.
func (s *Store) P256(name string, u Usage) *P256 { return &P256{s, name, u} }

var _ trusted.Assured = (*P256)(nil)

// Assurance returns channel.AssuranceHardware.
func (*P256) Assurance() channel.Assurance { return channel.AssuranceHardware }

// ErrUsage: the key is not for that.
var ErrUsage = errors.New("tpm: key is not for this use")

func (k *P256) template() (tpm2.TPMTPublic, error) {
	p := tpm2.TPMTPublic{
		Type:             tpm2.TPMAlgECC,
		NameAlg:          tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true},
	}
	scheme := tpm2.TPMTECCScheme{}
	switch k.usage {
	case UsageAgree:
		p.ObjectAttributes.Decrypt = true
		scheme = tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDH, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDH, &tpm2.TPMSKeySchemeECDH{HashAlg: tpm2.TPMAlgSHA256})}
	case UsageSign:
		p.ObjectAttributes.SignEncrypt = true
		scheme = tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}
	default:
		return p, fmt.Errorf("%w: %q", ErrUsage, string(k.usage))
	}
	p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256, Scheme: scheme})
	return p, nil
}

// wrapped returns the key as the folder keeps it, and makes it.
func (k *P256) wrapped(ctx context.Context) ([]byte, error) {
	record := "tpm/" + string(k.usage) + "/" + k.name
	t, err := k.template()
	if err != nil {
		return nil, err
	}
	b, err := k.s.Get(ctx, record)
	if !errors.Is(err, trusted.ErrNotFound) {
		return b, err
	}
	// One at a time: of two first uses at once the later would replace the key
	// that the earlier has told others of.
	select {
	case k.s.making <- struct{}{}:
		defer func() { <-k.s.making }()
	case <-ctx.Done():
		return nil, fmt.Errorf("tpm: making a key: %w", ctx.Err())
	}
	if b, err = k.s.Get(ctx, record); !errors.Is(err, trusted.ErrNotFound) {
		return b, err
	}
	b, err = perform(ctx, k.s.chip, "making a key", nil, func() (_ []byte, err error) {
		root, err := k.s.chip.root()
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, k.s.chip.flush(root.handle)) }()
		r, err := tpm2.Create{
			ParentHandle: root.as(root.session(nil, encryptIn())),
			InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: k.s.keyAuth.Reveal()}}},
			InPublic:     tpm2.New2B(t),
		}.Execute(k.s.chip)
		if err != nil {
			return nil, err
		}
		return blob{root.name.Buffer, r.OutPublic.Bytes(), r.OutPrivate.Buffer}.encode(), nil
	})
	if err != nil {
		return nil, err
	}
	return b, k.s.Put(ctx, record, b)
}

// use loads the key, and runs f with it under a session that encrypts what f's
// command takes, gives, or both.
func use[T any](ctx context.Context, k *P256, doing string, encrypt tpm2.AuthOption, drop func(T), f func(tpm2.AuthHandle) (T, error)) (T, error) {
	b, err := k.wrapped(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return perform(ctx, k.s.chip, doing, drop, func() (_ T, err error) {
		root, err := k.s.chip.root()
		if err != nil {
			var none T
			return none, err
		}
		defer func() { err = errors.Join(err, k.s.chip.flush(root.handle)) }()
		o, err := k.s.chip.load(root, b)
		if err != nil {
			var none T
			return none, err
		}
		defer func() { err = errors.Join(err, k.s.chip.flush(o.ObjectHandle)) }()
		return f(tpm2.AuthHandle{Handle: o.ObjectHandle, Name: o.Name, Auth: root.session(k.s.keyAuth.Reveal(), encrypt)})
	})
}

// PublicKey returns the public key: an uncompressed point, 65 bytes (SEC 1,
// 2.3.3).
func (k *P256) PublicKey(ctx context.Context) ([]byte, error) {
	in, err := k.wrapped(ctx)
	if err != nil {
		return nil, err
	}
	b, err := parseBlob(in)
	if err != nil {
		return nil, err
	}
	area := tpm2.BytesAs2B[tpm2.TPMTPublic](b.public)
	p, err := area.Contents()
	if err != nil {
		return nil, fmt.Errorf("tpm: public area: %w: %w", trusted.ErrTampered, err)
	}
	point, err := p.Unique.ECC()
	if err != nil {
		return nil, fmt.Errorf("tpm: public area: %w: %w", trusted.ErrTampered, err)
	}
	out, err := uncompressed(point)
	if err != nil {
		return nil, fmt.Errorf("tpm: public area: %w: %w", trusted.ErrTampered, err)
	}
	return out, nil
}

// uncompressed encodes a point and checks that it is on the curve.
func uncompressed(p *tpm2.TPMSECCPoint) ([]byte, error) {
	out := make([]byte, 65)
	out[0] = 4
	for i, c := range [][]byte{p.X.Buffer, p.Y.Buffer} {
		if len(c) > 32 {
			return nil, fmt.Errorf("coordinate of %d bytes", len(c))
		}
		copy(out[1+32*(i+1)-len(c):], c)
	}
	if _, err := ecdh.P256().NewPublicKey(out); err != nil {
		return nil, err
	}
	return out, nil
}

// ECDH returns the 32-byte shared secret with a peer's public key, an
// uncompressed point; the caller wipes it. Errors: ErrUsage for a signing key.
func (k *P256) ECDH(ctx context.Context, peer []byte) ([]byte, error) {
	if k.usage != UsageAgree {
		return nil, fmt.Errorf("%w: agree with one for %q", ErrUsage, string(k.usage))
	}
	if _, err := ecdh.P256().NewPublicKey(peer); err != nil {
		return nil, fmt.Errorf("tpm: peer's public key: %w", err)
	}
	point := tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: peer[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: peer[33:]}}
	return use(ctx, k, "agreeing on a key", encryptBoth(), func(b []byte) { clear(b) }, func(key tpm2.AuthHandle) ([]byte, error) {
		r, err := tpm2.ECDHZGen{KeyHandle: key, InPoint: tpm2.New2B(point)}.Execute(k.s.chip)
		if err != nil {
			return nil, err
		}
		z, err := r.OutPoint.Contents()
		if err != nil {
			return nil, err
		}
		if len(z.X.Buffer) > 32 {
			return nil, fmt.Errorf("%w: shared secret of %d bytes", ErrTPM, len(z.X.Buffer))
		}
		out := make([]byte, 32)
		copy(out[32-len(z.X.Buffer):], z.X.Buffer)
		clear(z.X.Buffer)
		clear(z.Y.Buffer)
		return out, nil
	})
}

// Sign returns an ECDSA signature over SHA-256 of message: r and s, 32 bytes
// each. Errors: ErrUsage for a key of agreement.
func (k *P256) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if k.usage != UsageSign {
		return nil, fmt.Errorf("%w: sign with one for %q", ErrUsage, string(k.usage))
	}
	digest := sha256.Sum256(message)
	return use(ctx, k, "signing", encryptIn(), nil, func(key tpm2.AuthHandle) ([]byte, error) {
		r, err := tpm2.Sign{
			KeyHandle:  key,
			Digest:     tpm2.TPM2BDigest{Buffer: digest[:]},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
		}.Execute(k.s.chip)
		if err != nil {
			return nil, err
		}
		sig, err := r.Signature.Signature.ECDSA()
		if err != nil {
			return nil, err
		}
		out := make([]byte, 64)
		for i, c := range [][]byte{sig.SignatureR.Buffer, sig.SignatureS.Buffer} {
			if len(c) > 32 {
				return nil, fmt.Errorf("%w: signature of %d bytes", ErrTPM, len(c))
			}
			copy(out[32*(i+1)-len(c):], c)
		}
		return out, nil
	})
}

// VerificationKey returns the public key of a signing key for crypto/ecdsa.
func (k *P256) VerificationKey(ctx context.Context) (*ecdsa.PublicKey, error) {
	b, err := k.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("tpm: public key: %w", err)
	}
	return p, nil
}
