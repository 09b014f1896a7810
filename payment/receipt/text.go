package receipt

import (
	"strings"
	"unicode"
)

// Text lays a receipt out in lines of at most width columns (24 at least; 32,
// 40 and 48 are printers' usual ones). Wide characters (Chinese, Japanese) take
// two columns, marks none.
func Text(d Data, c Copy, width int) string {
	if width < 24 {
		width = 24
	}
	p := page{width: width}
	for _, r := range rows(d, c) {
		switch r.kind {
		case pair:
			p.pair(r.name, r.value)
		case centre, strong:
			p.centre(r.name)
		case rule:
			p.line(strings.Repeat("-", p.width))
		case sign:
			p.line("")
			p.line(r.name)
			p.line(strings.Repeat(".", width))
		}
	}
	return strings.Join(p.lines, "\n") + "\n"
}

type page struct {
	width int
	lines []string
}

func (p *page) line(s string) { p.lines = append(p.lines, strings.TrimRight(s, " ")) }

func (p *page) centre(s string) {
	for _, l := range wrap(s, p.width) {
		p.line(strings.Repeat(" ", (p.width-columns(l))/2) + l)
	}
}

// pair writes a name and a value at the two edges, or the value on a line of
// its own.
func (p *page) pair(name, value string) {
	gap := p.width - columns(name) - columns(value)
	if gap >= 1 {
		p.line(name + strings.Repeat(" ", gap) + value)
		return
	}
	for _, l := range wrap(name, p.width) {
		p.line(l)
	}
	for _, l := range wrap(value, p.width-2) {
		p.line("  " + l)
	}
}

// columns is the width of a text on paper.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

// cells is the width of a character: 2 for what Unicode calls wide (UAX #11), 0
// for marks and invisible ones.
func cells(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115F, r >= 0x2E80 && r <= 0x303E, r >= 0x3041 && r <= 0xA4CF, r >= 0xAC00 && r <= 0xD7A3,
		r >= 0xF900 && r <= 0xFAFF, r >= 0xFE30 && r <= 0xFE6F, r >= 0xFF00 && r <= 0xFF60, r >= 0xFFE0 && r <= 0xFFE6,
		r >= 0x1F300 && r <= 0x1FAFF, r >= 0x20000 && r <= 0x3FFFD:
		return 2
	}
	return 1
}

// wrap breaks at spaces where it can.
func wrap(s string, width int) []string {
	var out []string
	r := []rune(strings.TrimSpace(s))
	for len(r) > 0 {
		// fit is how many characters go into the width, space the last break
		// among them.
		fit, used, space := 0, 0, 0
		for fit < len(r) && used+cells(r[fit]) <= width {
			used += cells(r[fit])
			if r[fit] == ' ' {
				space = fit
			}
			fit++
		}
		cut := fit
		if fit < len(r) && r[fit] != ' ' && space > 0 {
			cut = space
		}
		out = append(out, strings.TrimSpace(string(r[:cut])))
		r = []rune(strings.TrimSpace(string(r[cut:])))
	}
	return out
}
