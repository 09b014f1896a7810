//go:build unix

package noise

import (
	"slices"
	"syscall"
	"testing"
	"time"

	flynn "github.com/flynn/noise"
)

// BenchmarkRatios compares where the machine is not quiet: one operation here and
// one there in turns, and the ratio of the medians of both, of time (the target of
// each is in its name) and of the processor's time. It runs its rounds whatever
// b.N is.
func BenchmarkRatios(b *testing.B) {
	b.Run("pay to TLS 1.3 hybrid, mutual: 1.0", func(b *testing.B) {
		c, s := newWorld(b).pair(b)
		theirs := tlsHandshake(b, false)
		ratios(b, 8, func() { over(b, c, s) }, func() { theirs() })
	})
	b.Run("pay, evidence that costs nothing, to TLS 1.3 hybrid, mutual: 1.0", func(b *testing.B) {
		c, s := freely(newWorld(b)).pair(b)
		theirs := tlsHandshake(b, false)
		ratios(b, 8, func() { over(b, c, s) }, func() { theirs() })
	})
	b.Run("resume to TLS 1.3 hybrid, resumed: 0.7", func(b *testing.B) {
		w := newWorld(b)
		w.client.Resume = true
		c, s := w.pair(b)
		over(b, c, s)
		theirs := tlsHandshake(b, true)
		theirs()
		ratios(b, 8, func() { over(b, c, s) }, func() { theirs() })
	})
	head := []byte{frameData, flagLast, 0, 0}
	for name, size := range map[string]int{"record of 256 B": 256, "record of 1 KiB": 1 << 10, "record of 4 KiB": 4 << 10, "record of 16 KiB": maxPlain} {
		b.Run(name+" to flynn's: 1.0", func(b *testing.B) {
			from, conn := halves(b, newBelt())
			to := &conn.read.cipher
			data, sealed, opened := make([]byte, size), make([]byte, 0, size+tagLen), make([]byte, 0, size)
			suite := flynn.NewCipherSuite(flynn.DH25519, flynn.CipherChaChaPoly, flynn.HashSHA256)
			theirFrom, theirTo := flynn.UnsafeNewCipherState(suite, [32]byte{1}, 0), flynn.UnsafeNewCipherState(suite, [32]byte{1}, 0)
			n := 200_000 / size
			ratios(b, 10, func() {
				for range n {
					out, err := from.encrypt(sealed, head, data)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := to.decrypt(opened, head, out); err != nil {
						b.Fatal(err)
					}
				}
			}, func() {
				for range n {
					out, err := theirFrom.Encrypt(sealed, head, data)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := theirTo.Decrypt(opened, head, out); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	b.Run("XK messages to flynn's: 0.6", func(b *testing.B) {
		ratios(b, 8, ourMessages(b, "XK"), flynnMessages(b, "XK"))
	})
}

// spent is what one side takes.
type spent struct{ wall, cpu []time.Duration }

func (s *spent) add(f func()) {
	began, before := time.Now(), processorTime()
	f()
	s.wall, s.cpu = append(s.wall, time.Since(began)), append(s.cpu, processorTime()-before)
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2])
}

// ratios runs the two in turns, some runs of one in each turn.
func ratios(b *testing.B, each int, ours, theirs func()) {
	b.Helper()
	const rounds = 150
	var a, z spent
	repeat := func(f func()) func() {
		return func() {
			for range each {
				f()
			}
		}
	}
	for range rounds {
		a.add(repeat(ours))
		z.add(repeat(theirs))
	}
	b.ReportMetric(median(a.wall)/median(z.wall), "of-their-time")
	b.ReportMetric(median(a.cpu)/median(z.cpu), "of-their-processor-time")
	b.ReportMetric(median(a.wall)/float64(each), "median-ns")
	b.ReportMetric(0, "ns/op")
}
