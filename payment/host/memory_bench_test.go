//go:build unix

package host

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// footprint is what a process takes up.
type footprint struct {
	heap, resident, goroutines int
	// peers and series are what the server counts in memory.
	peers, series int
}

func (r *rig) footprint() footprint {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := footprint{heap: int(m.HeapAlloc), goroutines: runtime.NumGoroutine()}
	// Pages in memory, the second number; there where Linux is.
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := bytes.Fields(b); len(fields) > 1 {
			n, _ := strconv.Atoi(string(fields[1]))
			f.resident = n * os.Getpagesize()
		}
	}
	s := r.s
	s.rates.mu.Lock()
	f.peers = len(s.rates.peers)
	s.rates.mu.Unlock()
	s.counters.mu.Lock()
	f.series = len(s.counters.counts) + len(s.counters.times)
	s.counters.mu.Unlock()
	return f
}

// BenchmarkMemory makes as many sales as -benchtime says (1000000x) from 256
// terminals, each with an order of its own, and measures what the process takes up
// at every twentieth of them, on standard error. What it reports is the growth
// from a tenth of the way to the end, for each sale.
func BenchmarkMemory(b *testing.B) {
	const terminals, samples = 256, 20
	r := newRig(b)
	r.quiet = true
	units := shop(b, r, terminals, int64(b.N)+1)
	every := max(b.N/samples, 1)
	var mu sync.Mutex
	var all []footprint
	var at atomic.Int64
	sample := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		f := r.footprint()
		all = append(all, f)
		if b.N >= samples {
			fmt.Fprintf(os.Stderr, "%8d sales: heap %d KiB, resident %d KiB, %d goroutines, %d peers, %d series\n", n, f.heap>>10, f.resident>>10, f.goroutines, f.peers, f.series)
		}
	}
	var m measured
	m.measure(b, 0, b.N, terminals, func(p, i int) error {
		err := units[p].pay(units[p].newSale(fmt.Sprintf("o%d.%d", p, i)))
		if n := int(at.Add(1)); n%every == 0 {
			sample(n)
		}
		return err
	})
	early, late := all[len(all)/10], all[len(all)-1]
	b.ReportMetric(m.perSecond(), "sales/s")
	b.ReportMetric(float64(late.heap-early.heap)/float64(b.N), "heap-B/sale")
	b.ReportMetric(float64(late.resident-early.resident)/float64(b.N), "resident-B/sale")
	b.ReportMetric(float64(late.heap>>10), "heap-KiB")
	b.ReportMetric(float64(late.resident>>10), "resident-KiB")
}
