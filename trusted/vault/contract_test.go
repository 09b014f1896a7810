package vault

import (
	"context"
	"testing"

	"github.com/payunit/payunit/trusted/storagetest"
)

func backend(dir string, c Config) storagetest.Backend {
	return storagetest.Backend{
		Dir: dir, Anchored: c.Anchor != nil, Stride: 17,
		Open: func(ctx context.Context) (storagetest.Store, error) { return Open(ctx, dir, c) },
	}
}

func TestContract(t *testing.T) {
	t.Run("sealed", func(t *testing.T) {
		storagetest.Run(t, func(t *testing.T) storagetest.Backend { return backend(t.TempDir(), testConfig()) })
	})
	t.Run("anchored", func(t *testing.T) {
		storagetest.Run(t, func(t *testing.T) storagetest.Backend { return backend(t.TempDir(), anchoredConfig(&dial{})) })
	})
	t.Run("key file", func(t *testing.T) {
		storagetest.Run(t, func(t *testing.T) storagetest.Backend {
			b := backend(t.TempDir(), Config{Key: InsecureKeyFile()})
			b.Stride = 7
			return b
		})
	})
}

func BenchmarkVault(b *testing.B) { storagetest.Bench(b, backend(b.TempDir(), testConfig())) }
