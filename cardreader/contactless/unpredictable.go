package contactless

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrRandom: the source of unpredictable numbers repeats itself. A terminal with
// such a source takes cryptograms that were harvested for its numbers before
// (Bond and others: Chip and Skim, IEEE S&P 2014), so it takes no cards at all.
var ErrRandom = errors.New("contactless: the source of unpredictable numbers repeats itself")

// remembered is how many unpredictable numbers are looked back upon. Among so many
// of a good source one is met again once in 260 million numbers, and drawn anew.
const remembered = 16

// numbers draws unpredictable numbers and remembers the last ones.
type numbers struct {
	mu   sync.Mutex
	last [remembered][4]byte
	n    int // how many were drawn
}

// next draws a number that is none of the last ones.
func (x *numbers) next(random io.Reader) ([]byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for range 3 {
		var un [4]byte
		if _, err := io.ReadFull(random, un[:]); err != nil {
			return nil, fmt.Errorf("contactless: unpredictable number: %w", err)
		}
		if x.seen(un) {
			continue
		}
		x.last[x.n%remembered] = un
		x.n++
		return un[:], nil
	}
	return nil, ErrRandom
}

func (x *numbers) seen(un [4]byte) bool {
	for i := range min(x.n, remembered) {
		if x.last[i] == un {
			return true
		}
	}
	return false
}
