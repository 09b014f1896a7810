package pcsc

import (
	"context"
	"slices"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/atr"
)

// Status is what is known of a reader.
type Status struct {
	Reader string
	// Present: a card is in it. Mute: it gives no answer to reset.
	Present, Mute bool
	// ATR is the card's answer to reset; nil when there is no card, or it was
	// not powered yet.
	ATR []byte
}

// interfaceOf tells by the answer to reset how a card is there: contactless
// readers make a pseudo-ATR (PC/SC part 3).
func interfaceOf(b []byte) cardreader.Interface {
	if a, err := atr.Parse(b); err == nil && a.Pseudo() {
		return cardreader.Contactless
	}
	return cardreader.Contact
}

// Watch tells of all readers, once as they are and then with each change:
// readers plugged in and pulled out, cards put in and taken out. It returns nil
// when observe returns false. Errors: ErrService, or one that wraps ctx.Err().
func (s *System) Watch(ctx context.Context, observe func([]Status) bool) error {
	return s.watch.wait(ctx, func(now map[string]readerState) bool {
		list := make([]Status, 0, len(now))
		for _, n := range names(now) {
			st := now[n]
			v := Status{Reader: n, Present: st.event&statePresent != 0, Mute: st.event&stateMute != 0}
			if v.Present {
				v.ATR = slices.Clone(st.atr)
			}
			list = append(list, v)
		}
		return !observe(list)
	})
}
