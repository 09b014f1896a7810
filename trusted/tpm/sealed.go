package tpm

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-tpm/tpm2"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

// blob is what the file "tpm" in the folder holds: an object that the TPM loads
// under its storage root key. Integers big endian:
//
//	offset   size  field
//	0        8     magic "PUTPM001"
//	8        2     length n of the storage root key's name
//	10       n     its name (TPM 2.0 Part 1, 16)
//	10+n     2     length p of the public area
//	12+n     p     TPMT_PUBLIC
//	12+n+p   2     length q of the private area, which ends the file
//	14+n+p   q     TPM2B_PRIVATE's buffer
type blob struct {
	parent, public, private []byte
}

const blobMagic = "PUTPM001"

func (b blob) encode() []byte {
	out := []byte(blobMagic)
	for _, f := range [][]byte{b.parent, b.public, b.private} {
		out = binary.BigEndian.AppendUint16(out, uint16(len(f)))
		out = append(out, f...)
	}
	return out
}

func parseBlob(in []byte) (blob, error) {
	bad := fmt.Errorf("tpm: sealed object is malformed: %w", trusted.ErrTampered)
	rest, ok := bytes.CutPrefix(in, []byte(blobMagic))
	if !ok {
		return blob{}, bad
	}
	var b blob
	for _, f := range []*[]byte{&b.parent, &b.public, &b.private} {
		if len(rest) < 2 {
			return blob{}, bad
		}
		n := int(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; len(rest) < n {
			return blob{}, bad
		}
		*f, rest = rest[:n:n], rest[n:]
	}
	if len(rest) != 0 {
		return blob{}, bad
	}
	return b, nil
}

// secretLen is the length of what is sealed.
const secretLen = 32

// source gives the vault its key, and the counter its authorisation value: both
// derive from the sealed secret.
func (s *Store) source(n *counter) vault.KeySource {
	return func(ctx context.Context, dir string, _ io.Reader) (secret.Bytes, error) {
		sealed, err := s.sealed(ctx, dir, n)
		if err != nil {
			return secret.Bytes{}, err
		}
		defer sealed.Wipe()
		key, err := derive(sealed, "vault")
		if err != nil {
			return secret.Bytes{}, err
		}
		if n.auth, err = deriveAuth(sealed, "counter"); err == nil {
			s.keyAuth, err = deriveAuth(sealed, "keys")
		}
		return key, err
	}
}

func derive(from secret.Bytes, use string) (secret.Bytes, error) {
	b, err := hkdf.Key(sha256.New, from.Reveal(), nil, "payunit tpm 1|"+use, 32)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("tpm: %w", err)
	}
	return secret.NewBytes(b), nil
}

// deriveAuth derives an authorisation value of 128 bits, in hexadecimal: go-tpm
// v0.9.8 cuts a value off at its first zero byte, and with it a session's key.
func deriveAuth(from secret.Bytes, use string) (secret.Bytes, error) {
	b, err := derive(from, use)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer b.Wipe()
	return secret.NewBytes(hex.AppendEncode(nil, b.Reveal()[:16])), nil
}

// sealed returns the secret of the folder, and makes it on first use.
func (s *Store) sealed(ctx context.Context, dir string, n *counter) (secret.Bytes, error) {
	path := filepath.Join(dir, "tpm")
	b, err := os.ReadFile(path)
	if err == nil {
		return s.unseal(ctx, b)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return secret.Bytes{}, fmt.Errorf("tpm: sealed object: %w", err)
	}
	there, err := n.exists(ctx)
	if err != nil {
		return secret.Bytes{}, err
	}
	if there {
		return secret.Bytes{}, fmt.Errorf("tpm: the sealed object is gone and its counter is there: %w", trusted.ErrRollback)
	}
	fresh := make([]byte, secretLen)
	if _, err := io.ReadFull(s.rand, fresh); err != nil {
		return secret.Bytes{}, fmt.Errorf("tpm: randomness: %w", err)
	}
	if b, err = s.seal(ctx, fresh); err == nil {
		err = vault.WriteFile(path, b)
	}
	if err != nil {
		clear(fresh)
		return secret.Bytes{}, err
	}
	return secret.NewBytes(fresh), nil
}

func (s *Store) seal(ctx context.Context, data []byte) ([]byte, error) {
	return perform(ctx, s.chip, "sealing", nil, func() (_ []byte, err error) {
		root, err := s.chip.root()
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.chip.flush(root.handle)) }()
		r, err := tpm2.Create{
			ParentHandle: root.as(root.session(nil, encryptIn())),
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				UserAuth: tpm2.TPM2BAuth{Buffer: s.auth.Reveal()},
				Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: data}),
			}},
			InPublic: tpm2.New2B(tpm2.TPMTPublic{
				Type:    tpm2.TPMAlgKeyedHash,
				NameAlg: tpm2.TPMAlgSHA256,
				// Without NoDA: wrong authorisations are counted.
				ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true},
			}),
		}.Execute(s.chip)
		if err != nil {
			return nil, err
		}
		return blob{root.name.Buffer, r.OutPublic.Bytes(), r.OutPrivate.Buffer}.encode(), nil
	})
}

// load loads an object of ours under the root.
func (c *chip) load(root *root, in []byte) (*tpm2.LoadResponse, error) {
	b, err := parseBlob(in)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(b.parent, root.name.Buffer) != 1 {
		return nil, fmt.Errorf("sealed by another TPM, or the TPM was cleared since: %w", trusted.ErrTampered)
	}
	r, err := tpm2.Load{
		ParentHandle: root.as(root.session(nil, encryptIn())),
		InPrivate:    tpm2.TPM2BPrivate{Buffer: b.private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](b.public),
	}.Execute(c)
	if err == nil || errors.Is(err, tpm2.TPMRCObjectMemory) || errors.Is(err, tpm2.TPMRCSessionMemory) {
		return r, err
	}
	// What the TPM says of an object that was altered depends on where.
	var code tpm2.TPMRC
	if errors.As(err, &code) && !code.IsWarning() {
		return nil, fmt.Errorf("%w: %w", trusted.ErrTampered, err)
	}
	return nil, err
}

func (s *Store) unseal(ctx context.Context, in []byte) (secret.Bytes, error) {
	return perform(ctx, s.chip, "unsealing", secret.Bytes.Wipe, func() (_ secret.Bytes, err error) {
		root, err := s.chip.root()
		if err != nil {
			return secret.Bytes{}, err
		}
		defer func() { err = errors.Join(err, s.chip.flush(root.handle)) }()
		o, err := s.chip.load(root, in)
		if err != nil {
			return secret.Bytes{}, err
		}
		defer func() { err = errors.Join(err, s.chip.flush(o.ObjectHandle)) }()
		r, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{
			Handle: o.ObjectHandle, Name: o.Name, Auth: root.session(s.auth.Reveal(), encryptOut()),
		}}.Execute(s.chip)
		if err != nil {
			return secret.Bytes{}, err
		}
		if len(r.OutData.Buffer) != secretLen {
			clear(r.OutData.Buffer)
			return secret.Bytes{}, fmt.Errorf("%d bytes were sealed, want %d: %w", len(r.OutData.Buffer), secretLen, trusted.ErrTampered)
		}
		return secret.NewBytes(r.OutData.Buffer), nil
	})
}
