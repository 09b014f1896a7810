// Package keyring keeps symmetric keys as handles with a usage: a key goes in as
// a key block (ANSI X9.143, TR-31) and never comes out; a handle enciphers PIN
// blocks, makes and checks MACs, or unwraps further keys, as its block's header
// allows and not otherwise.
//
// In storage a key is a key block of version D under a protection key of its
// own, which only the ring's root gives: a private key of agreement in a key
// store, of software (trusted.KeyStore) or in a TPM (trusted/tpm). Who reads the
// storage has no key; who exchanges two keys in it has two that do not verify.
package keyring

import (
	"context"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/pinpad/mac"
	"github.com/payunit/payunit/pinpad/pinblock"
	"github.com/payunit/payunit/trusted"
)

// Root is the private key that protects a ring, X25519 or P-256, where it lives:
// comm.StaticKey over a trusted.KeyStore, or a tpm.P256.
type Root interface {
	// PublicKey returns 32 bytes of X25519 or an uncompressed point of P-256.
	PublicKey(ctx context.Context) ([]byte, error)
	// ECDH returns the shared secret with a peer, 32 bytes; the caller wipes
	// it.
	ECDH(ctx context.Context, peer []byte) ([]byte, error)
}

// Ring is a set of named keys. Safe for concurrent use as far as its storage and
// root are.
type Ring struct {
	s    trusted.Storage
	root Root
	rand io.Reader
	peer []byte
}

const (
	peerRecord = "keyring-root"
	prefix     = "keyring/"
)

