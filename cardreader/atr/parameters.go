package atr

import "fmt"

// rate is a row of table 7 of ISO/IEC 7816-3: the clock rate conversion integer
// and the highest clock in kHz.
type rate struct{ f, khz int }

func rates() [16]rate {
	return [16]rate{
		{372, 4000}, {372, 5000}, {558, 6000}, {744, 8000}, {1116, 12000}, {1488, 16000}, {1860, 20000}, {},
		{}, {512, 5000}, {768, 7500}, {1024, 10000}, {1536, 15000}, {2048, 20000}, {}, {},
	}
}

// baud is table 8: the baud rate adjustment integer.
func baud() [16]int { return [16]int{0, 1, 2, 4, 8, 16, 32, 64, 12, 20} }

// Speed returns F and D, the clock rate conversion and the baud rate adjustment
// integers, and the highest clock in kHz, that TA1 names: an elementary time
// unit is F/D clock cycles. Without TA1 they are 372, 1 and 5000. ok is false
// for a reserved value.
func (a *ATR) Speed() (f, d, khz int, ok bool) {
	c, present := a.Character('A', 1)
	if !present {
		return 372, 1, 5000, true
	}
	r, d := rates()[c.Value>>4], baud()[c.Value&0x0F]
	return r.f, d, r.khz, r.f != 0 && d != 0
}

// GuardTime returns N of TC1, the extra guard time in elementary time units; 255
// asks for the shortest that the protocol has. Without TC1 it is 0.
func (a *ATR) GuardTime() int {
	c, _ := a.Character('C', 1)
	return int(c.Value)
}

// Specific reports whether the card is in specific mode, and in which protocol:
// TA2 is present (8.3). Else it negotiates.
func (a *ATR) Specific() (protocol int, ok bool) {
	c, ok := a.Character('A', 2)
	return int(c.Value & 0x0F), ok
}

// firstOf returns the first character of a kind that belongs to T=1 (11.4.1).
func (a *ATR) firstOf(kind byte) (Character, bool) {
	for _, c := range a.chars {
		if c.Kind == kind && c.Index > 2 && c.T == 1 {
			return c, true
		}
	}
	return Character{}, false
}

// InformationFieldSize returns the longest information field that the card takes
// in a block of T=1, 32 when it says nothing.
func (a *ATR) InformationFieldSize() int {
	if c, ok := a.firstOf('A'); ok {
		return int(c.Value)
	}
	return 32
}

// WaitingIntegers returns the block and the character waiting integer of T=1, 4
// and 13 when the card says nothing.
func (a *ATR) WaitingIntegers() (block, character int) {
	if c, ok := a.firstOf('B'); ok {
		return int(c.Value >> 4), int(c.Value & 0x0F)
	}
	return 4, 13
}

// CRC reports whether blocks of T=1 end with a CRC and not with an LRC.
func (a *ATR) CRC() bool {
	c, ok := a.firstOf('C')
	return ok && c.Value&1 != 0
}

// WaitingTime returns WI of TC2, the waiting time integer of T=0, 10 when the
// card says nothing.
func (a *ATR) WaitingTime() int {
	if c, ok := a.Character('C', 2); ok {
		return int(c.Value)
	}
	return 10
}

// Words says an interface byte in words.
func (a *ATR) Words(c Character) string {
	v := c.Value
	switch {
	case c.Kind == 'D':
		w := fmt.Sprintf("T=%d is offered", v&0x0F)
		if v&0x0F == 15 {
			w = "global interface bytes follow"
		}
		return w + following(v>>4, c.Index+1)
	case c.Index == 1 && c.Kind == 'A':
		f, d, khz, ok := a.Speed()
		if !ok {
			return "reserved clock rate or baud rate"
		}
		return fmt.Sprintf("Fi %d, Di %d: %g cycles a bit, %.0f bit/s at most, clock up to %g MHz",
			f, d, float64(f)/float64(d), float64(khz)*1000*float64(d)/float64(f), float64(khz)/1000)
	case c.Index == 1 && c.Kind == 'B':
		if v&0x1F == 0 {
			return "no programming voltage"
		}
		return "programming voltage, deprecated"
	case c.Index == 1:
		if v == 255 {
			return "no extra guard time"
		}
		return fmt.Sprintf("extra guard time %d", v)
	case c.Index == 2 && c.Kind == 'A':
		w := fmt.Sprintf("specific mode, T=%d", v&0x0F)
		if v&0x10 != 0 {
			w += ", speed not by TA1"
		}
		if v&0x80 != 0 {
			return w + ", does not change"
		}
		return w + ", may change"
	case c.Index == 2 && c.Kind == 'B':
		return "programming voltage, deprecated"
	case c.Index == 2:
		return fmt.Sprintf("waiting time integer %d", v)
	case c.T == 1:
		return wordsT1(c)
	case c.T == -1 && c.Kind == 'A':
		return clockStop(v>>6) + ", " + classes(v&0x3F)
	case c.T == -1 && c.Kind == 'B':
		if v == 0 {
			return "contact C6 is not used"
		}
		return "standard or proprietary use of contact C6"
	}
	return fmt.Sprintf("of T=%d", c.T)
}

func wordsT1(c Character) string {
	switch c.Kind {
	case 'A':
		return fmt.Sprintf("information field of at most %d bytes", c.Value)
	case 'B':
		return fmt.Sprintf("block waiting integer %d, character waiting integer %d", c.Value>>4, c.Value&0x0F)
	}
	if c.Value&1 != 0 {
		return "blocks end with a CRC"
	}
	return "blocks end with an LRC"
}

func clockStop(x byte) string {
	return [4]string{"clock must not be stopped", "clock may be stopped low", "clock may be stopped high", "clock may be stopped"}[x]
}

func classes(y byte) string {
	switch y {
	case 1:
		return "5 V"
	case 2:
		return "3 V"
	case 3:
		return "5 V or 3 V"
	case 4:
		return "1.8 V"
	case 6:
		return "3 V or 1.8 V"
	case 7:
		return "5 V, 3 V or 1.8 V"
	}
	return "reserved supply classes"
}

// following names the interface bytes that a Y announces.
func following(y byte, index int) string {
	w := ""
	for j, kind := range []byte("ABCD") {
		if y&(1<<j) != 0 {
			w += fmt.Sprintf(" T%c%d", kind, index)
		}
	}
	if w == "" {
		return "; no more interface bytes"
	}
	return ";" + w + " follow"
}
