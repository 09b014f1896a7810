// Package journal keeps what a payment unit owes its server, durably and before
// it is owed: a reversal is written before the request that it would reverse
// goes out, and becomes a completion only when the card has approved. Whatever
// interrupts a payment, reading the journal says what is left to do.
//
// The package keeps no PAN, track or PIN data: a reversal is matched by
// terminal, STAN, RRN and the original's data elements (ISO 8583 DE 90). The one
// exception is the account of an offline approval, until the server has it.
package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
)

// ErrCorrupt: a record verifies and is yet not of this format; a newer version
// of the unit may have written it.
var ErrCorrupt = errors.New("journal: record is not of this version's format")

// State is what an entry owes.
type State string

// The states.
const (
	// Reversal: the request may have been booked; unless the entry moves on,
	// it has to be reversed.
	Reversal State = "reversal"
	// Completion: the card approved; the server has to be told.
	Completion State = "completion"
	// Void: a completed payment is to be undone; the server has to be told
	// until it says yes or no.
	Void State = "void"
	// Advice: the card approved without its bank; the server has to be told,
	// and given the account.
	Advice State = "advice"
	// Capture: an amount is to be taken of what a pre-authorisation holds; the
	// server has to be told until it says yes or no.
	Capture State = "capture"
	// Increment: an amount is to be added to what a pre-authorisation holds;
	// the server has to be asked until it says yes or no.
	Increment State = "increment"
)

// Entry is one debt.
type Entry struct {
	Order string `json:"order"`
	Type  string `json:"type"`
	State State  `json:"state"`
	// STAN, RRN, MTI and TransmissionTime identify the original request, as
	// it carried them.
	STAN             string    `json:"stan"`
	RRN              string    `json:"rrn"`
	MTI              string    `json:"mti"`
	TransmissionTime time.Time `json:"transmission_time"`
	// ProcessingCode and Amount are the original's.
	ProcessingCode string       `json:"processing_code"`
	Amount         money.Amount `json:"amount"`
	EntryMode      string       `json:"entry_mode"`
	AuthCode       string       `json:"auth_code,omitempty"`
	// Reason says why a reversal is owed: a message reason code of ISO
	// 8583:1993, four digits.
	Reason string `json:"reason,omitempty"`
	// ICC is the field 55 of a completion: cryptogram and results.
	ICC []byte `json:"icc,omitempty"`
	// Account is whose an offline approval is, for as long as the server has
	// not taken it; nil for every other debt.
	Account *Account `json:"account,omitempty"`
	// Attempts counts what was sent for this debt without an answer.
	Attempts int `json:"attempts"`
	// Refusals counts how often the server answered that it does not take it,
	// and Code is its last response code.
	Refusals int    `json:"refusals,omitempty"`
	Code     string `json:"code,omitempty"`
	// Refused is set when it is not sent any more: the server has refused it for
	// good, and people have to see to it.
	Refused bool `json:"refused,omitempty"`
	// Result is the payment's result, as the unit wants it back.
	Result json.RawMessage `json:"result,omitempty"`
}

// Account is a card account. It is kept for an Advice alone, under the seal of the
// trusted storage: the server can't book one without it.
type Account struct {
	// PAN are the digits, which their reader wipes.
	PAN []byte `json:"pan"`
	// PSN and Expiry (YYMM) are the card's.
	PSN    string `json:"psn"`
	Expiry string `json:"expiry"`
}

// String hides the account.
func (Account) String() string { return "[account]" }

// GoString hides it too.
func (Account) GoString() string { return "[account]" }

// Wipe zeroes the account number of an entry that has one.
func (e *Entry) Wipe() {
	if e.Account != nil {
		clear(e.Account.PAN)
	}
}

func (e *Entry) amount() money.Amount { return e.Amount }

// Journal is a view of the records under "journal/" and "result/" of a
// storage. Safe for concurrent use as far as the storage is.
type Journal struct{ s trusted.Storage }

