//go:build unix

package host

import (
	"fmt"
	"sync"
	"testing"

	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
)

// BenchmarkRecovery measures how long a server takes that starts on the file of
// one which was killed with payments pending, booked and not completed: until it
// has answered the first completion, durably.
func BenchmarkRecovery(b *testing.B) {
	for _, pending := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("pending=%d", pending), func(b *testing.B) {
			r := newRig(b)
			r.quiet = true
			units, all := sales(b, r, min(pending, 64), pending)
			var wg sync.WaitGroup
			for i, list := range all {
				wg.Go(func() {
					for _, s := range list {
						if _, err := units[i].post(s.request); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if report := ledgertest.Clean(b, r.l); report.Pending != pending {
				b.Fatalf("%d pending, want %d", report.Pending, pending)
			}
			// Of the first ones the keys are out of the window by now.
			last := all[0][len(all[0])-1]
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				path := r.onDisk()
				b.StartTimer()
				next := openRig(b, path)
				next.s.c.Issuer = r.s.c.Issuer
				if _, err := units[0].at(next).post(last.completion); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				next.close()
				b.StartTimer()
			}
		})
	}
}
