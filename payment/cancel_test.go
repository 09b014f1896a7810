package payment_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// waiting is a UI whose cardholder takes for ever, and says when.
type waiting struct {
	trusted.UI
	asked chan struct{}
}

func (w waiting) Confirm(ctx context.Context, _ trusted.Confirmation) error {
	close(w.asked)
	<-ctx.Done()
	return ctx.Err()
}

// noCard is a reader into which nobody puts a card.
type noCard struct {
	cardreader.Reader
	asked chan struct{}
}

func (n noCard) Connect(ctx context.Context) (cardreader.Card, error) {
	close(n.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

// mute is an app whose server never says anything.
type mute struct{ asked chan struct{} }

func (m mute) Open(context.Context) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	go func() {
		_, _ = io.Copy(io.Discard, far)
	}()
	close(m.asked)
	return near, nil
}

// TestCancelledWhileWaiting cancels a payment while it waits for the server, the
// cardholder, the card and the bank's answer: it ends at once.
func TestCancelledWhileWaiting(t *testing.T) {
	for _, c := range []struct {
		name    string
		alter   func(*rigConfig, *world, chan struct{})
		outcome payment.Outcome
		state   trade.State
	}{
		{"the channel", func(c *rigConfig, _ *world, asked chan struct{}) { c.link = mute{asked} }, "", trade.Open},
		{"the cardholder", func(c *rigConfig, _ *world, asked chan struct{}) { c.ui = waiting{nil, asked} }, "", trade.Open},
		{"a card", func(c *rigConfig, _ *world, asked chan struct{}) {
			c.reader = func(r cardreader.Reader) cardreader.Reader { return noCard{r, asked} }
		}, "", trade.Open},
		{"the bank's answer", func(_ *rigConfig, w *world, asked chan struct{}) {
			w.intercept = func(p host.Point) error {
				if p.Stage == host.StageCommitted {
					close(asked)
					<-w.ctx.Done()
				}
				return nil
			}
		}, payment.Unknown, trade.Pending},
		{"the answer to the completion", func(_ *rigConfig, w *world, asked chan struct{}) {
			w.intercept = func(p host.Point) error {
				if p.Stage == host.StageVerified && p.MTI == "0220" {
					close(asked)
					<-w.ctx.Done()
				}
				return nil
			}
		}, payment.Approved, trade.Pending},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			asked := make(chan struct{})
			rc := plain()
			c.alter(&rc, w, asked)
			if u, ok := rc.ui.(waiting); ok {
				rc.ui = waiting{w.rig(plain()).holder, u.asked}
			}
			r := w.rig(rc)
			w.order("A-1", 1234)
			ctx, cancel := context.WithCancel(t.Context())
			type ending struct {
				r   payment.Result
				err error
			}
			done := make(chan ending, 1)
			go func() {
				got, err := r.unit.Pay(ctx, payment.Order{ID: "A-1"})
				done <- ending{got, err}
			}()
			<-asked
			cancel()
			select {
			case e := <-done:
				if e.r.Outcome != c.outcome {
					t.Errorf("%+v", e.r)
				}
				if c.outcome == "" && !errors.Is(e.err, context.Canceled) {
					t.Errorf("error %v", e.err)
				}
			case <-time.After(2 * time.Second):
				t.Fatal("still waiting")
			}
			if s := w.state("A-1"); s != c.state {
				t.Errorf("order is %s", s)
			}
			if f := r.final(); len(f) != 1 {
				t.Errorf("%d final events", len(f))
			}
		})
	}
}

// TestOneAtATime: a unit that is busy says so.
func TestOneAtATime(t *testing.T) {
	w := newWorld(t)
	asked := make(chan struct{})
	c := plain()
	c.reader = func(r cardreader.Reader) cardreader.Reader { return noCard{r, asked} }
	r := w.rig(c)
	w.order("A-1", 1234)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = r.unit.Pay(ctx, payment.Order{ID: "A-1"})
	}()
	<-asked
	if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-2"}); !errors.Is(err, payment.ErrBusy) {
		t.Errorf("second payment: %v", err)
	}
	if _, err := r.unit.Recover(t.Context()); !errors.Is(err, payment.ErrBusy) {
		t.Errorf("recovery meanwhile: %v", err)
	}
	cancel()
	<-done
}
