package console

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/catalogue"
)

var _ trusted.Tipper = (*Console)(nil)

const (
	// clearTip empties a tip's field: the point is part of an amount.
	clearTip = '#'
	// maxTip is how much a tip is typed in: 12 digits and a point.
	maxTip = 13
	// whole is a hundred per cent in hundredths of one.
	whole = 100_00
)

// Tip implements trusted.Tipper. A tip is an amount, with a point or a comma and
// no more decimals than the currency has, or a percentage, with up to two, of the
// prompt's amount and rounded down to a minor unit; nothing is no tip. One over
// the prompt's Max, and what is no tip at all, is asked for again.
func (c *Console) Tip(ctx context.Context, p trusted.TipPrompt) (tip money.Amount, err error) {
	if err := ctx.Err(); err != nil {
		return money.Amount{}, err
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	wipe, err := c.screen(false)
	if err != nil {
		return money.Amount{}, err
	}
	defer func() {
		if err = errors.Join(err, wipe()); err != nil {
			tip = money.Amount{}
		}
	}()
	q := question{takes: tipKey, most: maxTip, clear: clearTip}
	q.page = func(wrong bool) *page {
		pg := c.page(p.Language)
		pg.foreign(p.Merchant)
		pg.add(pg.amount(p.Amount))
		if wrong {
			pg.add(pg.text(catalogue.WrongTip))
		}
		pg.add(pg.text(catalogue.AddTip, "amount", pg.amount(p.Max)))
		pg.add(pg.text(catalogue.TipForms))
		pg.keysLine(clearTip)
		return pg
	}
	q.answers = func(typed []byte) (ok bool) {
		tip, ok = parseTip(typed, p)
		return ok
	}
	q.show = func(dst, typed []byte) []byte {
		dst = append(dst, typed...)
		if t, ok := parseTip(typed, p); ok && len(typed) > 0 {
			pg := c.page(p.Language)
			dst = append(dst, " = "+pg.amount(t)...)
		}
		return dst
	}
	var f field
	return tip, c.ask(ctx, q, &f, c.drawn())
}

func tipKey(b byte) bool { return digit(b) || b == '.' || b == ',' || b == '%' }

// parseTip reads what was typed; not ok for what is no tip that the prompt allows.
func parseTip(typed []byte, p trusted.TipPrompt) (tip money.Amount, ok bool) {
	tip = money.New(0, p.Amount.Currency)
	if len(typed) == 0 {
		return tip, true
	}
	s := strings.ReplaceAll(string(typed), ",", ".")
	if share, percent := strings.CutSuffix(s, "%"); percent {
		hundredths, ok := parsePercent(share)
		if !ok || p.Amount.Minor < 0 || p.Amount.Minor > money.MaxMinor {
			return tip, false
		}
		// At most 12 digits by five: no overflow.
		tip.Minor = p.Amount.Minor * hundredths / whole
	} else {
		var err error
		if tip, err = money.Parse(s, p.Amount.Currency); err != nil {
			return tip, false
		}
	}
	return tip, p.Max.Currency == tip.Currency && tip.Minor <= p.Max.Minor
}

// parsePercent reads "15", "12.5" or "12.25", up to 100, in hundredths.
func parsePercent(s string) (hundredths int64, ok bool) {
	n, decimals, point := strings.Cut(s, ".")
	if n == "" || len(n) > 3 || point && decimals == "" || len(decimals) > 2 {
		return 0, false
	}
	digits := []byte(n + decimals + strings.Repeat("0", 2-len(decimals)))
	if bytes.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false
	}
	for _, d := range digits {
		hundredths = 10*hundredths + int64(d-'0')
	}
	return hundredths, hundredths <= whole
}
