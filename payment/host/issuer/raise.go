package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// Raise decides, inside tx, whether an account may hold more for a payment that
// its card was read for: whole is what is held then. The card is not there, and
// proves nothing: what counts is that it is not blocked or expired, its limits and
// its balance. For velocity limits, what is held more counts as the payment's, of
// the time when that was approved: Request.Time. The caller books, in the same
// transaction. Errors are those of the ledger.
func (i *Issuer) Raise(ctx context.Context, tx ledger.Tx, ref string, approved time.Time, more, whole money.Amount) (Decision, error) {
	if err := ctx.Err(); err != nil {
		return Decision{}, fmt.Errorf("issuer: %w", err)
	}
	no := func(code, reason string) (Decision, error) {
		return Decision{Card: ref, Code: code, Reason: reason}, nil
	}
	k := i.c.Cards.refs[ref]
	if k == nil {
		return no(CodeUnknownCard, "no card of this issuer")
	}
	state, err := tx.Card(ref)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return Decision{}, err
	}
	limit := k.limit
	if limit == 0 {
		limit = i.c.Limit
	}
	switch {
	case k.blocked || state.Blocked:
		return no(CodeRestricted, "the card is blocked")
	case expired(k.expiry, i.c.Now()):
		return no(CodeExpired, "the card has expired")
	case more.Currency != k.opening.Currency:
		return no(CodeNotPermitted, "the account is in "+k.opening.Currency.Code())
	case more.Minor <= 0:
		return no(CodeFormat, "the amount is not positive")
	case limit > 0 && whole.Minor > limit:
		return no(CodeOverLimit, "over the limit of one payment, "+money.New(limit, whole.Currency).String())
	}
	for _, v := range i.limits(k) {
		if code, reason, err := v.more(tx, ref, approved, i.c.Now(), more); err != nil {
			return Decision{}, err
		} else if code != "" {
			return no(code, reason)
		}
	}
	balance, err := tx.Balance(k.account(), more.Currency.Code())
	if err != nil {
		return Decision{}, err
	}
	if balance < more.Minor {
		return no(CodeFunds, "the balance does not cover it")
	}
	if len(i.limits(k)) > 0 {
		if err := count(tx, ref, approved, 0, more); err != nil {
			return Decision{}, err
		}
	}
	return Decision{Card: ref, Account: k.account(), Code: CodeApproved, Reason: "approved"}, nil
}
