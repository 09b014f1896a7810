// Package atr reads the answer to reset of a card (ISO/IEC 7816-3, 8): its
// interface bytes, the protocols that it offers, the historical bytes and the
// check character; says them in words; and judges them by EMV's rules (EMV 4.4
// Book 1, 8.3).
//
// It negotiates no protocol: that is the reader's work.
package atr

import (
	"errors"
	"fmt"
	"slices"
)

// ErrMalformed is wrapped by every *Error of Parse.
var ErrMalformed = errors.New("atr: malformed")

// Error says what is wrong with an answer to reset, and where.
type Error struct {
	// Offset counts bytes from TS.
	Offset int
	// Byte is the name of the character, "TA1"; "" for the whole.
	Byte string
	// Reason is in words.
	Reason string
	// Err is ErrMalformed or ErrNotEMV.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Byte == "" {
		return fmt.Sprintf("%v: %s", e.Err, e.Reason)
	}
	return fmt.Sprintf("%v: %s at offset %d: %s", e.Err, e.Byte, e.Offset, e.Reason)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Character is an interface byte.
type Character struct {
	// Kind is 'A', 'B', 'C' or 'D'; Index is the i of TAi.
	Kind  byte
	Index int
	Value byte
	// Offset counts bytes from TS.
	Offset int
	// T is the protocol that the character belongs to from index 3 on, and of
	// index 2 for TC2; -1 for a global one.
	T int
}

// Name returns "TA1".
func (c Character) Name() string { return fmt.Sprintf("T%c%d", c.Kind, c.Index) }

// ATR is an answer to reset.
type ATR struct {
	raw        []byte
	chars      []Character
	protocols  []int
	historical int // offset
	k          int // their number
	tck        bool
}

// maxLen is the number of characters after TS, at most 32, and TS (8.2.1).
const maxLen = 33

// Parse reads an answer to reset as the card sent it, TS decoded (3B or 3F). It
// keeps a copy. Errors are *Error and wrap ErrMalformed.
func Parse(b []byte) (*ATR, error) {
	switch {
	case len(b) == 0:
		return nil, bad(0, "", "is empty")
	case len(b) > maxLen:
		return nil, bad(0, "", fmt.Sprintf("%d bytes, at most %d are allowed", len(b), maxLen))
	case b[0] != 0x3B && b[0] != 0x3F:
		return nil, bad(0, "TS", fmt.Sprintf("%02X, want 3B or 3F", b[0]))
	case len(b) == 1:
		return nil, bad(1, "T0", "is missing")
	}
	a := &ATR{raw: slices.Clone(b), k: int(b[1] & 0x0F)}
	at, err := a.interfaces()
	if err != nil {
		return nil, err
	}
	a.historical = at
	if len(b) < at+a.k {
		return nil, bad(len(b), fmt.Sprintf("T%d", len(b)-at+1), fmt.Sprintf("%d historical bytes announced, %d follow", a.k, len(b)-at))
	}
	if err := a.check(at + a.k); err != nil {
		return nil, err
	}
	return a, nil
}

func bad(offset int, name, reason string) *Error { return &Error{offset, name, reason, ErrMalformed} }

// interfaces reads TA1 and what follows, up to the historical bytes.
func (a *ATR) interfaces() (at int, err error) {
	y, t := a.raw[1]>>4, -1
	at = 2
	for i := 1; ; i++ {
		var next *Character
		for j, kind := range []byte("ABCD") {
			if y&(1<<j) == 0 {
				continue
			}
			if at == len(a.raw) {
				return 0, bad(at, fmt.Sprintf("T%c%d", kind, i), "is missing")
			}
			c := Character{Kind: kind, Index: i, Value: a.raw[at], Offset: at, T: scope(kind, i, t)}
			a.chars = append(a.chars, c)
			if kind == 'D' {
				next = &a.chars[len(a.chars)-1]
			}
			at++
		}
		if next == nil {
			break
		}
		y, t = next.Value>>4, int(next.Value&0x0F)
		if t == 15 && i == 1 {
			return 0, bad(next.Offset, "TD1", "offers T=15, which is no protocol")
		}
		if !slices.Contains(a.protocols, t) && t != 15 {
			a.protocols = append(a.protocols, t)
		}
	}
	if len(a.protocols) == 0 {
		// Without TD1 only T=0 is offered (8.2.3).
		a.protocols = []int{0}
	}
	return at, nil
}

// scope says whom an interface byte belongs to (8.2.3 and 8.3): the first ones
// and TA2 are global, TC2 is T=0's, the others the protocol's of the TD before,
// and those after T=15 are global again.
func scope(kind byte, i, t int) int {
	switch {
	case kind == 'D', i == 1, i == 2 && kind != 'C', i > 2 && t == 15:
		return -1
	case i == 2:
		return 0
	}
	return t
}

// check reads what follows the historical bytes: TCK, unless T=0 is all that is
// offered (8.2.5).
func (a *ATR) check(end int) error {
	onlyT0 := len(a.protocols) == 1 && a.protocols[0] == 0 && !a.has15()
	rest := len(a.raw) - end
	switch {
	case onlyT0 && rest == 0:
		return nil
	case onlyT0:
		return bad(end, "", fmt.Sprintf("%d bytes follow the historical bytes of a card that speaks T=0 alone", rest))
	case rest == 0:
		return bad(end, "TCK", "is missing")
	case rest > 1:
		return bad(end+1, "", fmt.Sprintf("%d bytes follow TCK", rest-1))
	}
	var sum byte
	for _, c := range a.raw[1:] {
		sum ^= c
	}
	if sum != 0 {
		return bad(end, "TCK", fmt.Sprintf("%02X, want %02X", a.raw[end], a.raw[end]^sum))
	}
	a.tck = true
	return nil
}

func (a *ATR) has15() bool {
	return slices.ContainsFunc(a.chars, func(c Character) bool { return c.Kind == 'D' && c.Value&0x0F == 15 })
}

// Bytes returns a copy of the whole.
func (a *ATR) Bytes() []byte { return slices.Clone(a.raw) }

// Inverse reports whether the card uses the inverse convention (TS 3F).
func (a *ATR) Inverse() bool { return a.raw[0] == 0x3F }

// Characters returns the interface bytes in their order.
func (a *ATR) Characters() []Character { return slices.Clone(a.chars) }

// Character returns an interface byte by its name: Character('A', 1) is TA1.
func (a *ATR) Character(kind byte, index int) (Character, bool) {
	for _, c := range a.chars {
		if c.Kind == kind && c.Index == index {
			return c, true
		}
	}
	return Character{}, false
}

// Protocols returns the protocols offered, the T of T=0 and T=1, first offer
// first.
func (a *ATR) Protocols() []int { return slices.Clone(a.protocols) }

// Historical returns a copy of the historical bytes.
func (a *ATR) Historical() []byte { return slices.Clone(a.raw[a.historical : a.historical+a.k]) }

// TCK returns the check character, false when there is none because the card
// offers T=0 alone. Parse has verified it.
func (a *ATR) TCK() (byte, bool) {
	if !a.tck {
		return 0, false
	}
	return a.raw[len(a.raw)-1], true
}

// Pseudo reports whether the answer has the form that a PC/SC reader makes up for
// a contactless card (PC/SC part 3, 3.1.3.2.3): TD1 80 and TD2 01, nothing else.
func (a *ATR) Pseudo() bool {
	return !a.Inverse() && len(a.chars) == 2 && a.chars[0].Name() == "TD1" && a.chars[0].Value == 0x80 && a.chars[1].Name() == "TD2" && a.chars[1].Value == 0x01
}
