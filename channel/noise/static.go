package noise

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"sync/atomic"
)

// StaticKey is a key pair whose private half stays where it is: a key store, a
// TPM, an HSM. trusted/comm has the adapter of trusted.KeyStore.
type StaticKey interface {
	// PublicKey returns the public key: 32 bytes of X25519 (RFC 7748), or an
	// uncompressed point of P-256, 65 bytes (SEC 1, 2.3.3).
	PublicKey(ctx context.Context) ([]byte, error)
	// ECDH returns the 32-byte shared secret with a peer's public key; the
	// caller wipes it.
	ECDH(ctx context.Context, peer []byte) ([]byte, error)
}

// knownKey is a key whose public half is asked for once.
type knownKey struct {
	StaticKey
	public atomic.Pointer[[]byte]
}

// PublicKey implements StaticKey. The slice is shared.
func (k *knownKey) PublicKey(ctx context.Context) ([]byte, error) {
	if b := k.public.Load(); b != nil {
		return *b, nil
	}
	b, err := k.StaticKey.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	b = bytes.Clone(b)
	k.public.Store(&b)
	return b, nil
}

// staticDH asks a key for a shared secret, and does not rely on it to refuse a
// peer's key of low order (RFC 7748, 6.1).
func staticDH(ctx context.Context, k StaticKey, peer []byte) ([]byte, error) {
	b, err := k.ECDH(ctx, peer)
	if err != nil {
		return nil, fmt.Errorf("noise: static key: %w", err)
	}
	if len(b) != sharedLen {
		clear(b)
		return nil, fmt.Errorf("noise: static key: shared secret of %d bytes, want %d", len(b), sharedLen)
	}
	var zero [sharedLen]byte
	if subtle.ConstantTimeCompare(b, zero[:]) == 1 {
		return nil, errKey
	}
	return b, nil
}
