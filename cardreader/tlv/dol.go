package tlv

import "fmt"

// Format is the format of a data element's value (EMV 4.4 Book 3, 4.3).
type Format uint8

// The formats. The zero value is binary.
const (
	FormatB   Format = iota // binary
	FormatN                 // numeric, right justified, padded with 0 on the left
	FormatCN                // compressed numeric, left justified, padded with F on the right
	FormatA                 // alphabetic
	FormatAN                // alphanumeric
	FormatANS               // alphanumeric special
	FormatVar               // several elements together
)

// String returns the standard's abbreviation.
func (f Format) String() string {
	switch f {
	case FormatN:
		return "n"
	case FormatCN:
		return "cn"
	case FormatA:
		return "a"
	case FormatAN:
		return "an"
	case FormatANS:
		return "ans"
	case FormatVar:
		return "var"
	}
	return "b"
}

// DOLEntry is one tag of a data object list and the length asked for.
type DOLEntry struct {
	Tag Tag
	Len int
}

// DOL is a data object list (PDOL, CDOL1, CDOL2, TDOL, DDOL), order and repeats
// kept.
type DOL []DOLEntry

// ParseDOL reads a data object list (EMV 4.4 Book 3, 5.4). Errors are *Error;
// the entries before one are returned beside it.
func ParseDOL(b []byte) (DOL, error) {
	d := make(DOL, 0, len(b)/2)
	for i := 0; i < len(b); {
		t, n, reason := parseTag(b[i:])
		if reason != "" {
			return d, &Error{Offset: i, Reason: reason}
		}
		// The length is one byte, not the length of a BER-TLV object.
		if i+n == len(b) {
			return d, &Error{Offset: i + n, Tag: t, Reason: "length is missing"}
		}
		d = append(d, DOLEntry{t, int(b[i+n])})
		i += n + 1
	}
	return d, nil
}

// Len returns the number of bytes that the list asks for.
func (d DOL) Len() int {
	n := 0
	for _, e := range d {
		n += e.Len
	}
	return n
}

// Contains reports whether the list asks for a tag.
func (d DOL) Contains(t Tag) bool {
	for _, e := range d {
		if e.Tag == t {
			return true
		}
	}
	return false
}

// Append appends the values that the list asks for to dst, each cut or padded
// to the length asked for (EMV 4.4 Book 3, 5.4). An object that lookup does not
// know, a template, and a value longer or shorter follow the rules there. It
// fails with a *Error when the values together do not fit into a command.
func (d DOL) Append(dst []byte, lookup func(Tag) (value []byte, f Format, ok bool)) ([]byte, error) {
	if n := d.Len(); n > 0xFF {
		return dst, &Error{Reason: fmt.Sprintf("the list asks for %d bytes, a command holds 255", n)}
	}
	for _, e := range d {
		var v []byte
		f := FormatB
		if !e.Tag.Constructed() {
			if got, gf, ok := lookup(e.Tag); ok {
				v, f = got, gf
			}
		}
		dst = appendFitted(dst, v, f, e.Len)
	}
	return dst, nil
}

func appendFitted(dst, v []byte, f Format, n int) []byte {
	pad := n - len(v)
	switch {
	case pad <= 0 && f == FormatN:
		return append(dst, v[-pad:]...)
	case pad <= 0:
		return append(dst, v[:n]...)
	case f == FormatN:
		return append(fill(dst, 0x00, pad), v...)
	case f == FormatCN && len(v) > 0:
		return fill(append(dst, v...), 0xFF, pad)
	}
	return fill(append(dst, v...), 0x00, pad)
}

func fill(dst []byte, b byte, n int) []byte {
	for range n {
		dst = append(dst, b)
	}
	return dst
}
