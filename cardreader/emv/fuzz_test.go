package emv_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// noise spoils the answers of a good card as its bytes say: a byte below 80
// leaves an answer alone, one below C0 is followed by a place and a mask to
// change, a higher one by a length and an answer of its own.
type noise struct {
	cardreader.Card
	b []byte
	n int
}

func (c *noise) next() byte {
	if len(c.b) == 0 {
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *noise) Transmit(ctx context.Context, cmd []byte) ([]byte, error) {
	if c.n++; c.n > 3000 {
		return nil, errEndless
	}
	r, err := c.Card.Transmit(ctx, cmd)
	if err != nil {
		return nil, err
	}
	switch v := c.next(); {
	case v < 0x80:
		return r, nil
	case v < 0xC0:
		r = bytes.Clone(r)
		r[int(c.next())%len(r)] ^= c.next()
		return r, nil
	}
	n := min(int(c.next()), len(c.b))
	r, c.b = c.b[:n], c.b[n:]
	return r, nil
}

func FuzzTransaction(f *testing.F) {
	for _, s := range [][]byte{
		nil,
		{0, 0, 0, 0x80, 5, 1},
		append([]byte{0xC0, 4}, bin("61056C20")...),
		append([]byte{0, 0, 0, 0xC0, 18}, bin("77108202FD009408080101001001FF01 9000")...),
		append([]byte{0, 0, 0, 0, 0xC0, 4}, bin("70009000")...),
		append([]byte{0, 0, 0, 0, 0, 0xC0, 15}, bin("800B80000711121314151617189000")...),
	} {
		f.Add(s, byte(0))
		f.Add(s, byte(0xFD))
	}
	f.Fuzz(func(t *testing.T, b []byte, aip byte) {
		bench := newBench(t)
		bench.card.aip[0] = aip
		bench.term.Capabilities[2] |= tags.CapXDA
		bench.app().TACOnline = [5]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
		bench.card.objects[tags.CVMList] = "000003E8000007D0" + "0106 4307 4208 1E09 1F00"
		bench.card.objects[tags.LowerConsecutiveOfflineLimit], bench.card.objects[tags.UpperConsecutiveOfflineLimit] = "02", "04"
		bench.card.script = map[string]apdu.Status{"24": 0x9000}
		card := &noise{Card: bench.card, b: b}
		k := kernel(t, bench.holder, func(c *emv.Config) { c.Terminal, c.CAKeys = bench.term, noKeys{} })
		s, err := k.Start(t.Context(), card, bench.trade)
		if err == nil {
			defer s.Close()
			if s.Decision() == emv.Online {
				_, err = s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: make([]byte, 8), Scripts: bin("7106860484240000" + "7206860484240000")})
			}
		}
		if errors.Is(err, errEndless) || err != nil && !typed(err) {
			t.Errorf("error %v after %d commands", err, card.n)
		}
	})
}

func FuzzParseTerminal(f *testing.F) {
	b, err := os.ReadFile("testdata/terminal.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"type":"22","country":"056","capabilities":"E0F8C8","additional_capabilities":"F000F0A001","applications":[{"aid":"A000000003"}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		term, err := emv.ParseTerminal(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, emv.ErrConfig) {
				t.Errorf("error %v", err)
			}
			return
		}
		var out bytes.Buffer
		if err := term.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := emv.ParseTerminal(&out)
		if err != nil || !reflect.DeepEqual(term, again) {
			t.Errorf("written and read again: %v\n%+v\n%+v", err, term, again)
		}
	})
}

// noKeys is a terminal without any CA key.
type noKeys struct{}

func (noKeys) CAKey(oda.RID, byte) (oda.CAKey, bool) { return oda.CAKey{}, false }
func (noKeys) Revoked(oda.RID, byte, [3]byte) bool   { return false }