// New opens the ring in a storage, or begins one. The same root has to be given
// each time; under another no key opens. random may be nil for crypto/rand.
func New(ctx context.Context, s trusted.Storage, root Root, random io.Reader) (*Ring, error) {
	if s == nil || root == nil {
		return nil, errors.New("keyring: storage and root have no default")
	}
	if random == nil {
		random = rand.Reader
	}
	r := &Ring{s: s, root: root, rand: random}
	var err error
	if r.peer, err = s.Get(ctx, peerRecord); errors.Is(err, trusted.ErrNotFound) {
		err = r.begin(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: root: %w", err)
	}
	return r, nil
}

// begin makes the other half of the agreement, whose private key is forgotten at
// once: from then on it takes the root to agree.
func (r *Ring) begin(ctx context.Context) error {
	pub, err := r.root.PublicKey(ctx)
	if err != nil {
		return err
	}
	curve := ecdh.X25519()
	if len(pub) == 65 {
		curve = ecdh.P256()
	}
	k, err := curve.GenerateKey(r.rand)
	if err != nil {
		return err
	}
	r.peer = k.PublicKey().Bytes()
	return r.s.Put(ctx, peerRecord, r.peer)
}

// protection gives the protection key of a name.
func (r *Ring) protection(ctx context.Context, name string) (secret.Bytes, error) {
	shared, err := r.root.ECDH(ctx, r.peer)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer clear(shared)
	b, err := hkdf.Key(sha256.New, shared, r.peer, "payunit keyring 1|"+name, 32)
	if err != nil {
		return secret.Bytes{}, err
	}
	return secret.NewBytes(b), nil
}

// Load unwraps a key block that came under a key which both ends have, such as
// the one that enrolment agrees on, and keeps its key under a name, in the place
// of one that is there. The block's header is the key's: its usage, mode and
// exportability. Errors are keyblock's and the modules'.
func (r *Ring) Load(ctx context.Context, name string, transport *keyblock.Key, block string) (*Handle, error) {
	var err error
	secret.Do(func() { err = r.load(ctx, name, transport, block) })
	if err != nil {
		return nil, fmt.Errorf("keyring: %s: %w", name, err)
	}
	return &Handle{r, name}, nil
}

func (r *Ring) load(ctx context.Context, name string, transport *keyblock.Key, block string) error {
	k, err := keyblock.Open(transport, block)
	if err != nil {
		return err
	}
	defer k.Wipe()
	return r.keep(ctx, name, k)
}

func (r *Ring) keep(ctx context.Context, name string, k *keyblock.Key) error {
	h := k.Header()
	for op := keyblock.EncryptPIN; op <= keyblock.VerifySignature; op++ {
		if h.Allows(op) != nil {
			continue
		}
		m, err := k.Material(op)
		if err != nil {
			return err
		}
		p, err := r.protection(ctx, name)
		if err != nil {
			return err
		}
		defer p.Wipe()
		h.Version = 'D'
		b, err := keyblock.Wrap(p, h, m, r.rand)
		if err != nil {
			return err
		}
		return r.s.Put(ctx, prefix+name, []byte(b))
	}
	return fmt.Errorf("%w: the header lets the key do nothing", keyblock.ErrUsage)
}

// Handle is a key that is kept. Its methods return an error that wraps
// keyblock.ErrUsage where the key's header does not allow the operation,
// trusted.ErrNotFound where no such key is kept, trusted.ErrTampered where what
// is kept does not verify under the root.
type Handle struct {
	r    *Ring
	name string
}

// Handle returns the handle of a key, which need not be there yet.
func (r *Ring) Handle(name string) *Handle { return &Handle{r, name} }

// Delete removes a key; one that is not there is no error.
func (r *Ring) Delete(ctx context.Context, name string) error {
	return r.s.Delete(ctx, prefix+name)
}

// with lends the key to f and wipes it.
func (h *Handle) with(ctx context.Context, f func(*keyblock.Key) error) error {
	var err error
	secret.Do(func() { err = h.lend(ctx, f) })
	if err != nil {
		return fmt.Errorf("keyring: %s: %w", h.name, err)
	}
	return nil
}

func (h *Handle) lend(ctx context.Context, f func(*keyblock.Key) error) error {
	b, err := h.r.s.Get(ctx, prefix+h.name)
	if err != nil {
		return err
	}
	p, err := h.r.protection(ctx, h.name)
	if err != nil {
		return err
	}
	defer p.Wipe()
	header, material, err := keyblock.Unwrap(p, string(b))
	if err != nil {
		return fmt.Errorf("%w: %w", trusted.ErrTampered, err)
	}
	defer material.Wipe()
	k, err := keyblock.NewKey(header, material)
	if err != nil {
		return err
	}
	defer k.Wipe()
	return f(k)
}

// Header returns what the key is.
func (h *Handle) Header(ctx context.Context) (out keyblock.Header, err error) {
	err = h.with(ctx, func(k *keyblock.Key) error {
		out = k.Header()
		return nil
	})
	return out, err
}

// KCV returns the key check value, as keyblock.Key does.
func (h *Handle) KCV(ctx context.Context) (out []byte, err error) {
	err = h.with(ctx, func(k *keyblock.Key) (err error) {
		out, err = k.KCV()
		return err
	})
	return out, err
}

// EncryptPIN makes an enciphered PIN block.
func (h *Handle) EncryptPIN(ctx context.Context, f pinblock.Format, pin secret.Bytes, pan secret.PAN) (out []byte, err error) {
	err = h.with(ctx, func(k *keyblock.Key) (err error) {
		out, err = k.EncryptPIN(f, pin, pan, h.r.rand)
		return err
	})
	return out, err
}

// MAC returns the MAC of data by the algorithm of the key's usage.
func (h *Handle) MAC(ctx context.Context, data []byte, p mac.Padding) (out []byte, err error) {
	err = h.with(ctx, func(k *keyblock.Key) (err error) {
		out, err = k.MAC(data, p)
		return err
	})
	return out, err
}

// VerifyMAC checks a MAC, or the leftmost bytes of one, at least four. Errors:
// mac.ErrMAC.
func (h *Handle) VerifyMAC(ctx context.Context, data []byte, p mac.Padding, code []byte) error {
	return h.with(ctx, func(k *keyblock.Key) error { return k.VerifyMAC(data, p, code) })
}

// Unwrap opens a key block under this key, which has to be one that unwraps
// keys, and keeps the key in it under another name.
func (h *Handle) Unwrap(ctx context.Context, name, block string) (out *Handle, err error) {
	err = h.with(ctx, func(k *keyblock.Key) (err error) {
		out, err = h.r.Load(ctx, name, k, block)
		return err
	})
	return out, err
}
