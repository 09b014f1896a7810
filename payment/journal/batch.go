package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
)

// Effect is what a transaction does to a batch's totals.
type Effect string

// The effects. The zero value does nothing.
const (
	Debit         Effect = "debit"          // taken from a cardholder
	DebitReversal Effect = "debit reversal" // a debit that was undone
	Credit        Effect = "credit"         // given to a cardholder
)

// Item is a transaction of a batch: what the server acknowledged and what has
// not been settled yet. It holds no card data.
type Item struct {
	Order  string `json:"order"`
	Type   string `json:"type"`
	Effect Effect `json:"effect"`
	// STAN, RRN, MTI and TransmissionTime are the original request's.
	STAN             string       `json:"stan"`
	RRN              string       `json:"rrn"`
	MTI              string       `json:"mti"`
	TransmissionTime time.Time    `json:"transmission_time"`
	ProcessingCode   string       `json:"processing_code"`
	Amount           money.Amount `json:"amount"`
	EntryMode        string       `json:"entry_mode"`
	AuthCode         string       `json:"auth_code,omitempty"`
}

func (i *Item) amount() money.Amount { return i.Amount }

// Closing is a settlement that is under way in one currency, so that one that
// was interrupted goes on where it stood.
type Closing struct {
	// STAN, RRN and Time are the request's; Final is set for the one after the
	// upload.
	STAN     string    `json:"stan"`
	RRN      string    `json:"rrn"`
	Time     time.Time `json:"time"`
	Final    bool      `json:"final"`
	Attempts int       `json:"attempts"`
	// Uploaded is how many items the server has taken.
	Uploaded int `json:"uploaded"`
	// Done is the result, as the unit wants it back, once the server has
	// closed its side.
	Done json.RawMessage `json:"done,omitempty"`
}

const batchNumber = "batch/number"

func batchName(n uint64) string { return fmt.Sprintf("batch/items/%010d", n) }

func closingName(n uint64, currency string) string {
	return fmt.Sprintf("batch/closing/%010d/%s", n, strings.ToLower(currency))
}

// Batch returns the number of the open batch, from 0.
func (j *Journal) Batch(ctx context.Context) (uint64, error) {
	var n uint64
	_, err := j.read(ctx, batchNumber, &n)
	return n, err
}

// Book puts an item into the open batch; the same order again changes nothing.
func (j *Journal) Book(ctx context.Context, i Item) error {
	n, err := j.Batch(ctx)
	if err != nil {
		return err
	}
	return j.put(ctx, key(batchName(n), i.Order), i)
}

// Items returns the items of a batch.
func (j *Journal) Items(ctx context.Context, n uint64) ([]Item, error) {
	names, err := j.s.List(ctx, batchName(n)+"/")
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	out := make([]Item, 0, len(names))
	for _, name := range names {
		var i Item
		ok, err := j.read(ctx, name, &i)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, i)
		}
	}
	return out, nil
}

// Closing returns the settlement of a batch in a currency, false before it
// began.
func (j *Journal) Closing(ctx context.Context, n uint64, currency string) (Closing, bool, error) {
	var c Closing
	ok, err := j.read(ctx, closingName(n, currency), &c)
	return c, ok, err
}

// PutClosing writes how a settlement stands.
func (j *Journal) PutClosing(ctx context.Context, n uint64, currency string, c Closing) error {
	return j.put(ctx, closingName(n, currency), c)
}

// CloseBatch opens the batch after n, and forgets n's items.
func (j *Journal) CloseBatch(ctx context.Context, n uint64) error {
	if err := j.put(ctx, batchNumber, n+1); err != nil {
		return err
	}
	for _, prefix := range []string{batchName(n) + "/", fmt.Sprintf("batch/closing/%010d/", n)} {
		names, err := j.s.List(ctx, prefix)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		for _, name := range names {
			if err := j.s.Delete(ctx, name); err != nil && !errors.Is(err, trusted.ErrNotFound) {
				return fmt.Errorf("journal: %w", err)
			}
		}
	}
	return nil
}

func (j *Journal) put(ctx context.Context, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("journal: %s: %w", name, err)
	}
	if err := j.s.Put(ctx, name, b); err != nil {
		return fmt.Errorf("journal: %s: %w", name, err)
	}
	return nil
}
