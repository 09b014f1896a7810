package payment

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
)

// Totals are what the transactions of a batch come to in one currency, in minor
// units. Debits are taken from cardholders, credits are given to them.
type Totals struct {
	Debits         Total `json:"debits"`
	DebitReversals Total `json:"debit_reversals"`
	Credits        Total `json:"credits"`
	// CreditReversals are credits that were undone; this unit makes none.
	CreditReversals Total `json:"credit_reversals"`
}

// Total is a number of transactions and their sum.
type Total struct {
	Count uint64 `json:"count"`
	Minor uint64 `json:"minor"`
}

// Net is what the merchant is owed.
func (t Totals) Net() int64 {
	return int64(t.Debits.Minor) - int64(t.DebitReversals.Minor) - int64(t.Credits.Minor) + int64(t.CreditReversals.Minor)
}

// Settled is the settlement of a batch in one currency.
type Settled struct {
	Currency string `json:"currency"`
	// Unit is what this unit counted, Server what the server booked.
	Unit   Totals `json:"unit"`
	Server Totals `json:"server"`
	// Agreed says that they are the same. Where they are not, the unit has
	// sent its transactions one by one: Uploaded is how many, and Missing are
	// the orders that the server did not find as the unit has them.
	Agreed   bool     `json:"agreed"`
	Uploaded int      `json:"uploaded"`
	Missing  []string `json:"missing"`
}

// Settlement is what Unit.CloseBatch did.
type Settlement struct {
	// Number is the batch's.
	Number uint64 `json:"number"`
	// Currencies are its settlements; none when there was nothing to settle.
	Currencies []Settled `json:"currencies"`
	// Refused are the debts that the server has refused for good; no total of
	// this unit has them in it.
	Refused []RefusedDebt `json:"refused"`
}

// CloseBatch settles what was paid since the last time: it compares the unit's
// totals with the server's, sends the transactions one by one where they differ
// (0320), and opens the next batch. The server's totals are what counts; a
// difference is in the Settlement for people to look into. One that was
// interrupted goes on with the next call. Errors: ErrBusy, ErrOwed when a debt
// has to be paid first, ErrServer, those of the storage, or one that wraps
// ctx.Err().
func (u *Unit) CloseBatch(ctx context.Context) (Settlement, error) {
	if err := u.busy.take(BusyError{Doing: "close a batch", Since: u.c.Now()}); err != nil {
		return Settlement{}, err
	}
	defer u.busy.release()
	l := u.newLine()
	defer l.close()
	rep, err := u.settle(ctx, l)
	if err != nil {
		return Settlement{}, err
	}
	n, err := u.journal.Batch(ctx)
	if err != nil {
		return Settlement{}, err
	}
	items, err := u.journal.Items(ctx, n)
	if err != nil {
		return Settlement{}, err
	}
	out := Settlement{Number: n, Currencies: []Settled{}, Refused: rep.Refused}
	for _, batch := range byCurrency(items) {
		s, err := u.closeCurrency(ctx, l, n, batch)
		if err != nil {
			return Settlement{}, err
		}
		out.Currencies = append(out.Currencies, s)
	}
	if len(items) > 0 {
		if err := u.journal.CloseBatch(context.WithoutCancel(ctx), n); err != nil {
			return out, err
		}
	}
	u.prune(ctx)
	return out, nil
}

// byCurrency sorts items into batches of one currency each.
func byCurrency(items []journal.Item) [][]journal.Item {
	slices.SortStableFunc(items, func(a, b journal.Item) int {
		return cmp.Or(cmp.Compare(a.Amount.Currency.Code(), b.Amount.Currency.Code()), a.TransmissionTime.Compare(b.TransmissionTime), cmp.Compare(a.STAN, b.STAN))
	})
	var out [][]journal.Item
	for i := range items {
		if i == 0 || items[i].Amount.Currency != items[i-1].Amount.Currency {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], items[i])
	}
	return out
}

