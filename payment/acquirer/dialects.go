package acquirer

import "sync"

// built makes the dialects of this package once: they never change.
var built = sync.OnceValue(func() []*Dialect {
	var out []*Dialect
	for _, t := range []Table{ASCII87(), BCD87(), ASCII93(), StandardHex87(), StandardBinary87(), BothBitmaps87(), StandardHex93(), StandardBinary93()} {
		d, err := NewDialect(t)
		if err != nil {
			// A test builds each of them.
			panic(err)
		}
		out = append(out, d)
	}
	return out
})

// Default returns iso87-ascii, the dialect between payment units and their
// server.
func Default() *Dialect { return built()[0] }

// Dialects returns the dialects of this package. The first three carry
// everything that a payment unit sends: iso87-ascii, iso87-bcd and iso93-ascii.
// The others, iso87-hex, iso87-binary, iso87-2bitmaps, iso93-hex and iso93-binary,
// are the standard's fields as other hosts write them.
func Dialects() []*Dialect { return append([]*Dialect(nil), built()...) }

// LookupDialect finds one of Dialects by its name.
func LookupDialect(name string) (*Dialect, bool) {
	for _, d := range built() {
		if d.Name() == name {
			return d, true
		}
	}
	return nil, false
}
