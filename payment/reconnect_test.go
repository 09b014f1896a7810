package payment_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payunit/payunit/channel/relay/hostile"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
)

// TestPeopleTakeHours: the channel comes to its end while the cardholder thinks,
// and the payment goes on over a new one.
func TestPeopleTakeHours(t *testing.T) {
	for _, at := range []string{"agrees"} {
		for _, wait := range []time.Duration{59*time.Minute + 59*time.Second, 2 * time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				c := plain()
				link := hostile.New(w, hostile.Pass)
				c.link = link
				slept := false
				c.script.Observe = func(text string) {
					if !slept && strings.Contains(text, at) {
						slept = true
						time.Sleep(wait)
					}
				}
				r := w.rig(c)
				w.order("A-1", 1234)
				got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
				if err != nil || got.Outcome != payment.Approved {
					t.Errorf("%s, %v: %s, %v", at, wait, got.Outcome, err)
				}
				if !slept {
					t.Errorf("nobody waited at %q", at)
				}
				if a := w.audit(); a.Authorisations != 1 || a.Pending != 0 {
					t.Errorf("%s, %v: ledger %+v", at, wait, a)
				}
			})
		}
	}
}

// counted is a link that counts its connections.
type counted struct {
	*world
	n atomic.Int32
}

func (c *counted) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	c.n.Add(1)
	return c.world.Open(ctx)
}

// TestAskedAfter: a request whose answer was lost is asked after once, under its
// numbers, over a resumed channel, whether it had arrived or not, and the server
// has one request in the end. A second loss makes the reversal.
func TestAskedAfter(t *testing.T) {
	for _, stage := range []host.Stage{host.StageVerified, host.StageCommitted} {
		for losses := range 3 {
			w := newWorld(t)
			c := plain()
			link := &counted{world: w}
			c.link = link
			r := w.rig(c)
			link.n.Store(0)
			var mtis []string
			cut := cuts(stage, losses)
			w.intercept = func(p host.Point) error {
				if p.Stage == stage {
					mtis = append(mtis, p.MTI)
				}
				return cut(p)
			}
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if err != nil {
				t.Fatal(err)
			}
			want := [][]string{{"0200", "0220"}, {"0200", "0201", "0220"}, {"0200", "0201", "0420"}}[losses]
			if strings.Join(mtis, " ") != strings.Join(want, " ") {
				t.Errorf("%v, %d losses: messages %v, want %v", stage, losses, mtis, want)
			}
			if n := int(link.n.Load()); n != 1+losses {
				t.Errorf("%v, %d losses: %d connections", stage, losses, n)
			}
			outcome, state := payment.Approved, trade.Paid
			if losses == 2 {
				outcome, state = payment.Declined, trade.Open
			}
			if s := w.state("A-1"); got.Outcome != outcome || s != state {
				t.Errorf("%v, %d losses: %s, order %s", stage, losses, got.Outcome, s)
			}
			if a := w.audit(); a.Authorisations > 1 || a.Pending != 0 {
				t.Errorf("%v, %d losses: ledger %+v", stage, losses, a)
			}
			resumed := 0
			w.mu.Lock()
			for _, e := range w.events {
				if strings.Contains(e, "channel up, to resume") {
					resumed++
				}
			}
			w.mu.Unlock()
			if resumed != losses {
				t.Errorf("%v, %d losses: %d channels were resumed", stage, losses, resumed)
			}
		}
	}
}
