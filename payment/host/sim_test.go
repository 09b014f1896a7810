package host

import (
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host/ledger"
)

var (
	simSeeds = flag.Uint64("seeds", 200, "number of worlds that TestWorld runs")
	simFirst = flag.Uint64("seed", 1, "the first world's seed")
	simTrace = flag.Bool("trace", false, "print all that happens in a world")
)

// mutant is a world with a defect, which the simulation has to find.
type mutant struct {
	name   string
	ledger func(*simWorld, ledger.Ledger) ledger.Ledger
	// above is a defect of the acquirer's ledger.
	above   func(ledger.Ledger) ledger.Ledger
	storage func(payment.Storage) payment.Storage
}

// simulate runs a world to its end and looks at it.
func simulate(t testing.TB, parts *simParts, seed uint64, m mutant) *simWorld {
	w := newSimWorld(t, parts, seed, m)
	w.verbose = *simTrace
	w.run(t)
	w.check()
	return w
}

// TestWorld runs a world for each seed: a part of it always, as many as -seeds
// says on demand. `-seed N -seeds 1 -trace` shows what happened in one.
func TestWorld(t *testing.T) {
	counts := map[string]int{}
	steps := 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	seeds := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		parts := newSimParts(t)
		wg.Go(func() {
			// What can't be set up ends this goroutine, and not the others'
			// wait for it.
			defer func() {
				for range seeds {
				}
			}()
			for seed := range seeds {
				w := simulate(t, parts, seed, mutant{})
				mu.Lock()
				for k, n := range w.counts {
					counts[k] += n
				}
				steps += w.steps
				if len(w.problems) > 0 {
					t.Error(w.summary())
				}
				if *simTrace {
					t.Log(strings.Join(w.lines, "\n"))
				}
				mu.Unlock()
			}
		})
	}
	for i := range *simSeeds {
		seeds <- *simFirst + i
	}
	close(seeds)
	wg.Wait()
	// A world in which nothing gets done proves nothing.
	for _, k := range []string{"sale", "cashback", "refund", "void", "preauth", "completion", "incremental"} {
		if uint64(counts["paid "+k]) < *simSeeds/20 && !*simTrace {
			t.Errorf("%d orders of type %s were paid in all", counts["paid "+k], k)
		}
	}
	var what strings.Builder
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&what, "\n  %8d %s", counts[k], k)
	}
	t.Logf("seeds %d to %d: %d steps%s", *simFirst, *simFirst+*simSeeds-1, steps, what.String())
}

// A seed makes the same world each time.
func TestWorldReplays(t *testing.T) {
	for seed := range uint64(30) {
		a, b := simulate(t, newSimParts(t), seed, mutant{}), simulate(t, newSimParts(t), seed, mutant{})
		if a.trace != b.trace || a.steps != b.steps {
			t.Errorf("seed %d: %d steps with trace %016x, then %d with %016x", seed, a.steps, a.trace, b.steps, b.trace)
		}
	}
}
