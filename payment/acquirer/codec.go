package acquirer

import (
	"fmt"

	"github.com/moov-io/iso8583/field"
)

// element is a data element in a message of moov-io/iso8583: its field type
// for all of ours. It is strict where the library's own are lenient (a sign in
// a length, lower-case hex, wrong fill), says where it stood, and keeps what is
// secret out of the buffers that the library grows and drops.
type element struct {
	field.Binary // the value: digits or characters in ASCII, or bytes
	def          *Element
	w            *workspace
	rest         int // bytes of the message from the element on
	size         int // bytes of the element in the message
	reason       string
	decoded      bool // the value came out of a message
}

// NewInstance makes an empty element of the same definition; the library calls
// it for each element of a message.
func (e *element) NewInstance() field.Field {
	n := e.w.element(e)
	n.SetSpec(e.Spec())
	return n
}

// String hides the value: the library's describing functions call it.
func (e *element) String() (string, error) { return "[redacted]", nil }

// MarshalJSON hides the value.
func (e *element) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// Pack returns the element's place, which is filled in later: the library
// appends what it gets to a buffer that it grows, and would leave copies of a
// PAN behind.
func (e *element) Pack() ([]byte, error) {
	v := e.Value()
	if e.reason = e.def.valid(v); e.reason != "" {
		return nil, e
	}
	e.size = e.w.t.size(e.def, len(v))
	return zeros(e.size), nil
}

// zeros returns n zero bytes for appending.
func zeros(n int) []byte {
	if n <= len(blank) {
		return blank[:n]
	}
	return make([]byte, n)
}

// blank is never written to.
var blank [1024]byte

// Unpack reads the element from the front of b.
func (e *element) Unpack(b []byte) (int, error) {
	e.rest = len(b)
	v, n, reason := e.w.t.decode(e.def, b)
	if reason != "" {
		e.reason = reason
		return 0, e
	}
	e.SetValue(v)
	e.size, e.decoded = n, true
	return n, nil
}

// Error returns the reason: an element is its own error, so that nothing else
// about it travels.
func (e *element) Error() string { return e.reason }

// owned reports whether the value of an unpacked element is a buffer of its own.
func (e *element) owned() bool {
	enc := e.w.t.encoding(e.def)
	return enc == BCD || enc == Hex || e.def.Class == Z && e.w.t.TrackSeparator == 'D'
}

// size is the number of bytes that n digits, characters or bytes take.
func (t *Table) size(def *Element, n int) int {
	s := 0
	if def.Prefix > 0 {
		s = t.prefixSize(def.Prefix)
	}
	switch t.encoding(def) {
	case BCD:
		if def.Class == XN {
			return s + 1 + n/2
		}
		return s + (n+1)/2
	case Hex:
		return s + 2*n
	}
	return s + n
}

func (t *Table) prefixSize(digits int) int {
	if t.Lengths == BCD {
		return (digits + 1) / 2
	}
	return digits
}

// valid says which rule a value breaks, "" when none.
func (def *Element) valid(v []byte) string {
	if def.Prefix == 0 && len(v) != def.Length {
		return fmt.Sprintf("has length %d, want %d", len(v), def.Length)
	}
	if len(v) > def.Length {
		return fmt.Sprintf("has length %d, at most %d", len(v), def.Length)
	}
	if def.Class == B {
		return ""
	}
	class := uint8(1) << def.Class
	for i, c := range v {
		ok := classes[c]&class != 0
		if def.Class == XN {
			ok = isDigit(c) && (i > 0 || c == '0') || i == 0 && (c == 'C' || c == 'D')
		}
		if !ok {
			return fmt.Sprintf("character %d is not of class %s", i, def.Class)
		}
	}
	return ""
}

// classes has a bit for each class that a character is of.
var classes = func() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		for class, in := range map[Class]bool{
			N: isDigit(c),
			// A space is fill, as the standard has it for alphanumerics.
			AN:  isDigit(c) || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == ' ',
			ANS: c >= 0x20 && c <= 0x7E,
			Z:   isDigit(c) || c == '=',
		} {
			if in {
				t[c] |= 1 << class
			}
		}
	}
	return t
}()

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// encode writes a valid value into dst, which has the size that size says.
func (t *Table) encode(dst []byte, def *Element, v []byte) {
	if def.Prefix > 0 {
		n := t.prefixSize(def.Prefix)
		putLength(dst[:n], len(v), t.Lengths)
		dst = dst[n:]
	}
	switch t.encoding(def) {
	case BCD:
		if def.Class == XN {
			dst[0] = v[0]
			dst, v = dst[1:], v[1:]
		}
		putBCD(dst, v, t.odd(def))
	case Hex:
		putHex(dst, v)
	default:
		copy(dst, v)
		if def.Class == Z && t.TrackSeparator == 'D' {
			swap(dst, '=', 'D')
		}
	}
}

