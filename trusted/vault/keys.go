package vault

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
)

// seed returns the 32-byte private value of a key, which is made and stored on
// first use.
func (v *Vault) seed(ctx context.Context, kind, name string) ([]byte, error) {
	return exclusively(ctx, v, func(ctx context.Context) (b []byte, err error) {
		secret.Do(func() { b, err = v.seedLocked(ctx, kind, name) })
		return b, err
	}, func(b []byte) { clear(b) })
}

func (v *Vault) seedLocked(ctx context.Context, kind, name string) ([]byte, error) {
	if err := v.usableLocked(ctx, name); err != nil {
		return nil, err
	}
	record := keyPrefix + kind + "/" + name
	b, err := v.getLocked(record)
	if err == nil && len(b) != 32 {
		err = fmt.Errorf("vault: %s: %w", record, trusted.ErrTampered)
	}
	if !errors.Is(err, trusted.ErrNotFound) {
		return b, err
	}
	b = make([]byte, 32)
	if _, err := io.ReadFull(v.rand, b); err != nil {
		return nil, fmt.Errorf("vault: randomness: %w", err)
	}
	if err := v.appendLocked(ctx, opPut, record, b); err != nil {
		clear(b)
		return nil, err
	}
	return b, nil
}

func (v *Vault) x25519(ctx context.Context, name string) (*ecdh.PrivateKey, error) {
	seed, err := v.seed(ctx, "x25519", name)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	k, err := ecdh.X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, fmt.Errorf("vault: key %s: %w", name, err)
	}
	return k, nil
}

// PublicKey implements trusted.KeyStore.
func (v *Vault) PublicKey(ctx context.Context, name string) (pub []byte, err error) {
	secret.Do(func() {
		var k *ecdh.PrivateKey
		if k, err = v.x25519(ctx, name); err == nil {
			pub = k.PublicKey().Bytes()
		}
	})
	return pub, err
}

// ECDH implements trusted.KeyStore.
func (v *Vault) ECDH(ctx context.Context, name string, peer []byte) (shared []byte, err error) {
	p, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, fmt.Errorf("vault: peer's public key: %w", err)
	}
	secret.Do(func() {
		var k *ecdh.PrivateKey
		if k, err = v.x25519(ctx, name); err != nil {
			return
		}
		if shared, err = k.ECDH(p); err != nil {
			err = fmt.Errorf("vault: key agreement: %w", err)
		}
	})
	return shared, err
}

// ed25519 lends a signing key to f.
func (v *Vault) ed25519(ctx context.Context, name string, f func(ed25519.PrivateKey)) (err error) {
	secret.Do(func() {
		var seed []byte
		if seed, err = v.seed(ctx, "ed25519", name); err != nil {
			return
		}
		defer clear(seed)
		k := ed25519.NewKeyFromSeed(seed)
		defer clear(k)
		f(k)
	})
	return err
}

// VerificationKey implements trusted.KeyStore.
func (v *Vault) VerificationKey(ctx context.Context, name string) (pub []byte, err error) {
	err = v.ed25519(ctx, name, func(k ed25519.PrivateKey) { pub = append([]byte(nil), k[32:]...) })
	return pub, err
}

// Sign implements trusted.KeyStore.
func (v *Vault) Sign(ctx context.Context, name string, message []byte) (sig []byte, err error) {
	err = v.ed25519(ctx, name, func(k ed25519.PrivateKey) { sig = ed25519.Sign(k, message) })
	return sig, err
}
