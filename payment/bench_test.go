package payment_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
)

// timed is a reader that adds up the time in which its cards work.
type timed struct {
	cardreader.Reader
	spent *time.Duration
}

type timedCard struct {
	cardreader.Card
	spent *time.Duration
}

func (r timed) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := r.Reader.Connect(ctx)
	return timedCard{c, r.spent}, err
}

func (c timedCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	began := time.Now()
	defer func() { *c.spent += time.Since(began) }()
	return c.Card.Transmit(ctx, command)
}

// BenchmarkSale is a whole sale with both ends in this process: software card,
// kernel, pad, channel, server, issuer and ledger. It reports where the time
// goes: the card, the server's work on the two financial messages, and the rest
// of what the unit waited for the channel.
func BenchmarkSale(b *testing.B) {
	w := onSQLite(b)
	var card, server, waited time.Duration
	var verified time.Time
	w.intercept = func(p host.Point) error {
		if p.Stage == host.StageVerified {
			verified = time.Now()
		} else {
			server += time.Since(verified)
		}
		return nil
	}
	c := plain()
	c.now = time.Now
	c.reader = func(r cardreader.Reader) cardreader.Reader { return timed{r, &card} }
	r := w.rig(c)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		id := fmt.Sprint("A-", n)
		w.order(id, 1)
		n++
		r.events = r.events[:0]
		b.StartTimer()
		got, err := r.unit.Pay(b.Context(), payment.Order{ID: id})
		if err != nil || got.Outcome != payment.Approved {
			b.Fatalf("%+v, %v", got, err)
		}
		waited += got.Timing.Channel
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
	b.ReportMetric(per(card), "card-ns/op")
	b.ReportMetric(per(server), "server-booking-ns/op")
	b.ReportMetric(per(waited-server), "channel-ns/op")
}
