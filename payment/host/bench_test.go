//go:build unix

package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/trade"
)

// sealedSale is a sale as it comes from a terminal: its request and its
// completion, ready to be answered.
type sealedSale struct{ request, completion []byte }

// sales are what each of some terminals will send: units made, orders placed and
// messages sealed before the clock runs.
func sales(b *testing.B, r *rig, terminals, n int) ([]*unit, [][]sealedSale) {
	b.Helper()
	out := make([][]sealedSale, terminals)
	units := make([]*unit, terminals)
	var file strings.Builder
	for i := range units {
		id := enrolling(r.activation(), 1)
		binary.BigEndian.PutUint16(id.Key, uint16(i))
		units[i] = r.enrolAs(id, 4)
		number := fmt.Sprintf("476173%010d", i)
		units[i].card = cardOf(b, number)
		fmt.Fprintf(&file, `,{"pan":%q,"psn":"00","expiry":"3112","imk_ac":%q,"imk_smi":%q,"imk_smc":%q,"derivation":"A","session":"csk","cvn":"18","pin":%q,"balance":%d,"currency":"EUR"}`,
			number, testIMK, testIMK, testIMK, testPIN, opening)
	}
	cards, err := issuer.ParseCards(strings.NewReader(`{"cards":[` + file.String()[1:] + `]}`))
	if err != nil {
		b.Fatal(err)
	}
	if r.s.c.Issuer, err = issuer.New(issuer.Config{Cards: cards, Now: func() time.Time { return testNow }}); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		u := units[i%terminals]
		id := fmt.Sprintf("o%d", i)
		if err := r.s.CreateOrder(context.Background(), Order{ID: id, Type: trade.Sale, Amount: r.eur(1), Merchant: "M1"}); err != nil {
			b.Fatal(err)
		}
		m := u.sale(id, 1, testPIN)
		k, req := u.seal(m)
		k.Wipe()
		k, done := u.seal(u.completion(m, "123456"))
		k.Wipe()
		out[i%terminals] = append(out[i%terminals], sealedSale{req, done})
	}
	return units, out
}

// syncedCommits is how many commits a second the disk takes, when each of so
// many parties at once writes a page and one sync serves all that wait.
func syncedCommits(b *testing.B, dir string, parties int) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096*parties)
	began, n := time.Now(), 0
	for ; time.Since(began) < 500*time.Millisecond; n++ {
		if _, err := f.WriteAt(page, int64(n%64)*int64(len(page))); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n*parties) / time.Since(began).Seconds()
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmarkSales measures sales, each a request and a completion at the server,
// both durable before they are answered, with all cryptography of server and
// issuer. It reports sales a second, the time until a sale stands, the process's
// own work, and how many commits a second the disk alone takes.
func benchmarkSales(b *testing.B, newRig func(testing.TB) *rig, dir string) {
	for _, terminals := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("terminals=%d", terminals), func(b *testing.B) {
			r := newRig(b)
			r.quiet = true
			units, all := sales(b, r, terminals, b.N)
			took := make([]time.Duration, b.N)
			var at atomic.Int64
			b.ReportAllocs()
			before := cpu(b)
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, list := range all {
				wg.Go(func() {
					for _, s := range list {
						began := time.Now()
						for _, m := range [][]byte{s.request, s.completion} {
							if _, err := units[i].post(m); err != nil {
								b.Error(err)
								return
							}
						}
						took[at.Add(1)-1] = time.Since(began)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			seconds := b.Elapsed().Seconds()
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/seconds, "sales/s")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/sale")
			b.ReportMetric(syncedCommits(b, dir, terminals), "bare-commits/s")
			if report := ledgertest.Clean(b, r.l); report.Entries != min(terminals, b.N)+2*b.N {
				b.Errorf("%d entries of %d sales", report.Entries, b.N)
			}
			r.close()
		})
	}
}

func BenchmarkSales(b *testing.B) { benchmarkSales(b, newRig, b.TempDir()) }
