package dukpt

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

// counters are the cheapest and the dearest ones.
func counters(a Algorithm) map[string]uint32 {
	if a == TDES {
		return map[string]uint32{"1-bit": 1, "worst": 0x1FF800}
	}
	return map[string]uint32{"1-bit": 1, "worst": 0xFFFF0000}
}

var algorithms = []Algorithm{TDES, AES128, AES192, AES256}

func BenchmarkHostTransaction(b *testing.B) {
	for _, alg := range algorithms {
		for name, c := range counters(alg) {
			b.Run(fmt.Sprint(alg, "/", name), func(b *testing.B) {
				d, h := device(b, alg, &memory{})
				ksn := alg.appendKSN(nil, &d.s.id, c)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := h.Transaction(ksn); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkHostParallel(b *testing.B) {
	// A server's heap: in an empty one the collector would run all the time.
	heap := make([]byte, 64<<20)
	defer runtime.KeepAlive(heap)
	d, h := device(b, AES128, &memory{})
	ksn := AES128.appendKSN(nil, &d.s.id, 0xFFFF0000)
	b.ReportAllocs()
	b.SetParallelism(max(1, 8/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := h.Transaction(ksn); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, alg := range algorithms {
		b.Run(alg.String(), func(b *testing.B) {
			d, _ := device(b, alg, &memory{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Next(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPIN(b *testing.B) {
	number, pin := pan(b, "4761739001010010"), secret.CopyBytes([]byte("123456"))
	for _, alg := range algorithms {
		d, h := device(b, alg, &memory{})
		x, err := d.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		y, err := h.Transaction(x.KSN())
		if err != nil {
			b.Fatal(err)
		}
		block, _, err := x.EncryptPIN(pin, number, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(alg.String()+"/encrypt", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := x.EncryptPIN(pin, number, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(alg.String()+"/decrypt", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := y.DecryptPIN(block, number); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
