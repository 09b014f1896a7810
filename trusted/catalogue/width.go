package catalogue

import (
	"strings"
	"unicode"
)

// Width returns how many columns a text takes on a terminal: two for the wide
// characters of East Asian writing (Unicode Standard Annex 11), none for marks
// that stand on others.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115F, // Hangul Jamo
		r >= 0x2E80 && r <= 0x303E, // CJK radicals and punctuation
		r >= 0x3041 && r <= 0x33FF, // kana, compatibility
		r >= 0x3400 && r <= 0x4DBF, r >= 0x4E00 && r <= 0x9FFF,
		r >= 0xA000 && r <= 0xA4CF, r >= 0xAC00 && r <= 0xD7A3,
		r >= 0xF900 && r <= 0xFAFF, r >= 0xFE30 && r <= 0xFE6F,
		r >= 0xFF00 && r <= 0xFF60, r >= 0xFFE0 && r <= 0xFFE6, // fullwidth forms
		r >= 0x1F300 && r <= 0x1FAFF, r >= 0x20000 && r <= 0x3FFFD:
		return 2
	}
	return 1
}

// Wrap breaks a text into lines of at most columns: at spaces, before and after
// wide characters, and anywhere in a word that is longer than a line. It always
// makes one line.
func Wrap(s string, columns int) []string {
	columns = max(columns, 2)
	var lines []string
	var line strings.Builder
	at := 0
	flush := func() {
		lines = append(lines, strings.TrimRight(line.String(), " "))
		line.Reset()
		at = 0
	}
	for _, word := range pieces(s) {
		if word != " " && at > 0 && at+Width(word) > columns {
			flush()
		}
		if word == " " && at == 0 {
			continue
		}
		for _, r := range word {
			if at+runeWidth(r) > columns {
				flush()
				if r == ' ' {
					continue
				}
			}
			line.WriteRune(r)
			at += runeWidth(r)
		}
	}
	if line.Len() > 0 || len(lines) == 0 {
		flush()
	}
	return lines
}

// pieces are what a line is not broken in: words, single spaces, and single wide
// characters, each with the marks that follow it.
func pieces(s string) []string {
	var out []string
	start := 0
	var before rune
	for i, r := range s {
		cut := r == ' ' || before == ' ' || runeWidth(r) == 2 || runeWidth(before) == 2 && runeWidth(r) > 0
		if i > start && cut && runeWidth(r) > 0 {
			out, start = append(out, s[start:i]), i
		}
		if runeWidth(r) > 0 {
			before = r
		}
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	return out
}
