package catalogue

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxClean is the longest parameter in characters: a merchant's name on a
// receipt has 40, an application label 16.
const maxClean = 80

// maxMarks is how many combining marks a character may carry.
const maxMarks = 4

// Clean makes text from a card, a server or an app fit to stand among our words:
// no control characters, which move a cursor or begin an escape sequence; no
// characters that turn the direction of writing, hide, or break lines; no piles
// of combining marks; no bytes that are no UTF-8; and not longer than a screen
// line or two. What is taken out leaves U+FFFD in its place, so that it is seen
// that something was there. The joiners that Indic and Arabic writing needs
// stay.
func Clean(s string) string {
	var b strings.Builder
	n, marks, gap, base := 0, 0, false, false
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		if n == maxClean {
			b.WriteRune('…')
			break
		}
		switch {
		case r == '\t' || r == '\u00A0' || r == ' ':
			r, marks = ' ', 0
		case r == utf8.RuneError && size == 1, !allowed(r):
			r = utf8.RuneError
		case unicode.Is(unicode.M, r):
			if marks++; marks > maxMarks || !base {
				r = utf8.RuneError
			}
		default:
			marks = 0
		}
		// A run of what was taken out is one sign.
		if r == utf8.RuneError && gap {
			continue
		}
		gap, base = r == utf8.RuneError, r != ' '
		b.WriteRune(r)
		n++
	}
	return strings.Trim(b.String(), " ")
}

// allowed reports whether a character only stands where it is written.
func allowed(r rune) bool {
	switch {
	case r == '\u200C' || r == '\u200D': // zero width joiner and non-joiner
		return true
	case r == '\u034F' || r == '\u115F' || r == '\u1160' || r == '\u3164' || r == '\uFFA0' || r == '\u2800':
		return false // invisible, and neither space nor format
	case unicode.Is(unicode.Variation_Selector, r):
		return false
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}