// New returns the journal in s.
func New(s trusted.Storage) *Journal { return &Journal{s: s} }

// key is the record name of an order: its characters are the app's choice, the
// storage's names are not.
func key(kind, order string) string {
	h := sha256.Sum256([]byte(order))
	return kind + "/" + hex.EncodeToString(h[:16])
}

// Put writes an entry, durably, in place of the order's earlier one.
func (j *Journal) Put(ctx context.Context, e Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: order %s: %w", e.Order, err)
	}
	defer clear(b)
	if err := j.s.Put(ctx, key("journal", e.Order), b); err != nil {
		return fmt.Errorf("journal: order %s: %w", e.Order, err)
	}
	return nil
}

// Entry returns the debt of an order, false when there is none. The caller wipes
// it.
func (j *Journal) Entry(ctx context.Context, order string) (Entry, bool, error) {
	var e Entry
	ok, err := j.read(ctx, key("journal", order), &e)
	if err != nil {
		e.Wipe()
		return Entry{}, false, err
	}
	return e, ok, nil
}

// Pending returns the debts that are to be paid, which the caller wipes.
func (j *Journal) Pending(ctx context.Context) ([]Entry, error) { return j.entries(ctx, false) }

// Refused returns the debts that the server has refused for good, which the caller
// wipes.
func (j *Journal) Refused(ctx context.Context) ([]Entry, error) { return j.entries(ctx, true) }

func (j *Journal) entries(ctx context.Context, refused bool) ([]Entry, error) {
	names, err := j.s.List(ctx, "journal/")
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	out := make([]Entry, 0, len(names))
	for _, n := range names {
		var e Entry
		ok, err := j.read(ctx, n, &e)
		if err != nil {
			e.Wipe()
			for i := range out {
				out[i].Wipe()
			}
			return nil, err
		}
		if ok && e.Refused == refused {
			out = append(out, e)
		} else {
			e.Wipe()
		}
	}
	return out, nil
}

// Settle ends an order's debt. The result is kept first, so that paying the
// order again gives it back.
func (j *Journal) Settle(ctx context.Context, order string, result json.RawMessage) error {
	if len(result) > 0 {
		if err := j.Keep(ctx, order, result); err != nil {
			return err
		}
	}
	if err := j.s.Delete(ctx, key("journal", order)); err != nil {
		return fmt.Errorf("journal: order %s: %w", order, err)
	}
	return nil
}

// Keep stores the result of a payment.
func (j *Journal) Keep(ctx context.Context, order string, result json.RawMessage) error {
	n, err := j.Batch(ctx)
	if err != nil {
		return err
	}
	b, err := json.Marshal(kept{Order: order, Result: result, Batch: n})
	if err != nil {
		return fmt.Errorf("journal: order %s: %w", order, err)
	}
	if err := j.s.Put(ctx, key("result", order), b); err != nil {
		return fmt.Errorf("journal: result of order %s: %w", order, err)
	}
	return nil
}

// Result returns the kept result of an order, false when there is none.
func (j *Journal) Result(ctx context.Context, order string) (json.RawMessage, bool, error) {
	var k kept
	ok, err := j.read(ctx, key("result", order), &k)
	return k.Result, ok, err
}

type kept struct {
	Order  string          `json:"order"`
	Result json.RawMessage `json:"result"`
	// Batch is the number of the batch that was open.
	Batch uint64 `json:"batch,omitempty"`
}

func (j *Journal) read(ctx context.Context, name string, v any) (bool, error) {
	b, err := j.s.Get(ctx, name)
	if errors.Is(err, trusted.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	defer clear(b)
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("%w: %s", ErrCorrupt, name)
	}
	// An amount of nothing that is said nowhere would be written as one that
	// can't be read.
	if d, ok := v.(interface{ amount() money.Amount }); ok && d.amount().Currency.IsZero() {
		return false, fmt.Errorf("%w: %s: no currency", ErrCorrupt, name)
	}
	return true, nil
}
