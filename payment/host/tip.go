package host

import (
	"strings"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// maxTip is the most that may be added to an order as a tip: a share of it, as
// Config.TipPercent says, down to the minor unit.
func (s *Server) maxTip(terminalID string, o ledger.Order) int64 {
	if s.c.TipPercent == nil || o.Type != string(trade.Sale) {
		return 0
	}
	percent := int64(min(max(s.c.TipPercent(terminalID, o.ID), 0), 100))
	// In two parts, so that nothing overflows.
	tip := o.Amount.Minor/100*percent + o.Amount.Minor%100*percent/100
	return min(tip, money.MaxMinor-o.Amount.Minor)
}

// tip is the tip in a request, in minor units of its amount's currency; -1 when it
// is none: in another currency, not above zero, or given twice.
func tip(m *acquirer.Message) int64 {
	var sum int64
	for _, o := range m.Other {
		if o.Type != acquirer.AmountTip {
			continue
		}
		if sum != 0 || o.Amount.Currency != m.Amount.Currency || o.Amount.Minor <= 0 {
			return -1
		}
		sum = o.Amount.Minor
	}
	return sum
}

// judgeAmount looks whether a request's amount is its order's and a tip that the
// order allows; another server has looked at that of its own terminals.
func (s *Server) judgeAmount(m *acquirer.Message, t *ledger.Terminal, o ledger.Order) (why string) {
	extra := tip(m)
	switch {
	case extra < 0 || extra > m.Amount.Minor-extra:
		return "the tip is none"
	case m.Amount.Currency != o.Amount.Currency || m.Amount.Minor-extra != o.Amount.Minor:
		return "the amount is not the order's"
	case extra == 0:
		return ""
	case o.Type != string(trade.Sale) || offline(m) || stoodIn(m):
		return "a tip where there can be none"
	case !strings.HasPrefix(t.ID, linePrefix) && extra > s.maxTip(t.ID, o):
		return "the tip is more than the order allows"
	}
	return ""
}
