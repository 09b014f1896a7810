package trace_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/trace"
)

// answering is a card that answers by a table of hex.
type answering struct {
	plain
	answers map[string]string
}

func (a answering) Transmit(_ context.Context, c []byte) ([]byte, error) {
	return hex.DecodeString(strings.ReplaceAll(a.answers[strings.ToUpper(hex.EncodeToString(c))], " ", ""))
}

func transmit(t *testing.T, c cardreader.Card, command string) {
	t.Helper()
	b, err := hex.DecodeString(command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transmit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// TestStreaming: from the first GENERATE AC on each exchange is in the file when
// its response is whole; what is there can be read at any time; what was learned
// at the beginning masks what comes later.
func TestStreaming(t *testing.T) {
	const (
		read, gac, get, more, unknown = "00B2010C00", "80AE80000604050102030400", "80CA9F1300", "00C0000004", "80CADF7900"
		pan                           = "4761739001010010"
	)
	card := answering{answers: map[string]string{
		read:    "70 13 5A08" + pan + "8C07 9C01 9A01 9F3704 9000",
		gac:     "80 0B 80 0001 0102030405060708 9000",
		get:     "9F1302 6104",
		more:    "0007 9000",
		unknown: "DF7908" + pan + "9000",
	}}
	var b bytes.Buffer
	c := trace.Record(card, &b, trace.Options{})
	for range 3 {
		transmit(t, c, read)
	}
	if b.Len() > 0 {
		t.Fatal("written before it was known what is a PAN")
	}
	transmit(t, c, gac)
	for i, step := range []struct {
		command string
		want    int
	}{{unknown, 5}, {get, 5}, {more, 7}, {read, 8}} {
		transmit(t, c, step.command)
		tr := parse(t, b.String())
		if len(tr.Exchanges) != step.want {
			t.Errorf("step %d: %d exchanges in the file, want %d", i, len(tr.Exchanges), step.want)
		}
		if strings.Contains(b.String(), pan) {
			t.Fatalf("step %d: the PAN is in the file", i)
		}
	}
	tr := parse(t, b.String())
	if got := hex.EncodeToString(tr.Terminal[tags.UnpredictableNumber]); got != "01020304" {
		t.Errorf("9F37 %s of terminal data %v", got, tr.Terminal)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	whole := parse(t, b.String())
	if len(whole.Exchanges) != 8 || !whole.Masked {
		t.Errorf("%d exchanges, masked %v", len(whole.Exchanges), whole.Masked)
	}
}

// TestStreamingIsBounded: a session that never comes to a cryptogram is not kept
// in memory whole.
func TestStreamingIsBounded(t *testing.T) {
	const read = "00B2010C00"
	card := answering{answers: map[string]string{read: "70 82 0400" + strings.Repeat("00", 1024) + "9000"}}
	w := &largest{}
	c := trace.Record(card, w, trace.Options{})
	for range 1000 {
		transmit(t, c, read)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if w.all < 1000*2048 || w.most > 200<<10 {
		t.Errorf("%d bytes, %d at once", w.all, w.most)
	}
}

type largest struct{ all, most int }

func (l *largest) Write(b []byte) (int, error) {
	l.all += len(b)
	l.most = max(l.most, len(b))
	return len(b), nil
}

// BenchmarkRecord is the cost of recording one exchange in the middle of a
// session, and of the same card without it.
func BenchmarkRecord(b *testing.B) {
	command, _ := hex.DecodeString("00B2010C00")
	gac, _ := hex.DecodeString("80AE80000100")
	answer, _ := hex.DecodeString("7081" + "80" + "9F4681" + "7C" + strings.Repeat("AB", 0x7C) + "9000")
	card := fixed{answer: answer}
	for name, wrap := range map[string]func(cardreader.Card) cardreader.Card{
		"bare":     func(c cardreader.Card) cardreader.Card { return c },
		"recorded": func(c cardreader.Card) cardreader.Card { return trace.Record(c, io.Discard, trace.Options{}) },
	} {
		b.Run(name, func(b *testing.B) {
			var c cardreader.Card
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				// A trace ends at a number of exchanges.
				if n%10_000 == 0 {
					c = wrap(card)
					if _, err := c.Transmit(b.Context(), gac); err != nil {
						b.Fatal(err)
					}
				}
				n++
				if _, err := c.Transmit(b.Context(), command); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type fixed struct {
	plain
	answer []byte
}

func (f fixed) Transmit(context.Context, []byte) ([]byte, error) { return f.answer, nil }
