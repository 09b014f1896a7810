package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
)

// leaving is a card that is taken away after so many commands.
type leaving struct {
	cardreader.Card
	left int
}

func (c *leaving) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if c.left == 0 {
		return nil, cardreader.ErrCardRemoved
	}
	c.left--
	return c.Card.Transmit(ctx, b)
}

type leavingReader struct {
	cardreader.Reader
	after int
}

func (r leavingReader) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := r.Reader.Connect(ctx)
	return &leaving{c, r.after}, err
}

// TestRemoved takes the card away after each command: what it gave is reported,
// and that there is more.
func TestRemoved(t *testing.T) {
	keys, err := authorities("")
	if err != nil {
		t.Fatal(err)
	}
	o := options{reader: "sim", card: "default", say: func(string) {}}
	for n := 0; ; n++ {
		r, err := open(o)
		if err != nil {
			t.Fatal(err)
		}
		got, name, err := read(t.Context(), leavingReader{r, n}, o)
		if err == nil {
			if n < 10 {
				t.Errorf("read to the end after %d commands", n)
			}
			return
		}
		if !errors.Is(err, cardreader.ErrCardRemoved) || (got == nil) != (n == 0) {
			t.Fatalf("after %d commands: %v", n, err)
		}
		if got == nil {
			continue
		}
		rep := draw(got, name, o, keys, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
		rep.Error = problem(err)
		if len(got.Exchanges) != n || !strings.Contains(rep.text(), "not read to the end: ") {
			t.Errorf("after %d commands: %d exchanges\n%s", n, len(got.Exchanges), rep.text())
		}
	}
}
