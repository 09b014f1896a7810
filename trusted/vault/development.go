//go:build !release

package vault

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"golang.org/x/crypto/argon2"

	"github.com/payunit/payunit/cardreader/secret"
)

// InsecureKeyFile keeps the key in the file "key" beside the vault: it seals
// against nobody who can read the folder. For development and demonstrations; a
// build with the tag release does not have it.
func InsecureKeyFile() KeySource {
	return func(_ context.Context, dir string, random io.Reader) (secret.Bytes, error) {
		b, err := existingOrNew(osDisk{}, filepath.Join(dir, "key"), 32, random)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("vault: key file: %w", err)
		}
		return secret.NewBytes(b), nil
	}
}

// DevelopmentPassphrase derives the key from a passphrase with Argon2id (RFC
// 9106, 3 passes, 64 MiB) and the salt in the file "salt". A passphrase that
// people can remember is no match for a key store; hence the name. A build
// with the tag release does not have it.
func DevelopmentPassphrase(passphrase secret.Bytes) KeySource {
	return func(_ context.Context, dir string, random io.Reader) (secret.Bytes, error) {
		salt, err := existingOrNew(osDisk{}, filepath.Join(dir, "salt"), 16, random)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("vault: salt file: %w", err)
		}
		return secret.NewBytes(argon2.IDKey(passphrase.Reveal(), salt, 3, 64<<10, 1, 32)), nil
	}
}
