package atr

import (
	"errors"
	"fmt"
)

// ErrNotEMV: an answer to reset is well formed, and a terminal that follows EMV
// must reject the card's offer.
var ErrNotEMV = errors.New("atr: not accepted by EMV")

// EMV judges a contact card's answer to reset as a terminal has to (EMV 4.4 Book
// 1, 8.3; EMV Level 1 Contact Interface). warm says that the answer is to a warm
// reset, where TB1 is free. Errors are *Error and wrap ErrNotEMV; they name the
// first character that is against the rules. A contactless reader's answer is
// made up by the reader and is not for this function.
func (a *ATR) EMV(warm bool) error {
	first := a.protocols[0]
	if first > 1 {
		return a.reject('D', 1, fmt.Sprintf("offers T=%d first, want T=0 or T=1", first))
	}
	if err := a.emvSpeed(first); err != nil {
		return err
	}
	if c, ok := a.Character('B', 1); !warm && (!ok || c.Value != 0) {
		return a.reject('B', 1, "must be 00 in a cold reset's answer")
	}
	if _, ok := a.Character('B', 2); ok {
		return a.reject('B', 2, "must not be present")
	}
	if c, ok := a.Character('C', 2); ok && (first != 0 || c.Value != 0x0A) {
		return a.reject('C', 2, "must be 0A, and of T=0")
	}
	// 8.3.3.8: 1, and behind T=0 the E of EMV 4.3 or the 15 of the Level 1
	// specification too.
	if c, ok := a.Character('D', 2); ok {
		if t := c.Value & 0x0F; t != 1 && (first != 0 || t < 14) {
			return a.reject('D', 2, fmt.Sprintf("T=%d cannot follow T=%d", t, first))
		}
	}
	if first == 1 {
		return a.emvT1()
	}
	return nil
}

// emvSpeed judges TA1 and TA2 (8.3.3.1 and 8.3.3.5): TA1 counts in specific mode
// alone; a card that negotiates is run at the default speed, whatever it offers.
func (a *ATR) emvSpeed(first int) error {
	ta2, specific := a.Character('A', 2)
	if !specific {
		return nil
	}
	if int(ta2.Value&0x0F) != first {
		return a.reject('A', 2, fmt.Sprintf("names T=%d, the first offer is T=%d", ta2.Value&0x0F, first))
	}
	if ta2.Value&0x10 != 0 {
		return a.reject('A', 2, "parameters are not those of TA1")
	}
	if ta1, ok := a.Character('A', 1); ok && (ta1.Value < 0x11 || ta1.Value > 0x13) {
		return a.reject('A', 1, fmt.Sprintf("%02X in specific mode, want 11 to 13", ta1.Value))
	}
	return nil
}

// emvT1 judges the specific bytes of T=1 (8.3.3.9 to 8.3.3.11).
func (a *ATR) emvT1() error {
	if c, ok := a.firstOf('A'); ok && (c.Value < 0x10 || c.Value == 0xFF) {
		return a.rejectC(c, fmt.Sprintf("information field size %02X, want 10 to FE", c.Value))
	}
	c, ok := a.firstOf('B')
	if !ok {
		return a.reject('B', 3, "is missing; T=1 needs it")
	}
	bwi, cwi := c.Value>>4, c.Value&0x0F
	if bwi > 4 || cwi > 5 {
		return a.rejectC(c, fmt.Sprintf("waiting integers %d and %d, want at most 4 and 5", bwi, cwi))
	}
	n := a.GuardTime()
	if n == 255 {
		n = -1
	}
	if 1<<cwi <= n+1 {
		return a.rejectC(c, fmt.Sprintf("2^%d is not more than the extra guard time %d and 1", cwi, n))
	}
	if c, ok := a.firstOf('C'); ok && c.Value != 0 {
		return a.rejectC(c, "must be 00: LRC")
	}
	return nil
}

func (a *ATR) reject(kind byte, index int, reason string) error {
	c, ok := a.Character(kind, index)
	if !ok {
		c = Character{Kind: kind, Index: index, Offset: a.historical}
	}
	return a.rejectC(c, reason)
}

func (a *ATR) rejectC(c Character, reason string) error {
	return &Error{Offset: c.Offset, Byte: c.Name(), Reason: reason, Err: ErrNotEMV}
}
