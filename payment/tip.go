package payment

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
)

// askTip lets the cardholder add a tip, where the trade allows one and the screen
// can take it. What is shown for agreement, authorised and signed by the card from
// here on is the amount with the tip.
func (p *run) askTip(ctx context.Context) error {
	ui, ok := p.u.c.UI.(trusted.Tipper)
	if !ok || p.trade.MaxTip.Minor == 0 {
		return nil
	}
	p.u.tell(PhaseConfirm, "ask the cardholder for a tip of up to %s", p.trade.MaxTip)
	began := p.u.c.Now()
	var tip money.Amount
	err := p.u.within(ctx, PhaseConfirm, p.u.c.Limits.Confirm, func(ctx context.Context) (err error) {
		tip, err = ui.Tip(ctx, trusted.TipPrompt{Merchant: p.trade.Merchant, Amount: p.trade.Amount, Max: p.trade.MaxTip, Language: p.u.c.Language})
		return err
	})
	p.u.pin.spend(p.u.c.Now().Sub(began))
	switch {
	case err != nil:
		return err
	case tip.Minor == 0:
		return nil
	case tip.Minor < 0 || tip.Minor > p.trade.MaxTip.Minor || tip.Currency != p.trade.Amount.Currency:
		return fmt.Errorf("payment: the screen gave a tip that is not allowed: %s, at most %s", tip, p.trade.MaxTip)
	}
	total, err := p.trade.Amount.Add(tip)
	if err != nil {
		return fmt.Errorf("payment: amount with tip: %w", err)
	}
	p.trade.Amount, p.tip = total, tip
	p.res.Tip = tip.Decimal()
	p.res.setAmount(total)
	return nil
}
