package softpad

import (
	"fmt"
	"io"
)

// Cells is the number of digit cells of a keypad.
const Cells = 10

// Layout says which digit each cell shows, cell 0 at the top left, row by row,
// cell 9 below the others. It is trusted data: a Panel draws it and forgets it.
type Layout [Cells]byte

// centre is the cell of the 5 on the fixed layout.
const centre = 4

// FixedLayout is that of a telephone: 1 2 3, 4 5 6, 7 8 9, 0.
func FixedLayout() Layout { return Layout{1, 2, 3, 4, 5, 6, 7, 8, 9, 0} }

// NewLayout draws a layout uniformly: Fisher–Yates with rejection sampling, so
// that no permutation is likelier than another.
func NewLayout(random io.Reader) (Layout, error) {
	var l Layout
	for i := range l {
		l[i] = byte(i)
	}
	if err := shuffle(l[:], random); err != nil {
		return Layout{}, fmt.Errorf("softpad: randomness: %w", err)
	}
	return l, nil
}

// shuffle is Fisher–Yates from the end.
func shuffle(b []byte, random io.Reader) error {
	for i := len(b) - 1; i > 0; i-- {
		j, err := below(random, byte(i+1))
		if err != nil {
			return err
		}
		b[i], b[j] = b[j], b[i]
	}
	return nil
}

// below returns a uniform number under n: bytes beyond the last multiple of n are
// drawn again.
func below(random io.Reader, n byte) (byte, error) {
	limit := byte(256 - 256%int(n) - 1)
	var b [1]byte
	defer clear(b[:])
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, err
		}
		if b[0] <= limit {
			return b[0] % n, nil
		}
	}
}
