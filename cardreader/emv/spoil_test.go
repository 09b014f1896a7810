package emv_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/tlv"
)

// spoiler lets a card's answers pass through a function.
type spoiler struct {
	cardreader.Card
	n     int
	spoil func(n int, command, response []byte) []byte
}

func (s *spoiler) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	r, err := s.Card.Transmit(ctx, command)
	if err == nil {
		r = s.spoil(s.n, command, r)
		s.n++
	}
	return r, err
}

// corrupt is a software card whose value of a tag has one bit wrong.
func corrupt(t testing.TB, profile string, tag tlv.Tag) cardreader.Card {
	t.Helper()
	hit := false
	t.Cleanup(func() {
		if !hit {
			t.Errorf("the card never gave tag %s", tag)
		}
	})
	return &spoiler{Card: sim(t, profile, nil), spoil: func(_ int, _, r []byte) []byte {
		if len(r) > 2 {
			out := bytes.Clone(r)
			if v, ok := tlv.Find(out[:len(out)-2], tag); ok && len(v) > 20 {
				v[20] ^= 0x04
				hit = true
			}
			return out
		}
		return r
	}}
}
