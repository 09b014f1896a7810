package payment

import (
	"context"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/trusted"
)

// agree asks the cardholder about the part of the amount that the bank approved.
// A sale of less than was confirmed is one only where the merchant takes it and
// the cardholder agrees; else what was booked is taken back. So it is with a tip:
// a part of the amount does not say how much of it the tip is.
func (p *run) agree(ctx context.Context) Trigger {
	part := p.answer.Amount
	p.debt.Reason = string(acquirer.ReasonCancelled)
	if !p.trade.Partial || p.tip.Minor != 0 || part == nil || part.Minor <= 0 || part.Minor >= p.trade.Amount.Minor || part.Currency != p.trade.Amount.Currency {
		p.reason("the bank approved a part of the amount only, which is not taken here")
		return TriggerCancelled
	}
	p.u.tell(PhaseConfirm, "show the part that the bank approved, %s of %s, to the cardholder", part, p.trade.Amount)
	began := p.u.c.Now()
	err := p.u.within(ctx, PhaseConfirm, p.u.c.Limits.Confirm, func(ctx context.Context) error {
		return p.u.c.UI.Confirm(ctx, trusted.Confirmation{Merchant: p.trade.Merchant, Kind: trusted.KindPartial, Amount: *part, Language: p.language()})
	})
	p.u.pin.spend(p.u.c.Now().Sub(began))
	if err != nil {
		p.u.tell(PhaseConfirm, "no agreement to it: %v", err)
		p.reason("the bank approved a part of the amount only, and the cardholder did not agree to that")
		return TriggerCancelled
	}
	p.reason("the bank approved a part of the amount: %s of %s", part, p.trade.Amount)
	p.asked, p.trade.Amount, p.debt.Amount = p.trade.Amount, *part, *part
	p.res.setAmount(*part)
	return TriggerAgreed
}
