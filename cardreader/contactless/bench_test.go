package contactless_test

import (
	"context"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/simcard"
)

// recorded is a card that gives the answers of another one again: what is left is
// the kernel. last is when it gave the last one.
type recorded struct {
	answers map[string][]byte
	last    time.Time
}

func (*recorded) ATR() []byte  { return nil }
func (*recorded) Close() error { return nil }

func (r *recorded) Transmit(_ context.Context, b []byte) ([]byte, error) {
	a := r.answers[string(b)]
	r.last = time.Now()
	return a, nil
}

// constant is a source whose numbers are the same for each transaction.
type constant struct{ n byte }

func (c *constant) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.n
	}
	c.n++
	return len(b), nil
}

// BenchmarkTap measures a whole tap without the card's time: an online qVSDC
// transaction (three commands, no RSA), an M/Chip one (ten, three RSA operations),
// and how long after the card's last answer the outcome is there.
func BenchmarkTap(b *testing.B) {
	for _, x := range []struct {
		name, card string
		minor      int64
	}{{"qVSDC-online", "default", 2500}, {"qVSDC-offline", "default", 1000}, {"MChip", "mchip", 2500}} {
		b.Run(x.name, func(b *testing.B) {
			p := shop(b, x.minor, full)
			r := &recorded{answers: map[string][]byte{}}
			p.Wedge = wedge(nil, nil)
			tap := func(rd cardreader.Reader) time.Duration {
				reader, err := contactless.New(contactless.Config{
					Terminal: p.Terminal, Combinations: p.Combinations, Rand: &constant{}, Now: taptest.Now, Pause: noPause,
				}, p.PIN)
				if err != nil {
					b.Fatal(err)
				}
				s, err := reader.Pay(context.Background(), rd, p.Transaction)
				if err != nil {
					b.Fatal(err)
				}
				took := time.Since(r.last)
				if s.Decision() == emv.Declined {
					b.Fatalf("%s: %v", s.Final(), s.Outcome().Reasons)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				return took
			}
			field := simcard.NewField("field", taptest.Card(b, x.card, nil))
			tap(recording{field, r})
			replay := &field1{r}
			var last time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				last += tap(replay)
			}
			b.ReportMetric(float64(last.Microseconds())/float64(b.N), "µs-after-last-answer")
		})
	}
}

// recording keeps what a card answers.
type recording struct {
	cardreader.Reader
	to *recorded
}

func (r recording) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := r.Reader.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return taptest.Between{Card: c, Answer: func(command, answer []byte) []byte {
		r.to.answers[string(command)] = append([]byte(nil), answer...)
		return answer
	}}, nil
}

// field1 is a field with one card.
type field1 struct{ c cardreader.Card }

func (*field1) Name() string { return "field" }

func (f *field1) Connect(context.Context) (cardreader.Card, error) { return f.c, nil }