// closeCurrency settles a batch's items, which are of one currency.
func (u *Unit) closeCurrency(ctx context.Context, l *line, n uint64, items []journal.Item) (Settled, error) {
	currency := items[0].Amount.Currency
	s := Settled{Currency: currency.Code(), Unit: sum(items), Missing: []string{}}
	c, begun, err := u.journal.Closing(ctx, n, s.Currency)
	if err != nil {
		return s, err
	}
	if len(c.Done) > 0 {
		if err := json.Unmarshal(c.Done, &s); err != nil {
			return s, fmt.Errorf("payment: kept settlement: %w", journal.ErrCorrupt)
		}
		return s, nil
	}
	for {
		if !begun {
			if err := u.newClosing(ctx, n, s.Currency, &c); err != nil {
				return s, err
			}
			begun = true
		}
		code, err := u.sendTotals(ctx, l, n, &s, &c, items)
		if err != nil {
			return s, err
		}
		switch {
		case code == "00":
			s.Agreed, s.Uploaded = s.Unit == s.Server, c.Uploaded
			if c.Done, err = json.Marshal(s); err != nil {
				return s, err
			}
			u.tell(PhaseSettle, "batch %d in %s is closed: agreed %v, net %d", n, s.Currency, s.Agreed, s.Server.Net())
			return s, u.journal.PutClosing(context.WithoutCancel(ctx), n, s.Currency, c)
		case code != "95" || c.Final:
			if c.Final {
				// The server has not what the upload was to tell it: the next call
				// begins again.
				c = journal.Closing{}
				if err := u.newClosing(context.WithoutCancel(ctx), n, s.Currency, &c); err != nil {
					return s, err
				}
			}
			r, _ := u.c.Dialect.Response(code)
			return s, fmt.Errorf("%w: the settlement was answered with %s (%s)", ErrServer, code, r.Merchant)
		}
		u.tell(PhaseSettle, "the server counts otherwise: %d transactions are sent one by one", len(items))
		if s.Missing, err = u.upload(ctx, l, items); err != nil {
			return s, err
		}
		c = journal.Closing{Final: true, Uploaded: len(items)}
		begun = false
	}
}

// newClosing gives a settlement its numbers, durably.
func (u *Unit) newClosing(ctx context.Context, n uint64, currency string, c *journal.Closing) error {
	stan, err := u.stan(ctx)
	if err != nil {
		return err
	}
	now := u.c.Now()
	c.STAN, c.RRN, c.Time = stan, acquirer.RRN(now, stan), now
	return u.journal.PutClosing(ctx, n, currency, *c)
}

// Processing codes of a settlement: the first request, and the one after the
// upload of a batch.
const (
	processingSettlement = "920000"
	processingFinal      = "960000"
)

// sendTotals sends a 0500, or its repeat, and returns the answer's code; the
// server's totals go into s.
func (u *Unit) sendTotals(ctx context.Context, l *line, n uint64, s *Settled, c *journal.Closing, items []journal.Item) (string, error) {
	tid, mid := u.c.Device.Identity()
	m := &acquirer.Message{
		MTI: "0500", ProcessingCode: processingSettlement, STAN: c.STAN, RRN: c.RRN, TransmissionTime: c.Time, TerminalID: tid, MerchantID: mid,
		Totals: wireTotals(s.Unit, items),
	}
	if c.Final {
		m.ProcessingCode = processingFinal
	}
	if c.Attempts > 0 {
		m.MTI = "0501"
	}
	out, err := u.seal(ctx, m)
	if err != nil {
		return "", err
	}
	defer out.key.Wipe()
	c.Attempts++
	if err := u.journal.PutClosing(ctx, n, s.Currency, *c); err != nil {
		return "", err
	}
	resp, err := u.exchange(ctx, l, out, fmt.Sprintf("totals %s of batch %d in %s", m.MTI, n, s.Currency))
	if err != nil {
		return "", serverError("settling", err)
	}
	defer resp.Wipe()
	if resp.Totals != nil {
		s.Server = ownTotals(resp.Totals)
	}
	return resp.ResponseCode, nil
}

