//go:build swtpm

package tpm

import (
	"context"
	"crypto/ecdh"
	"testing"

	"github.com/payunit/payunit/trusted/storagetest"
	"github.com/payunit/payunit/trusted/tpm/swtpmtest"
)

func BenchmarkTPM(b *testing.B) {
	dir, c := b.TempDir(), config(swtpmtest.Start(b))
	storagetest.Bench(b, storagetest.Backend{Open: func(ctx context.Context) (storagetest.Store, error) { return Open(ctx, dir, c) }})
}

func BenchmarkP256(b *testing.B) {
	s, err := Open(b.Context(), b.TempDir(), config(swtpmtest.Start(b)))
	if err != nil {
		b.Fatal(err)
	}
	k := s.P256("device", UsageAgree)
	pub, err := k.PublicKey(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := ecdh.P256().NewPublicKey(pub); err != nil {
		b.Fatal(err)
	}
	b.Run("ECDH", func(b *testing.B) {
		for b.Loop() {
			if _, err := k.ECDH(b.Context(), pub); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
