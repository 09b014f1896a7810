package host

import (
	"strings"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// entryOf is how a request's card was read, by DE 22. What names no other way is
// a chip's: it has to have what only a chip gives.
func entryOf(entryMode string) issuer.Entry {
	if len(entryMode) < 2 {
		return issuer.EntryChip
	}
	switch entryMode[:2] {
	case acquirer.EntryMagstripe, acquirer.EntryTrack:
		return issuer.EntryStripe
	case acquirer.EntryFallback:
		return issuer.EntryFallback
	case acquirer.EntryManual:
		return issuer.EntryManual
	}
	return issuer.EntryChip
}

// tapped reports whether DE 22 says that the card was held to the terminal, by
// its chip or by its magnetic stripe data.
func tapped(entryMode string) bool {
	return strings.HasPrefix(entryMode, acquirer.EntryContactless) || strings.HasPrefix(entryMode, acquirer.EntryContactlessM)
}

// entryPolicy is what a terminal is granted beside the chip.
func (s *Server) entryPolicy(terminalID string) trade.EntryPolicy {
	if s.c.EntryPolicy == nil {
		return trade.EntryPolicy{}
	}
	return s.c.EntryPolicy(terminalID)
}

// judgeEntry looks whether the terminal may read a card that way, and whether the
// request has what that way gives. Of another server's terminals that server has
// granted it.
func (s *Server) judgeEntry(m *acquirer.Message, t *ledger.Terminal, o ledger.Order) (code, why string) {
	e := entryOf(m.EntryMode)
	if e == issuer.EntryChip {
		if m.CVV2.Len() > 0 {
			return codeFormat, "a CVV2 beside a chip"
		}
		return sameAsCard(m.ICC, o)
	}
	if !strings.HasPrefix(t.ID, linePrefix) {
		p := s.entryPolicy(t.ID)
		granted := map[issuer.Entry]bool{issuer.EntryStripe: p.Stripe, issuer.EntryFallback: p.Fallback, issuer.EntryManual: p.Manual}
		if !granted[e] {
			return codeTerminal, e.String() + " is not granted to the terminal"
		}
	}
	switch {
	case offline(m) || stoodIn(m):
		return codeUnsupported, e.String() + " is the issuer's to approve"
	case len(m.ICC) > 0:
		return codeFormat, "field 55 beside " + e.String()
	case e == issuer.EntryManual && !m.Track2.IsZero(), e != issuer.EntryManual && (m.Track2.IsZero() || m.CVV2.Len() > 0):
		return codeFormat, "the card's data are not those of " + e.String()
	}
	return "", ""
}
