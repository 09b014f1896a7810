package tags

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Node is a data object for people.
type Node struct {
	Tag    string `json:"tag"`
	Name   string `json:"name,omitempty"`
	Format string `json:"format,omitempty"`
	Source string `json:"source,omitempty"`
	// Offset is where the tag stands in what was explained, Length the length
	// of the value.
	Offset int `json:"offset"`
	Length int `json:"length"`
	// Value is the value in hexadecimal, or masked, when Hidden says so. A
	// template has none.
	Value  string `json:"value,omitempty"`
	Hidden bool   `json:"hidden,omitempty"`
	// Meaning is the value in words.
	Meaning  []string `json:"meaning,omitempty"`
	Children []Node   `json:"children,omitempty"`
}

// Explain reads a tree of data objects and says what is in it. Values that are
// not Public are masked, or hidden; with reveal only those that are Secret are.
// With an error, a *tlv.Error, the nodes are what came before.
func Explain(b []byte, reveal bool) ([]Node, error) { return explain(b, reveal, 0, 0, 0) }

// maxDepth bounds how deep Explain follows templates, as tlv.Validate does.
const maxDepth = 16

func explain(b []byte, reveal bool, parent tlv.Tag, base, depth int) ([]Node, error) {
	nodes := []Node{}
	for o, err := range tlv.All(b) {
		if err != nil {
			if e, ok := err.(*tlv.Error); ok {
				e.Offset += base
			}
			return nodes, err
		}
		n := explainInside(parent, o.Tag, o.Value, reveal)
		n.Offset = base + o.Offset
		if !o.Tag.Constructed() {
			nodes = append(nodes, n)
			continue
		}
		if depth == maxDepth {
			return nodes, &tlv.Error{Offset: n.Offset, Tag: o.Tag, Reason: "templates nested too deep"}
		}
		n.Value, n.Hidden = "", false
		n.Children, err = explain(o.Value, reveal, o.Tag, n.Offset+o.HeaderLen, depth+1)
		nodes = append(nodes, n)
		if err != nil {
			return nodes, err
		}
	}
	return nodes, nil
}

// ExplainValue says what one data element is, masked as Explain masks. What is
// inside a template is left to Explain: of a template that may hold something
// sensitive the value is hidden here.
func ExplainValue(t tlv.Tag, v []byte, reveal bool) Node {
	n := Node{Tag: t.String(), Length: len(v)}
	info, known := Lookup(t)
	if known {
		n.Name, n.Format, n.Source = info.Name, info.Format.String(), info.Source.String()
	}
	switch {
	case known && info.Secrecy == Secret,
		!reveal && (t.Constructed() || known && info.Secrecy == Sensitive || !known && mayHoldPAN(v)):
		n.Value, n.Hidden = Mask(t, v), true
	default:
		n.Value = strings.ToUpper(hex.EncodeToString(v))
		if known && !t.Constructed() {
			n.Meaning = meaning(info, v)
		}
	}
	return n
}

// Mask returns a value that is not Public as people may see it: of a PAN the
// first six and the last four digits, of track 2 the same, of anything else the
// length.
func Mask(t tlv.Tag, v []byte) string {
	switch t {
	case PAN:
		if p, err := secret.PANFromCN(v); err == nil {
			defer p.Wipe()
			return p.Masked()
		}
	case Track2, Track2Contactless:
		tr, err := secret.Track2FromTag(v)
		if err != nil {
			break
		}
		defer tr.Wipe()
		if p, err := tr.PAN(); err == nil {
			defer p.Wipe()
			return p.Masked() + " and the rest of the track, hidden"
		}
	}
	return fmt.Sprintf("[%s, hidden]", count(len(v), "byte", "bytes"))
}

// mayHoldPAN looks for a card number in an element that nobody knows: 13 to 19
// decimal digits, two a byte or as characters, with a right check digit.
func mayHoldPAN(v []byte) bool {
	nibbles := make([]byte, 0, 2*len(v))
	for _, b := range v {
		nibbles = append(nibbles, b>>4, b&0x0F)
	}
	chars := make([]byte, 0, len(v))
	for _, b := range v {
		chars = append(chars, b-'0')
	}
	defer clear(nibbles)
	defer clear(chars)
	return holdsPAN(nibbles) || holdsPAN(chars)
}

// holdsPAN reads values over 9 as what ends a run of digits.
func holdsPAN(digits []byte) bool {
	for i := range digits {
		if digits[i] == 0 {
			continue // no card number begins so, and zeros have a right check digit
		}
		n := 0
		for i+n < len(digits) && digits[i+n] <= 9 && n < 19 {
			n++
		}
		for ; n >= 13; n-- {
			if luhn(digits[i : i+n]) {
				return true
			}
		}
	}
	return false
}

// luhn checks the check digit (ISO/IEC 7812-1, annex B).
func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return sum%10 == 0
}