// decode reads an element from the front of b: its value, the number of bytes,
// and a reason when it can't. The value points into b for ASCII and Raw, but
// for a track with another separator.
func (t *Table) decode(def *Element, b []byte) ([]byte, int, string) {
	n, at := def.Length, 0
	if def.Prefix > 0 {
		at = t.prefixSize(def.Prefix)
		if len(b) < at {
			return nil, 0, "ends inside its length"
		}
		var ok bool
		if n, ok = length(b[:at], t.Lengths); !ok {
			return nil, 0, "its length is not decimal"
		}
		if n > def.Length {
			return nil, 0, fmt.Sprintf("has length %d, at most %d", n, def.Length)
		}
	}
	end := t.size(def, n)
	if len(b) < end {
		return nil, 0, fmt.Sprintf("ends after %d of %d bytes", len(b), end)
	}
	raw, v := b[at:end:end], []byte(nil)
	reason := ""
	switch t.encoding(def) {
	case BCD:
		sign := 0
		v = make([]byte, n)
		if def.Class == XN {
			v[0], sign = raw[0], 1
		}
		reason = getBCD(v[sign:], raw[sign:], t.odd(def), def.Class == Z)
	case Hex:
		v = make([]byte, n)
		reason = getHex(v, raw)
	default:
		v = raw
		if def.Class == Z && t.TrackSeparator == 'D' {
			v = append([]byte(nil), raw...)
			reason = separator(v)
		}
	}
	if reason == "" {
		reason = def.valid(v)
	}
	if reason != "" {
		if len(v) > 0 && &v[0] != &raw[0] {
			clear(v)
		}
		return nil, 0, reason
	}
	return v, end, ""
}

// separator turns the D of a track into =.
func separator(v []byte) string {
	for i, c := range v {
		if c == '=' {
			return fmt.Sprintf("character %d is another separator than the dialect's", i)
		}
	}
	swap(v, 'D', '=')
	return ""
}

func swap(b []byte, from, to byte) {
	for i, c := range b {
		if c == from {
			b[i] = to
		}
	}
}

// odd is the filling of an element: that of the table for variable ones.
func (t *Table) odd(def *Element) Odd {
	if def.Prefix == 0 {
		return LeftZero
	}
	return t.Odd
}

func putLength(dst []byte, n int, enc Encoding) {
	for i := len(dst) - 1; i >= 0; i-- {
		if enc == BCD {
			dst[i] = byte(n/10%10<<4 | n%10)
			n /= 100
		} else {
			dst[i] = byte('0' + n%10)
			n /= 10
		}
	}
}

func length(b []byte, enc Encoding) (int, bool) {
	n := 0
	for _, c := range b {
		switch {
		case enc == BCD && c>>4 <= 9 && c&15 <= 9:
			n = n*100 + int(c>>4)*10 + int(c&15)
		case enc == ASCII && isDigit(c):
			n = n*10 + int(c-'0')
		default:
			return 0, false
		}
	}
	return n, true
}

// putBCD writes digits, and = as D, two a byte.
func putBCD(dst, v []byte, odd Odd) {
	clear(dst)
	at := 0
	if len(v)%2 == 1 {
		switch odd {
		case LeftZero:
			at = 1
		case RightF:
			dst[len(dst)-1] = 0x0F
		}
	}
	for i, c := range v {
		nib := c - '0'
		if c == '=' {
			nib = 0x0D
		}
		if (at+i)&1 == 0 {
			nib <<= 4
		}
		dst[(at+i)/2] |= nib
	}
}

// getBCD reads len(v) digits, and D as = where tracks are read.
func getBCD(v, b []byte, odd Odd, track bool) string {
	at := 0
	if len(v)%2 == 1 {
		last := b[len(b)-1] & 0x0F
		switch odd {
		case LeftZero:
			at = 1
			if b[0]>>4 != 0 {
				return "its fill is not 0"
			}
		case RightZero:
			if last != 0 {
				return "its fill is not 0"
			}
		case RightF:
			if last != 0x0F {
				return "its fill is not F"
			}
		}
	}
	for i := range v {
		nib := b[(at+i)/2]
		if (at+i)&1 == 0 {
			nib >>= 4
		}
		switch nib &= 0x0F; {
		case nib <= 9:
			v[i] = '0' + nib
		case nib == 0x0D && track:
			v[i] = '='
		default:
			return fmt.Sprintf("digit %d is not decimal", i)
		}
	}
	return ""
}

const hexDigits = "0123456789ABCDEF"

func putHex(dst, v []byte) {
	for i, c := range v {
		dst[2*i], dst[2*i+1] = hexDigits[c>>4], hexDigits[c&15]
	}
}

func getHex(v, b []byte) string {
	for i := range v {
		hi, lo := nibble(b[2*i]), nibble(b[2*i+1])
		if hi > 15 || lo > 15 {
			return fmt.Sprintf("character pair %d is not hexadecimal in capitals", i)
		}
		v[i] = hi<<4 | lo
	}
	return ""
}

func nibble(c byte) byte {
	switch {
	case isDigit(c):
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xFF
}
