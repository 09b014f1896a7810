package payment

import (
	"slices"
	"strings"

	"github.com/payunit/payunit/trusted"
)

// speaks returns the language for a cardholder whose card prefers some (tag
// 5F2D): the first that the UI speaks, else the unit's own (EMV 4.4 Book 4,
// 11.1).
func (u *Unit) speaks(card []string) string {
	if s, ok := u.c.UI.(trusted.Speaker); ok {
		spoken := s.Languages()
		for _, l := range card {
			if l = strings.ToLower(l); slices.Contains(spoken, l) {
				return l
			}
		}
	}
	return u.c.Language
}

// language is the cardholder's: the unit's own until a card was read.
func (p *run) language() string {
	if p.emv == nil {
		return p.u.c.Language
	}
	return p.u.speaks(p.emv.Languages())
}
