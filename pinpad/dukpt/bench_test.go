package dukpt

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
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

// BenchmarkHostTransaction derives for a device that the host has not met.
func BenchmarkHostTransaction(b *testing.B) {
	for _, alg := range algorithms {
		for name, c := range counters(alg) {
			b.Run(fmt.Sprint(alg, "/", name), func(b *testing.B) {
				d, h := device(b, alg, &memory{})
				ksn := alg.appendKSN(nil, &d.s.id, c)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := transaction(alg, ksn, h.initial, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkHostFollowing derives for a device that counts on.
func BenchmarkHostFollowing(b *testing.B) {
	for _, alg := range algorithms {
		b.Run(alg.String(), func(b *testing.B) {
			d, h := device(b, alg, &memory{})
			ksn := alg.appendKSN(nil, &d.s.id, 1)
			b.ReportAllocs()
			for b.Loop() {
				ksn = follow(b, h, ksn)
			}
		})
	}
}

// follow derives a key and returns the serial number after it.
func follow(b *testing.B, h *Host, ksn []byte) []byte {
	x, err := h.Transaction(ksn)
	if err != nil {
		b.Fatal(err)
	}
	x.Wipe()
	c, ok := h.alg.after(x.counter)
	if !ok {
		c = 1
	}
	return h.alg.appendKSN(ksn[:0], &x.id, c)
}

// BenchmarkHostParallel derives in eight goroutines on one processor and on two:
// for eight devices that count on from the middle of their counters, for one
// device's dearest counter over and over, and for devices that the host has not
// met. A pair of figures is what the second processor is worth.
func BenchmarkHostParallel(b *testing.B) {
	for _, alg := range []Algorithm{TDES, AES128} {
		for _, c := range []struct {
			name string
			run  func(b *testing.B, h *Host, ksn []byte, next func() bool)
		}{
			{"following", func(b *testing.B, h *Host, ksn []byte, next func() bool) {
				for next() {
					ksn = follow(b, h, ksn)
				}
			}},
			{"same", func(b *testing.B, h *Host, _ []byte, next func() bool) {
				ksn := alg.appendKSN(nil, &ident{}, counters(alg)["worst"])
				for next() {
					if _, err := h.Transaction(ksn); err != nil {
						b.Error(err)
					}
				}
			}},
			{"unmet", func(b *testing.B, h *Host, _ []byte, next func() bool) {
				ksn := alg.appendKSN(nil, &ident{}, counters(alg)["worst"])
				for next() {
					if _, err := transaction(alg, ksn, h.initial, nil); err != nil {
						b.Error(err)
					}
				}
			}},
		} {
			for _, processors := range []int{1, 2} {
				b.Run(fmt.Sprint(alg, "/", c.name, "/processors=", processors), func(b *testing.B) {
					// A server's heap: in an empty one the collector would run all the time.
					heap := make([]byte, 64<<20)
					defer runtime.KeepAlive(heap)
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
					_, h := device(b, alg, &memory{})
					var number atomic.Uint32
					b.ReportAllocs()
					b.SetParallelism(8 / processors)
					before := processorTime(b)
					b.RunParallel(func(p *testing.PB) {
						var id ident
						binary.BigEndian.PutUint32(id[4:], number.Add(1)<<5)
						c.run(b, h, alg.appendKSN(make([]byte, 0, 12), &id, 0x055555), p.Next)
					})
					b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "processor-ns/op")
				})
			}
		}
	}
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
