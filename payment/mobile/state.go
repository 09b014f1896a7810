package mobile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/trusted"
)

// state is the unit's state in the app's stores.
type state struct {
	storage Storage
	keys    Keys
}

var _ softunit.State = (*state)(nil)

func (s *state) Get(ctx context.Context, name string) ([]byte, error) {
	b, err := await(ctx, "getting "+name, abandon[*Bytes]{}, func() (*Bytes, error) { return s.storage.Get(name) })
	switch {
	case err != nil:
		return nil, err
	case b == nil:
		return nil, fmt.Errorf("mobile: %s: %w", name, trusted.ErrNotFound)
	}
	return b.Get(), nil
}

// Put, Delete and Next are waited for to their end: whether a change that is
// under way will stand can't be known before.

func (s *state) Put(ctx context.Context, name string, value []byte) error {
	return change(ctx, "putting "+name, func() error { return s.storage.Put(name, bytes.Clone(value)) })
}

func (s *state) Delete(ctx context.Context, name string) error {
	return change(ctx, "deleting "+name, func() error { return s.storage.Delete(name) })
}

func (s *state) Next(ctx context.Context, name string) (uint64, error) {
	var n int64
	err := change(ctx, "counting "+name, func() (err error) { n, err = s.storage.Next(name); return err })
	switch {
	case err != nil:
		return 0, err
	case n <= 0:
		return 0, fmt.Errorf("mobile: counter %s came to %d: %w", name, n, trusted.ErrTampered)
	}
	return uint64(n), nil
}

func change(ctx context.Context, doing string, call func() error) (err error) {
	defer guard(doing, &err)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("mobile: %s: %w", doing, err)
	}
	if err := call(); err != nil {
		return fmt.Errorf("mobile: %s: %w", doing, err)
	}
	return nil
}

func (s *state) List(ctx context.Context, prefix string) ([]string, error) {
	l, err := await(ctx, "listing "+prefix, abandon[*StringList]{}, func() (*StringList, error) { return s.storage.List(prefix) })
	switch {
	case err != nil:
		return nil, err
	case l == nil:
		return nil, errors.New("mobile: the storage gave no list")
	}
	names := slices.Clone(l.items)
	slices.Sort(names)
	return names, nil
}

func (s *state) PublicKey(ctx context.Context, name string) ([]byte, error) {
	return sized(ctx, "public key of "+name, 32, func() ([]byte, error) { return s.keys.PublicKey(name) })
}

func (s *state) ECDH(ctx context.Context, name string, peer []byte) ([]byte, error) {
	return sized(ctx, "key agreement with "+name, 32, func() ([]byte, error) { return s.keys.ECDH(name, bytes.Clone(peer)) })
}

func (s *state) VerificationKey(ctx context.Context, name string) ([]byte, error) {
	return sized(ctx, "verification key of "+name, 32, func() ([]byte, error) { return s.keys.VerificationKey(name) })
}

func (s *state) Sign(ctx context.Context, name string, message []byte) ([]byte, error) {
	return sized(ctx, "signing with "+name, 64, func() ([]byte, error) { return s.keys.Sign(name, bytes.Clone(message)) })
}

// sized takes a copy of what a key operation gave, of the one length that it
// can have.
func sized(ctx context.Context, doing string, n int, call func() ([]byte, error)) ([]byte, error) {
	b, err := await(ctx, doing, abandon[[]byte]{}, call)
	if err != nil {
		return nil, err
	}
	if len(b) != n {
		return nil, fmt.Errorf("mobile: %s: %d bytes, want %d", doing, len(b), n)
	}
	return bytes.Clone(b), nil
}
