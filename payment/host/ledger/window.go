package ledger

// Window remembers which numbers of a rising counter were used: the highest,
// and for the 64 numbers up to it one bit each. What is older counts as used,
// so that a message which was held back for long is refused. The zero value
// has seen nothing; 0 is no number of a counter.
type Window struct {
	// High is the highest number used.
	High uint64
	// Bits has bit i set when High-i was used.
	Bits uint64
}

// windowSize is the number of counters that a Window can tell apart.
const windowSize = 64

// Use marks n as used, and reports false when it was, or can't be told from one
// that was.
func (w *Window) Use(n uint64) bool {
	switch {
	case n == 0:
		return false
	case n > w.High:
		shift := n - w.High
		if shift >= windowSize {
			w.Bits = 0
		} else {
			w.Bits <<= shift
		}
		w.High, w.Bits = n, w.Bits|1
		return true
	case w.High-n >= windowSize || w.Bits&(1<<(w.High-n)) != 0:
		return false
	}
	w.Bits |= 1 << (w.High - n)
	return true
}
