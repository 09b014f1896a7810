package payment

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/trusted"
)

// question asks what no money hangs on, a balance or whether a card is good, and
// completes the card. Nothing is owed for it, whatever happens.
func (p *run) question(ctx context.Context) Trigger {
	p.notify(ctx, trusted.MessageAuthorizing)
	var err error
	if p.answer, err = p.u.exchange(ctx, p.line, p.out, fmt.Sprintf("%s %s%s", p.trade.Type, p.out.message.MTI, p.proof())); err != nil {
		return p.abandon(ctx, serverError("asking the bank", err))
	}
	p.res.ResponseCode, p.res.AuthCode = p.answer.ResponseCode, p.answer.AuthCode
	code, _ := p.u.c.Dialect.Response(p.answer.ResponseCode)
	p.u.tell(PhaseOnline, "the server answers %s: %s", p.answer.ResponseCode, code.Merchant)
	cerr := p.generate(ctx, p.u.hostResponse(p.answer))
	switch {
	case !code.Approved():
		p.declined(code)
		return TriggerHostDeclined
	case cerr != nil:
		p.reason("the card did not take the answer: %s", kindOf(cerr))
		return TriggerCardDeclined
	case p.outcome.Decision != emv.Approved:
		p.reason("the card declined what the bank approved")
		return TriggerCardDeclined
	}
	for _, o := range p.answer.Other {
		if o.Type == acquirer.AmountAvailableBalance {
			p.res.Balance, p.balance = o.Amount.Decimal(), o.Amount
		}
	}
	r := p.result(Approved)
	p.end = &r
	body, err := json.Marshal(r)
	if err == nil {
		err = p.u.journal.Keep(context.WithoutCancel(ctx), p.order.ID, body)
	}
	if err != nil {
		// Asking again charges nothing either.
		p.u.tell(PhaseComplete, "the answer could not be kept: %v", err)
	}
	return TriggerHostApproved
}
