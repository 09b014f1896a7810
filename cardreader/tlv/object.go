package tlv

import (
	"fmt"
	"iter"
)

// Object is one data object. Value points into the input.
type Object struct {
	Tag   Tag
	Value []byte
	// Offset is where the tag stands in the input.
	Offset int
	// HeaderLen is the length of tag and length field together.
	HeaderLen int
}

// maxDepth bounds how deep templates may nest; EMV needs four levels.
const maxDepth = 16

// next reads the object at b[i:], after padding. ok is false at the end.
func next(b []byte, i int) (o Object, end int, ok bool, err error) {
	for i < len(b) && (b[i] == 0x00 || b[i] == 0xFF && !kernel2Template(b[i:])) {
		i++
	}
	if i == len(b) {
		return Object{}, i, false, nil
	}
	t, n, reason := parseTag(b[i:])
	if reason != "" {
		return Object{}, i, false, &Error{Offset: i, Reason: reason}
	}
	l, ln, reason := parseLength(b[i+n:])
	if reason != "" {
		return Object{}, i, false, &Error{Offset: i + n, Tag: t, Reason: reason}
	}
	start := i + n + ln
	if l > len(b)-start {
		return Object{}, i, false, &Error{Offset: i + n, Tag: t, Reason: fmt.Sprintf("length %d, and %d bytes follow", l, len(b)-start)}
	}
	return Object{Tag: t, Value: b[start : start+l : start+l], Offset: i, HeaderLen: n + ln}, start + l, true, nil
}

// kernel2Template reports whether an FF begins a tag. Bytes 00 (Annex B1) and FF
// (ISO/IEC 7816-4, 5.2.2: erased records) between objects have no meaning, 00
// begins no tag at all, and FF none but the templates FF8101 to FF8106 of
// EMV Contactless Book C-2.
func kernel2Template(b []byte) bool {
	return len(b) > 2 && b[1] == 0x81 && b[2] >= 0x01 && b[2] <= 0x06
}

func parseLength(b []byte) (l, n int, reason string) {
	switch {
	case len(b) == 0:
		return 0, 0, "length is missing"
	case b[0] < 0x80:
		return int(b[0]), 1, ""
	case b[0] == 0x80:
		return 0, 0, "indefinite length"
	case b[0] > 0x84:
		return 0, 0, fmt.Sprintf("length of length %d", b[0]&0x7F)
	}
	n = int(b[0] & 0x7F)
	if len(b) < 1+n {
		return 0, 0, "length cut off"
	}
	var v uint64
	for _, c := range b[1 : 1+n] {
		v = v<<8 | uint64(c)
	}
	if v > 1<<30 {
		return 0, 0, "length over 2^30"
	}
	return int(v), 1 + n, ""
}

// All iterates over the objects on the top level of b in order, skipping
// padding bytes 00 and FF. An error ends the iteration; it is a *Error.
func All(b []byte) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for i := 0; ; {
			// Almost every object of a card has a tag of one or two bytes and a
			// length of one; next reads those too, and everything else.
			if n := short(b, i); n != 0 {
				start := i + n
				end := start + int(b[start-1])
				t := Tag(b[i])
				if n == 3 {
					t = t<<8 | Tag(b[i+1])
				}
				if !yield(Object{Tag: t, Value: b[start:end:end], Offset: i, HeaderLen: n}, nil) {
					return
				}
				i = end
				continue
			}
			o, end, ok, err := next(b, i)
			if err != nil {
				yield(Object{}, err)
				return
			}
			if !ok || !yield(o, nil) {
				return
			}
			i = end
		}
	}
}

// short returns the length of the header at b[i:], 2 or 3, when it is one of the
// common form and its value is there; else 0.
func short(b []byte, i int) int {
	if i+1 >= len(b) || b[i] == 0x00 || b[i] == 0xFF {
		return 0
	}
	n := 1
	if b[i]&0x1F == 0x1F {
		if b[i+1] >= 0x80 {
			return 0
		}
		n = 2
	}
	if i+n >= len(b) {
		return 0
	}
	if l := int(b[i+n]); l >= 0x80 || l > len(b)-i-n-1 {
		return 0
	}
	return n + 1
}

// Parse returns the objects on the top level of b. Errors are *Error.
func Parse(b []byte) ([]Object, error) {
	var out []Object
	for o, err := range All(b) {
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// Validate reads the whole tree under b. Errors are *Error with the offset in b.
func Validate(b []byte) error { return validate(b, 0, 0) }

func validate(b []byte, base, depth int) error {
	for o, err := range All(b) {
		if err != nil {
			if e, ok := err.(*Error); ok {
				e.Offset += base
			}
			return err
		}
		if !o.Tag.Constructed() {
			continue
		}
		if depth == maxDepth {
			return &Error{Offset: base + o.Offset, Tag: o.Tag, Reason: "templates nested too deep"}
		}
		if err := validate(o.Value, base+o.Offset+o.HeaderLen, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Find returns the value of the first object with tag t, depth first through
// templates; false when there is none. Inside a malformed template, and on the
// top level, it sees what comes before the malformation; Validate tells whether
// there is one.
func Find(b []byte, t Tag) ([]byte, bool) { return find(b, t, 0) }

func find(b []byte, t Tag, depth int) ([]byte, bool) {
	for o, err := range All(b) {
		if err != nil {
			return nil, false
		}
		if o.Tag == t {
			return o.Value, true
		}
		if o.Tag.Constructed() && depth < maxDepth {
			if v, ok := find(o.Value, t, depth+1); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// Child follows an exact path of tags, each in the value of the one before, and
// returns the last one's value; false when it is not there. Errors are *Error
// with an offset in the template where it occurred.
func Child(b []byte, path ...Tag) ([]byte, bool, error) {
	for _, t := range path {
		found := false
		for o, err := range All(b) {
			if err != nil {
				return nil, false, err
			}
			if o.Tag == t {
				b, found = o.Value, true
				break
			}
		}
		if !found {
			return nil, false, nil
		}
	}
	return b, true, nil
}

// AppendLength appends the shortest length field for n to dst.
func AppendLength(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n < 0x100:
		return append(dst, 0x81, byte(n))
	case n < 0x10000:
		return append(dst, 0x82, byte(n>>8), byte(n))
	case n < 0x1000000:
		return append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// Append appends a data object to dst.
func Append(dst []byte, t Tag, value []byte) []byte {
	return append(AppendLength(t.Append(dst), len(value)), value...)
}
