//go:build unix

package host

import (
	"bytes"
	"context"
	"crypto/sha256"
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

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/trade"
)

// sealedSale is a sale as it comes from a terminal: its request and its
// completion, ready to be answered.
type sealedSale struct{ request, completion []byte }

// shop is as many terminals as there are cards, one card for each.
func shop(t testing.TB, r *rig, terminals int, balance int64) []*unit {
	t.Helper()
	units := make([]*unit, terminals)
	var file strings.Builder
	for i := range units {
		id := enrolling(r.activation(), 1)
		binary.BigEndian.PutUint16(id.Key, uint16(i))
		units[i] = r.enrolAs(id, 4)
		number := fmt.Sprintf("476173%010d", i)
		units[i].card = cardOf(t, number)
		fmt.Fprintf(&file, `,{"pan":%q,"psn":"00","expiry":"3112","imk_ac":%q,"imk_smi":%q,"imk_smc":%q,"derivation":"A","session":"csk","cvn":"18","pin":%q,"balance":%d,"currency":"EUR"}`,
			number, testIMK, testIMK, testIMK, testPIN, balance)
	}
	cards, err := issuer.ParseCards(strings.NewReader(`{"cards":[` + file.String()[1:] + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.s.c.Issuer, err = issuer.New(issuer.Config{Cards: cards, Now: func() time.Time { return testNow }}); err != nil {
		t.Fatal(err)
	}
	return units
}

// newSale places an order and makes its sale's messages.
func (u *unit) newSale(id string) sealedSale {
	u.r.t.Helper()
	if err := u.r.s.CreateOrder(context.Background(), Order{ID: id, Type: trade.Sale, Amount: u.r.eur(1), Merchant: "M1"}); err != nil {
		u.r.t.Fatal(err)
	}
	m := u.sale(id, 1, testPIN)
	k, req := u.seal(m)
	k.Wipe()
	k, done := u.seal(u.completion(m, "123456"))
	k.Wipe()
	return sealedSale{req, done}
}

// pay sends a sale over a channel of its own.
func (u *unit) pay(s sealedSale) error {
	p := u.newChannel()
	for _, m := range [][]byte{s.request, s.completion} {
		if _, err := u.postOn(p, m); err != nil {
			return err
		}
	}
	return nil
}

// sales are what each of some terminals will send: units made, orders placed and
// messages sealed before the clock runs.
func sales(b *testing.B, r *rig, terminals, n int) ([]*unit, [][]sealedSale) {
	b.Helper()
	out := make([][]sealedSale, terminals)
	units := shop(b, r, terminals, opening)
	for i := range n {
		out[i%terminals] = append(out[i%terminals], units[i%terminals].newSale(fmt.Sprintf("o%d", i)))
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

// measured is what some work by several parties took: each piece of it, all of it,
// and the process's own time.
type measured struct {
	each       []time.Duration
	took, work time.Duration
}

// measure has each party do what is its of the pieces from first up to end, one
// after another, all parties at once.
func (m *measured) measure(b *testing.B, first, end, parties int, do func(party, i int) error) {
	b.Helper()
	each := make([]time.Duration, end-first)
	var at atomic.Int64
	before, began := cpu(b), time.Now()
	var wg sync.WaitGroup
	for p := range parties {
		wg.Go(func() {
			for i := range (end - p + parties - 1) / parties {
				if i*parties+p < first {
					continue
				}
				began := time.Now()
				if err := do(p, i); err != nil {
					b.Error(err)
					return
				}
				each[at.Add(1)-1] = time.Since(began)
			}
		})
	}
	wg.Wait()
	m.took += time.Since(began)
	m.work += cpu(b) - before
	m.each = append(m.each, each...)
	slices.Sort(m.each)
}

// perSecond is how many pieces a second, own the process's time for one.
func (m *measured) perSecond() float64 { return float64(len(m.each)) / m.took.Seconds() }
func (m *measured) own() time.Duration { return m.work / time.Duration(len(m.each)) }

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// cryptographyOfSale is what the cryptography of a sale takes at the server and
// the issuer, one operation after the other and nothing between them: for request
// and completion each the keys of their number, a MAC verified and one made; the
// key of the PIN block and the block deciphered; the card's cryptogram and the
// issuer's answer to it; the digests of card number and request, and two links of
// the book's chain.
func cryptographyOfSale(b *testing.B, u *unit) time.Duration {
	b.Helper()
	const n = 2000
	s := u.r.s
	var t ledger.Terminal
	err := s.c.Ledger.View(b.Context(), func(tx ledger.Tx) (err error) { t, err = tx.Terminal(u.grant.TerminalID); return err })
	if err != nil {
		b.Fatal(err)
	}
	keys := s.bases[t.PINFormat]
	type message struct{ ksn, data, mac []byte }
	var macs []message
	var requests []*acquirer.Message
	for range n {
		m := u.sale("o0", 1, testPIN)
		for _, m := range []*acquirer.Message{m, u.completion(m, "123456")} {
			k, sealed := u.seal(m)
			k.Wipe()
			_, err := s.c.Dialect.Open(sealed, func(m *acquirer.Message, data, mac []byte) error {
				macs = append(macs, message{bytes.Clone(m.MACKSN), bytes.Clone(data), bytes.Clone(mac)})
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		requests = append(requests, m)
	}
	entry := ledger.Entry{
		Key: "book/" + t.ID + "/000001/632812000001", Kind: ledger.KindBook, Authorisation: ledger.Key{Terminal: t.ID, STAN: "000001", RRN: "632812000001"},
		Cause: "sale approved by the issuer", Time: testNow,
		Postings: []ledger.Posting{{Account: "card/0123456789abcdef0123456789abcdef", Amount: u.r.eur(-1)}, {Account: "pending/M1", Amount: u.r.eur(1)}},
	}
	c := u.card
	began := cpu(b)
	for i, m := range requests {
		for _, v := range macs[2*i : 2*i+2] {
			k, _, err := keys.mac.transaction(&t, v.ksn)
			if err == nil {
				err = k.VerifyMACRequest(v.data, v.mac)
			}
			if err == nil {
				_, err = k.MACResponse(v.data)
			}
			if err != nil {
				b.Fatal(err)
			}
			k.Wipe()
			ledger.Chain([32]byte{}, 1, &entry)
		}
		k, _, err := keys.pin.transaction(&t, m.PINKSN)
		if err != nil {
			b.Fatal(err)
		}
		pin, err := k.DecryptPIN(m.PINBlock, c.pan)
		k.Wipe()
		pin.Wipe()
		if err != nil {
			b.Fatal(err)
		}
		s.content(m)
		sha256.Sum256(m.PAN.Reveal())
		find := func(t tlv.Tag) ([]byte, bool) { return tlv.Find(m.ICC, t) }
		atc, _ := find(tags.ATC)
		iad, _ := find(tags.IssuerApplicationData)
		ac, _ := find(tags.ApplicationCryptogram)
		card := cryptogram.Card{AIP: [2]byte{0x3C}, ATC: binary.BigEndian.Uint16(atc), IAD: iad}
		if err := c.scheme.Verify(c.keys.AC, find, card, ac); err != nil {
			b.Fatal(err)
		}
		if _, err := c.scheme.Answer(c.keys.AC, cryptogram.Transaction{ATC: card.ATC, AC: [8]byte(ac)}, cryptogram.Response{ARC: [2]byte{'0', '0'}}); err != nil {
			b.Fatal(err)
		}
	}
	return (cpu(b) - began) / n
}

// rowsOfSales is what the storage alone does for the same sales: the same
// transactions on the same rows, with no message, no cryptography and no decision
// between them, on a ledger of its own.
func rowsOfSales(b *testing.B, newRig func(testing.TB) *rig, n, terminals int) (*rig, func(party, i int) error) {
	b.Helper()
	from, rec := recorded(b)
	units, all := sales(b, from, terminals, n)
	before := rec.taken()
	steps := make([][][]step, terminals)
	for i, list := range all {
		for _, s := range list {
			if err := units[i].pay(s); err != nil {
				b.Fatal(err)
			}
			steps[i] = append(steps[i], rec.taken())
		}
	}
	from.close()
	to := newRig(b)
	err := to.l.Update(b.Context(), func(tx ledger.Tx) error {
		for _, s := range before {
			if err := s.in(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return to, func(p, i int) error {
		for _, s := range steps[p][i] {
			if err := s.do(context.Background(), to.l); err != nil {
				return err
			}
		}
		return nil
	}
}

// benchmarkSales measures sales, each a request and a completion at the server on
// a channel of its own, both durable before they are answered, with all
// cryptography of server and issuer. It reports sales a second, the time until a
// sale stands and the process's own work; beside them, of the storage alone, the
// same rows without the sales (rows-…) and bare commits of a page; and what a
// sale's cryptography takes by itself (crypto-…). Sales and rows take turns, in
// quarters, since neither has the machine for itself.
func benchmarkSales(b *testing.B, newRig func(testing.TB) *rig, dir string) {
	for _, terminals := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("terminals=%d", terminals), func(b *testing.B) {
			r := newRig(b)
			r.quiet = true
			units, all := sales(b, r, terminals, b.N)
			to, again := rowsOfSales(b, newRig, b.N, terminals)
			b.ReportAllocs()
			b.ResetTimer()
			b.StopTimer()
			var m, rows measured
			for first, part := 0, max(b.N/4, 1); first < b.N; first += part {
				end := min(first+part, b.N)
				b.StartTimer()
				m.measure(b, first, end, terminals, func(p, i int) error { return units[p].pay(all[p][i]) })
				b.StopTimer()
				rows.measure(b, first, end, terminals, again)
			}
			for _, l := range []ledger.Ledger{r.l, to.l} {
				if report := ledgertest.Clean(b, l); report.Entries != min(terminals, b.N)+2*b.N {
					b.Errorf("%d entries of %d sales", report.Entries, b.N)
				}
			}
			crypto := cryptographyOfSale(b, units[0])
			r.close()
			to.close()
			bare := syncedCommits(b, dir, terminals)
			b.ReportMetric(m.perSecond(), "sales/s")
			b.ReportMetric(micros(m.each[len(m.each)/2])/1000, "p50-ms")
			b.ReportMetric(micros(m.each[len(m.each)*99/100])/1000, "p99-ms")
			b.ReportMetric(micros(m.own()), "cpu-us/sale")
			b.ReportMetric(micros(crypto), "crypto-us/sale")
			b.ReportMetric(micros(rows.own()), "rows-cpu-us/sale")
			b.ReportMetric(rows.perSecond(), "rows-sales/s")
			b.ReportMetric(m.perSecond()/rows.perSecond(), "of-rows")
			b.ReportMetric(bare, "bare-commits/s")
			b.ReportMetric(2*m.perSecond()/bare, "of-bare")
		})
	}
}

func BenchmarkSales(b *testing.B) { benchmarkSales(b, newRig, b.TempDir()) }
