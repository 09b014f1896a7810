package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/acquirer/link"
	"github.com/payunit/payunit/payment/host/ledger"
)

// crowd is an acquirer above that answers once so many requests are with it at a
// time, and loses those of one RRN.
type crowd struct {
	mu      sync.Mutex
	want    int
	here    int
	most    int
	full    chan struct{}
	lost    string
	reached map[string]int
}

func (c *crowd) Exchange(ctx context.Context, m *acquirer.Message) (*acquirer.Message, error) {
	c.mu.Lock()
	c.here++
	c.most = max(c.most, c.here)
	c.reached[m.RRN]++
	if c.here == c.want && c.full != nil {
		close(c.full)
		c.full = nil
	}
	full := c.full
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.here--; c.mu.Unlock() }()
	if full != nil {
		select {
		case <-full:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", link.ErrNoAnswer, ctx.Err())
		}
	}
	if m.RRN == c.lost {
		return nil, link.ErrNoAnswer
	}
	return m.Response(codeApproved)
}

// TestForwardPages: what is owed is read in pages, sent for several requests at
// once, and that of one request in its order across pages.
func TestForwardPages(t *testing.T) {
	const owed = 2*forwardPage + 44
	r := newRig(t)
	u := r.enrol(1, 4)
	r.order("o1", 100)
	m := u.sale("o1", 100, "")
	c := &crowd{want: 4, full: make(chan struct{}), reached: map[string]int{}}
	r.s.c.Upstream, r.s.c.Limits.Forwards = c, 4
	err := r.l.Update(t.Context(), func(tx ledger.Tx) error {
		for n := range owed {
			rev := u.reversal(m)
			rev.RRN = fmt.Sprintf("%012d", n)
			if n == owed-1 {
				// Of the first message's request, in another page.
				rev.RRN = fmt.Sprintf("%012d", 0)
			}
			k := ledger.Key{Terminal: u.grant.TerminalID, STAN: rev.STAN, RRN: rev.RRN}
			a := ledger.Authorisation{Key: k, Transmitted: testNow, Order: "o1", Amount: r.eur(100), State: ledger.AuthReversed, Created: testNow, Changed: testNow}
			w := &work{m: rev, now: testNow, terminal: &ledger.Terminal{ID: k.Terminal}}
			if err := errors.Join(tx.PutAuthorisation(a), r.s.owe(tx, w, fmt.Sprint("reversal", n), k, rev, testNow)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.lost = fmt.Sprintf("%012d", 0)
	for after, want := range map[uint64]int{0: forwardPage, owed - 44: 44, owed: 0} {
		if page, err := r.s.outgoingPage(t.Context(), after); err != nil || len(page) != want {
			t.Errorf("after %d: a page of %d, %v; want %d", after, len(page), err, want)
		}
	}
	left, err := r.s.ForwardDue(t.Context())
	if err != nil || left != 2 {
		t.Errorf("%d are owed, %v; want the two of the request that was lost", left, err)
	}
	if c.most != 4 || len(c.reached) != owed-1 || c.reached[c.lost] != 1 {
		t.Errorf("%d at once, %d requests, that which is lost %d times", c.most, len(c.reached), c.reached[c.lost])
	}
}