// upload sends each transaction of a batch, and returns the orders that the
// server does not have as the unit has them.
func (u *Unit) upload(ctx context.Context, l *line, items []journal.Item) ([]string, error) {
	tid, mid := u.c.Device.Identity()
	missing := []string{}
	for _, i := range items {
		m := &acquirer.Message{
			MTI: "0320", ProcessingCode: i.ProcessingCode, Amount: &i.Amount, TransmissionTime: i.TransmissionTime, STAN: i.STAN, RRN: i.RRN,
			LocalTime: u.local(i.TransmissionTime), EntryMode: i.EntryMode, AuthCode: i.AuthCode, TerminalID: tid, MerchantID: mid, Order: i.Order,
			Original: &acquirer.Original{MTI: i.MTI, STAN: i.STAN, TransmissionTime: i.TransmissionTime},
		}
		out, err := u.seal(ctx, m)
		if err != nil {
			return nil, err
		}
		resp, err := u.exchange(ctx, l, out, "batch upload "+m.MTI+" of reference "+i.RRN)
		out.key.Wipe()
		if err != nil {
			return nil, serverError("uploading a batch", err)
		}
		if resp.ResponseCode != "00" {
			missing = append(missing, i.Order)
			u.tell(PhaseSettle, "the server does not have %s of order %s as it is here: %s", i.Type, i.Order, resp.ResponseCode)
		}
		resp.Wipe()
	}
	return missing, nil
}

// effect says what a debt that the server acknowledged does to the totals.
func effect(e journal.Entry) journal.Effect {
	switch {
	case e.State == journal.Capture:
		return journal.Debit
	case e.State == journal.Void && e.MTI[:3] == "020":
		return journal.DebitReversal
	case e.State != journal.Completion && e.State != journal.Advice:
		return ""
	}
	switch trade.Type(e.Type) {
	case trade.Sale, trade.Cashback:
		return journal.Debit
	case trade.Refund:
		return journal.Credit
	}
	return ""
}

// book counts what the server acknowledged in the open batch.
func (u *Unit) book(ctx context.Context, e journal.Entry) error {
	f := effect(e)
	if f == "" {
		return nil
	}
	return u.journal.Book(ctx, journal.Item{
		Order: e.Order, Type: e.Type, Effect: f, STAN: e.STAN, RRN: e.RRN, MTI: e.MTI, TransmissionTime: e.TransmissionTime,
		ProcessingCode: e.ProcessingCode, Amount: e.Amount, EntryMode: e.EntryMode, AuthCode: e.AuthCode,
	})
}

func sum(items []journal.Item) Totals {
	var t Totals
	for _, i := range items {
		to := &t.Debits
		switch i.Effect {
		case journal.DebitReversal:
			to = &t.DebitReversals
		case journal.Credit:
			to = &t.Credits
		}
		to.Count++
		to.Minor += uint64(i.Amount.Minor)
	}
	return t
}

// wireTotals are a batch's totals as a 0500 has them.
func wireTotals(t Totals, items []journal.Item) *acquirer.Totals {
	w := &acquirer.Totals{
		Currency: items[0].Amount.Currency,
		Debits:   acquirer.Total(t.Debits), DebitReversals: acquirer.Total(t.DebitReversals),
		Credits: acquirer.Total(t.Credits), CreditReversals: acquirer.Total(t.CreditReversals),
	}
	w.Net = w.Balance()
	return w
}

func ownTotals(w *acquirer.Totals) Totals {
	return Totals{Debits: Total(w.Debits), DebitReversals: Total(w.DebitReversals), Credits: Total(w.Credits), CreditReversals: Total(w.CreditReversals)}
}
