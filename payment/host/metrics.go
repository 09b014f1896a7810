package host

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

// buckets are the upper bounds of the times that are counted, in seconds.
var buckets = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// maxSeries bounds the counters: labels come from messages whose MAC was right,
// and still.
const maxSeries = 500

// counters are what a server counts. The zero value is ready.
type counters struct {
	mu     sync.Mutex
	counts map[string]uint64
	times  map[string]*times
	open   int
	owed   int
	// refused is how much of what was owed the acquirer above has refused.
	refused int
}

type times struct {
	n       uint64
	seconds float64
	within  [len(buckets)]uint64
}

// count adds one to a counter, whose name has its labels already.
func (c *counters) count(series string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]uint64{}
	}
	if _, ok := c.counts[series]; !ok && len(c.counts) >= maxSeries {
		series = "payunit_other_total"
	}
	c.counts[series]++
}

// took adds a time.
func (c *counters) took(series string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = map[string]*times{}
	}
	t := c.times[series]
	if t == nil {
		t = &times{}
		c.times[series] = t
	}
	t.n++
	t.seconds += d.Seconds()
	for i, b := range buckets {
		if d.Seconds() <= b {
			t.within[i]++
		}
	}
}

func (c *counters) opened(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
}

func (c *counters) owes(n, refused int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed, c.refused = n, refused
}

// message counts a financial message with its answer, and how long that took.
func (c *counters) message(mti, code string, d time.Duration) {
	c.count(fmt.Sprintf("payunit_messages_total{mti=%q,code=%q}", mti, code))
	c.took("payunit_message_seconds", d)
}

// WriteMetrics writes what the server has counted since it was made, in
// Prometheus' text format 0.0.4: channels, messages by type and response code,
// the time that they took, what was refused and why, and what is owed to the
// acquirer above, and what it refused, as that was last seen. Nothing in it is about one terminal or
// card.
func (s *Server) WriteMetrics(w io.Writer) error {
	c := &s.counters
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	family := ""
	head := func(series, kind string) {
		name, _, _ := strings.Cut(series, "{")
		if name != family {
			family = name
			fmt.Fprintf(&b, "# TYPE %s %s\n", name, kind)
		}
	}
	for _, series := range slices.Sorted(maps.Keys(c.counts)) {
		head(series, "counter")
		fmt.Fprintf(&b, "%s %d\n", series, c.counts[series])
	}
	for _, series := range slices.Sorted(maps.Keys(c.times)) {
		head(series, "histogram")
		t := c.times[series]
		for i, le := range buckets {
			fmt.Fprintf(&b, "%s_bucket{le=\"%g\"} %d\n", series, le, t.within[i])
		}
		fmt.Fprintf(&b, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %g\n%s_count %d\n", series, t.n, series, t.seconds, series, t.n)
	}
	fmt.Fprintf(&b, "# TYPE payunit_channels_open gauge\npayunit_channels_open %d\n", c.open)
	fmt.Fprintf(&b, "# TYPE payunit_owed_above gauge\npayunit_owed_above %d\n", c.owed)
	fmt.Fprintf(&b, "# TYPE payunit_refused_above gauge\npayunit_refused_above %d\n", c.refused)
	_, err := io.WriteString(w, b.String())
	return err
}

// Health asks the ledger, and returns why the server can't work.
func (s *Server) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.c.Limits.Reply)
	defer cancel()
	err := s.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		_, err := tx.Balance("health", "XXX")
		return err
	})
	if err != nil {
		return fmt.Errorf("host: the ledger: %w", err)
	}
	return nil
}
