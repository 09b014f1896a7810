package catalogue

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Café Müller":                      "Café Müller",
		"  two  spaces\t":                  "two  spaces",
		"Shop\x1b[2J\r\n\u009b1mEvil":      "Shop�[2J�1mEvil",
		"\x1b]0;title\x07Shop":             "�]0;title�Shop",
		"00.1 RUE\u202e":                   "00.1 RUE�",
		"a\u2066b\u2069c\u200ed\u200fe":    "a�b�c�d�e",
		"x\u200by\ufeffz\u2060":            "x�y�z�",
		"line\u2028two\u2029three":         "line�two�three",
		"\xff\xfe\xc3":                     "�",
		"क्\u200dष":                        "क्\u200dष", // a joiner of Hindi
		"می\u200cخواهم":                    "می\u200cخواهم",
		"e\u0301":                          "e\u0301",
		"a \u0301e":                        "a �e",
		"\u0301e":                          "�e",
		"z" + strings.Repeat("\u0335", 20): "z" + strings.Repeat("\u0335", maxMarks) + "�",
		"\U000E0041tag":                    "�tag",
		"\ue000private":                    "�private",
		"hangul\u3164filler":               "hangul�filler",
		"日本語 株式会社":                         "日本語 株式会社",
		"":                                 "",
		strings.Repeat("a", maxClean):      strings.Repeat("a", maxClean),
		strings.Repeat("a", maxClean+1):    strings.Repeat("a", maxClean) + "…",
		"\U0001F600 smile":                 "\U0001F600 smile",
		"a\ufe0fb":                         "a�b",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"Shop", "\x1b[2J", "a\u202eb", "\xff", "क्\u200dष", strings.Repeat("é", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > maxClean+1 {
			t.Fatalf("%q", got)
		}
		for _, r := range got {
			if unicode.Is(unicode.Cc, r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Co, unicode.Cs) ||
				unicode.Is(unicode.Cf, r) && r != '\u200C' && r != '\u200D' {
				t.Fatalf("%q is left in %q", r, got)
			}
		}
		if again := Clean(got); again != got && utf8.RuneCountInString(got) <= maxClean {
			t.Fatalf("%q becomes %q the second time", got, again)
		}
		for _, columns := range []int{1, 2, 7, 40} {
			wrapped(t, got, columns)
		}
	})
}

// wrapped checks that lines fit and that nothing but spaces was lost.
func wrapped(t *testing.T, s string, columns int) {
	t.Helper()
	lines := Wrap(s, columns)
	for _, l := range lines {
		if Width(l) > max(columns, 2) {
			t.Fatalf("%q at %d columns: line %q has %d", s, columns, l, Width(l))
		}
	}
	squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
	if got := squeeze(strings.Join(lines, "")); got != squeeze(s) {
		t.Fatalf("%q at %d columns became %q", s, columns, lines)
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		s       string
		columns int
		want    string
	}{
		{"Reading the card: do not remove it", 20, "Reading the card: do|not remove it"},
		{"Reading the card: do not remove it", 40, "Reading the card: do not remove it"},
		{"読み取り中です", 6, "読み取|り中で|す"},
		{"abcdefghij", 4, "abcd|efgh|ij"},
		{"a  b", 40, "a  b"},
		{"", 40, ""},
		{"EUR\u00A01,234.56 paid", 13, "EUR\u00A01,234.56|paid"},
		{"金 e\u0301e\u0301", 3, "金|e\u0301e\u0301"},
	} {
		if got := strings.Join(Wrap(c.s, c.columns), "|"); got != c.want {
			t.Errorf("%q at %d: %q, want %q", c.s, c.columns, got, c.want)
		}
	}
	for _, l := range Languages() {
		for _, s := range find(l) {
			for _, columns := range []int{10, 40} {
				wrapped(t, s, columns)
			}
		}
	}
}

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"abc": 3, "読み": 4, "e\u0301": 1, "प्र": 2, "ｆ": 2, "": 0, "한글": 4, "…": 1} {
		if got := Width(s); got != want {
			t.Errorf("%q takes %d columns, want %d", s, got, want)
		}
	}
}
