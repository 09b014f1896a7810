package tpmdevice

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/payunit/payunit/channel/attest/tpm/akca"
)

// ekCertificate is the NV index of the ECC P-256 EK's certificate (TCG EK
// Credential Profile for TPM 2.0, 2.2.1.4).
const ekCertificate tpm2.TPMHandle = 0x01C0000A

// Request is what an authority has to know to certify the AK. A TPM that its
// maker gave no certificate for its P-256 EK has none in it.
func (a *Attester) Request(ctx context.Context) (akca.Request, error) {
	return do(ctx, a, func() (r akca.Request, err error) {
		ek, err := a.load(tpm2.ECCEKTemplate)
		if err != nil {
			return r, err
		}
		defer a.unload(ek, &err)
		ak, err := a.load(akca.AKTemplate())
		if err != nil {
			return r, err
		}
		defer a.unload(ak, &err)
		cert, err := a.ekCert()
		return akca.Request{EKPublic: ek.public, AKPublic: ak.public, EKCertificate: cert}, err
	})
}

// ekCert reads the EK's certificate, in pieces that any TPM gives.
func (a *Attester) ekCert() ([]byte, error) {
	pub, err := tpm2.NVReadPublic{NVIndex: ekCertificate}.Execute(a.c.TPM)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: EK certificate: %w", ErrTPM, err)
	}
	info, err := pub.NVPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("%w: EK certificate: %w", ErrTPM, err)
	}
	const piece = 512
	var der []byte
	for size := int(info.DataSize); len(der) < size; {
		r, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: ekCertificate, Name: pub.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: ekCertificate, Name: pub.NVName},
			Size:       uint16(min(piece, size-len(der))), Offset: uint16(len(der)),
		}.Execute(a.c.TPM)
		if err != nil {
			return nil, fmt.Errorf("%w: EK certificate: %w", ErrTPM, err)
		}
		if len(r.Data.Buffer) == 0 {
			return nil, fmt.Errorf("%w: EK certificate: the TPM gives nothing at %d of %d bytes", ErrTPM, len(der), size)
		}
		der = append(der, r.Data.Buffer...)
	}
	return der, nil
}

// Activate opens an authority's challenge, which only the TPM can that holds
// both keys.
func (a *Attester) Activate(ctx context.Context, c akca.Challenge) ([]byte, error) {
	return do(ctx, a, func() (secret []byte, err error) {
		ek, err := a.load(tpm2.ECCEKTemplate)
		if err != nil {
			return nil, err
		}
		defer a.unload(ek, &err)
		ak, err := a.load(akca.AKTemplate())
		if err != nil {
			return nil, err
		}
		defer a.unload(ak, &err)
		r, err := tpm2.ActivateCredential{
			ActivateHandle: tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
			KeyHandle:      tpm2.AuthHandle{Handle: ek.handle, Name: ek.name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, ekPolicy)},
			CredentialBlob: tpm2.TPM2BIDObject{Buffer: c.Blob}, Secret: tpm2.TPM2BEncryptedSecret{Buffer: c.Secret},
		}.Execute(a.c.TPM)
		if err != nil {
			return nil, fmt.Errorf("%w: activating: %w", ErrTPM, err)
		}
		return r.CertInfo.Buffer, nil
	})
}

// ekPolicy is what the EK asks for: the endorsement hierarchy's authorisation,
// which is empty.
func ekPolicy(t transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{AuthHandle: tpm2.TPMRHEndorsement, PolicySession: session, NonceTPM: nonce}.Execute(t)
	return err
}
