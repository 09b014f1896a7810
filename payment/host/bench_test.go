package host

import (
	"fmt"
	"testing"

	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
)

// BenchmarkSale is a request and its completion at the server, each in a
// transaction that is synced, with all cryptography of server and issuer.
func BenchmarkSale(b *testing.B) {
	r := newRig(b)
	u := r.enrol(1, 4)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		id := fmt.Sprintf("o%d", n)
		r.order(id, 1)
		m := u.sale(id, 1, testPIN)
		k, req := u.seal(m)
		k.Wipe()
		k, done := u.seal(u.completion(m, "123456"))
		k.Wipe()
		b.StartTimer()
		if _, err := u.post(req); err != nil {
			b.Fatal(err)
		}
		if _, err := u.post(done); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if report := ledgertest.Clean(b, r.l); report.Entries > 1 && report.Entries != 1+2*n {
		b.Errorf("%d entries of %d sales", report.Entries, n)
	}
}
