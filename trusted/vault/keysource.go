package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
)

// KeySource gives the 32-byte sealing key of the vault in dir; the vault wipes
// it. random is for a source that makes its key at the first call.
type KeySource func(ctx context.Context, dir string, random io.Reader) (secret.Bytes, error)

// FixedKey is a key that the caller holds, from a platform's key store for one.
// The vault works on a copy.
func FixedKey(key secret.Bytes) KeySource {
	return func(context.Context, string, io.Reader) (secret.Bytes, error) {
		if key.Len() != 32 {
			return secret.Bytes{}, fmt.Errorf("vault: sealing key of %d bytes, want 32", key.Len())
		}
		return key.Clone(), nil
	}
}

// bind derives the key that is used from the source's key and the device's name.
func bind(key secret.Bytes, name string) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, key.Reveal(), nil, "payunit vault 2|"+name, 32)
	if err != nil {
		return nil, fmt.Errorf("vault: sealing key: %w", err)
	}
	return b, nil
}
