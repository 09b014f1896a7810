package console

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/catalogue"
)

// Notify implements trusted.UI.
func (c *Console) Notify(ctx context.Context, n trusted.Notice) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := c.page(n.Language)
	n.Language = p.language
	text, err := catalogue.Text(n)
	if err != nil {
		return err
	}
	p.add(text)
	return c.print(p.String("\n"))
}

// Confirm implements trusted.UI. On a terminal one key answers: that of yes, in
// the language spoken or in English, or no, Escape or Ctrl-C; others do nothing.
// Line by line, yes agrees and anything else cancels. A kind of trade that has
// no words is not shown, and the error says so.
func (c *Console) Confirm(ctx context.Context, t trusted.Confirmation) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	p := c.page(t.Language)
	p.foreign(t.Merchant)
	kind, err := catalogue.Kind(t.Kind, p.language)
	p.fail(err)
	p.add(kind + " " + p.amount(t.Amount))
	if t.Cashback.Minor != 0 {
		p.add(p.text(catalogue.CashIncluded, "amount", p.amount(t.Cashback)))
	}
	if t.Tip.Minor != 0 {
		p.add(p.text(catalogue.TipIncluded, "amount", p.amount(t.Tip)))
	}
	yes, no := p.text(catalogue.KeyYes), p.text(catalogue.KeyNo)
	p.add(p.text(catalogue.Agree) + " [" + yes + "/" + no + "]")
	if p.err != nil {
		return p.err
	}
	if c.fd < 0 {
		return c.confirmLine(ctx, p, yes)
	}
	answer, err := c.press(ctx, p, func(b byte) (string, bool) {
		k := strings.ToLower(string(rune(b)))
		switch {
		case k == yes || k == "y":
			return yes, true
		case k == no || k == "n" || cancels(b):
			return no, true
		}
		return "", false
	})
	if err == nil && answer != yes {
		err = trusted.ErrCancelled
	}
	return err
}

func (c *Console) confirmLine(ctx context.Context, p *page, yes string) error {
	if err := c.print(p.String("\n")); err != nil {
		return err
	}
	a, err := c.line(ctx, 8)
	if err != nil {
		return err
	}
	switch strings.ToLower(a) {
	case yes, "y", "yes":
		return nil
	}
	return trusted.ErrCancelled
}

// cancels reports whether a key is Escape, Ctrl-C or the exclamation mark of the
// keypad.
func cancels(b byte) bool { return b == 0x1B || b == 0x03 || b == '!' }

// Choose implements trusted.UI. Up to nine applications are chosen by one key on
// a terminal; else a number and Enter choose, and anything else cancels.
func (c *Console) Choose(ctx context.Context, labels []string) (int, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	p := c.page("")
	for i, l := range labels {
		p.add(fmt.Sprintf("%2d\u00A0\u00A0%s", i+1, catalogue.Clean(l)))
	}
	p.add(fmt.Sprintf("%s [1-%d]", p.text(catalogue.ChooseApplication), len(labels)))
	if p.err != nil {
		return 0, p.err
	}
	var answer string
	var err error
	if c.fd >= 0 && len(labels) <= 9 {
		answer, err = c.press(ctx, p, func(b byte) (string, bool) {
			return string(rune(b)), cancels(b) || b >= '1' && int(b-'0') <= len(labels)
		})
	} else if err = c.print(p.String("\n")); err == nil {
		answer, err = c.line(ctx, 8)
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(answer)
	if err != nil || n < 1 || n > len(labels) {
		return 0, trusted.ErrCancelled
	}
	return n - 1, nil
}

// press shows a page and waits for a key that take takes, unechoed.
func (c *Console) press(ctx context.Context, p *page, take func(byte) (string, bool)) (answer string, err error) {
	restore, err := c.raw()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, restore()) }()
	if err := c.print(p.String("\r\n")); err != nil {
		return "", err
	}
	drawn := c.drawn()
	for {
		b, err := c.key(ctx, drawn)
		if err != nil {
			return "", err
		}
		if a, ok := take(b); ok {
			return a, nil
		}
	}
}
