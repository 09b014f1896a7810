package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/crypto/argon2"

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

// InsecureKeyFile keeps the key in the file "key" beside the vault: it seals
// against nobody who can read the folder. For development and demonstrations.
func InsecureKeyFile() KeySource {
	return func(_ context.Context, dir string, random io.Reader) (secret.Bytes, error) {
		b, err := existingOrNew(filepath.Join(dir, "key"), 32, random)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("vault: key file: %w", err)
		}
		return secret.NewBytes(b), nil
	}
}

// DevelopmentPassphrase derives the key from a passphrase with Argon2id (RFC
// 9106, 3 passes, 64 MiB) and the salt in the file "salt". A passphrase that
// people can remember is no match for a key store; hence the name.
func DevelopmentPassphrase(passphrase secret.Bytes) KeySource {
	return func(_ context.Context, dir string, random io.Reader) (secret.Bytes, error) {
		salt, err := existingOrNew(filepath.Join(dir, "salt"), 16, random)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("vault: salt file: %w", err)
		}
		return secret.NewBytes(argon2.IDKey(passphrase.Reveal(), salt, 3, 64<<10, 1, 32)), nil
	}
}

// existingOrNew reads a file of n bytes, or makes it, durably, of random ones.
func existingOrNew(path string, n int, random io.Reader) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		if len(b) != n {
			return nil, fmt.Errorf("%s holds %d bytes, want %d", filepath.Base(path), len(b), n)
		}
		return b, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	b = make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("randomness: %w", err)
	}
	f, err := createFile(path + ".new")
	if err != nil {
		return nil, storageError(err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = replace(path+".new", path)
	}
	if err != nil {
		return nil, errors.Join(storageError(err), ignoreMissing(os.Remove(path+".new")))
	}
	return b, nil
}

// bind derives the key that is used from the source's key and the name of what
// the vault belongs to.
func bind(key secret.Bytes, name string) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, key.Reveal(), nil, "payunit vault 1|"+name, 32)
	if err != nil {
		return nil, fmt.Errorf("vault: sealing key: %w", err)
	}
	return b, nil
}
