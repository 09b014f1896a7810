package tags

import (
	"slices"

	"github.com/payunit/payunit/cardreader/tlv"
)

// Source is where a data element comes from.
type Source uint8

// The sources.
const (
	FromCard Source = iota
	FromTerminal
	FromIssuer
)

// String returns "card", "terminal" or "issuer".
func (s Source) String() string {
	switch s {
	case FromTerminal:
		return "terminal"
	case FromIssuer:
		return "issuer"
	}
	return "card"
}

// Secrecy is how a data element may be shown.
type Secrecy uint8

// The secrecy classes.
const (
	// Public may be shown and logged.
	Public Secrecy = iota
	// Sensitive is cardholder data: shown masked at most.
	Sensitive
	// Secret is never shown.
	Secret
)

// Info describes a data element.
type Info struct {
	Tag    tlv.Tag
	Name   string
	Format tlv.Format
	// Min and Max are the length of the value in bytes; Max 0 means that no
	// bound is given.
	Min, Max int
	Source   Source
	Secrecy  Secrecy
	// Book is where the element is defined.
	Book string
}

// Lookup returns what a tag is, false for one that the dictionary lacks. A tag
// of a private class means what its issuer or scheme says, and may be found
// here in its widespread sense.
func Lookup(t tlv.Tag) (Info, bool) {
	i, ok := slices.BinarySearchFunc(dictionary(), t, func(i Info, t tlv.Tag) int {
		switch {
		case i.Tag < t:
			return -1
		case i.Tag > t:
			return 1
		}
		return 0
	})
	if !ok {
		return Info{}, false
	}
	return dictionary()[i], true
}

// Name returns the element's name, or the tag in hex.
func Name(t tlv.Tag) string {
	if i, ok := Lookup(t); ok {
		return i.Name
	}
	return t.String()
}

// All returns the dictionary in the order of the tags' numbers.
func All() []Info { return slices.Clone(dictionary()) }

func dictionary() []Info { return table[:] }
