package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
)

// maxRefusals is how often the server may answer that it does not take a reversal or
// a completion before it is not sent any more: it stays in the journal as refused,
// for people to see to, and later payments go on.
const maxRefusals = 5

// ErrRefused: the server has refused for good what an order owes it. The error is a
// *RefusedError.
var ErrRefused = errors.New("payment: the server refuses what the order owes it")

// RefusedDebt is a debt that the server has refused for good. It is not lost: it
// stays in the journal, its order is not paid again, and Unit.SendAgain sends it
// once more.
type RefusedDebt struct {
	Order string `json:"order"`
	// Owes is "completion" for a payment that the card approved, and "reversal"
	// for a request that may have been booked.
	Owes     string `json:"owes"`
	RRN      string `json:"rrn"`
	STAN     string `json:"stan"`
	Amount   string `json:"amount"`
	Minor    int64  `json:"amount_minor"`
	Currency string `json:"currency"`
	// ResponseCode is DE 39 of the last of Refusals answers, and Text says it in
	// words.
	ResponseCode string `json:"response_code"`
	Text         string `json:"text"`
	Refusals     int    `json:"refusals"`
	// Time is when the original request was sent.
	Time time.Time `json:"time"`
}

// RefusedError says what the order owes whose payment was asked for.
type RefusedError struct{ Debt RefusedDebt }

// Error names order and debt.
func (e *RefusedError) Error() string {
	d := e.Debt
	return fmt.Sprintf("%v: the %s of %s %s for order %s, reference %s, was answered with %s (%s) %d times; nothing is charged again", ErrRefused, d.Owes, d.Amount, d.Currency, d.Order, d.RRN, d.ResponseCode, d.Text, d.Refusals)
}

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

func (u *Unit) refusedDebt(e journal.Entry) RefusedDebt {
	code, _ := u.c.Dialect.Response(e.Code)
	return RefusedDebt{
		Order: e.Order, Owes: string(e.State), RRN: e.RRN, STAN: e.STAN, Amount: e.Amount.Decimal(), Minor: e.Amount.Minor, Currency: e.Amount.Currency.Code(),
		ResponseCode: e.Code, Text: code.Merchant, Refusals: e.Refusals, Time: e.TransmissionTime,
	}
}

// Refused returns the debts that the server has refused for good. Errors: ErrBusy,
// those of the storage.
func (u *Unit) Refused(ctx context.Context) ([]RefusedDebt, error) {
	if err := u.busy.take(BusyError{Doing: "read the journal", Since: u.c.Now()}); err != nil {
		return nil, err
	}
	defer u.busy.release()
	return u.refused(ctx)
}

func (u *Unit) refused(ctx context.Context) ([]RefusedDebt, error) {
	entries, err := u.journal.Refused(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]RefusedDebt, 0, len(entries))
	for _, e := range entries {
		out = append(out, u.refusedDebt(e))
		e.Wipe()
	}
	return out, nil
}

// SendAgain makes a debt that the server has refused for good one that is owed
// again, which the next Recover or Pay sends. Errors: ErrBusy, ErrOrder where the
// order has none, those of the storage.
func (u *Unit) SendAgain(ctx context.Context, order string) error {
	if err := u.busy.take(BusyError{Doing: "send again", Order: order, Since: u.c.Now()}); err != nil {
		return err
	}
	defer u.busy.release()
	e, ok, err := u.journal.Entry(ctx, order)
	defer e.Wipe()
	if err != nil {
		return err
	}
	if !ok || !e.Refused {
		return fmt.Errorf("%w: it owes nothing that was refused", ErrOrder)
	}
	e.Refused, e.Refusals = false, 0
	return u.journal.Put(ctx, e)
}

// noted writes down that the server does not take a debt, where its answer says so
// and not that it can't now.
func (u *Unit) noted(ctx context.Context, e *journal.Entry, code acquirer.Response) error {
	if code.Class == acquirer.ClassLater || code.Class == acquirer.ClassRetry {
		return nil
	}
	e.Refusals, e.Code = e.Refusals+1, code.Code
	e.Refused = e.Refusals >= maxRefusals
	return u.journal.Put(context.WithoutCancel(ctx), *e)
}
