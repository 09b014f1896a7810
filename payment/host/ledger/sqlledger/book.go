package sqlledger

import (
	"errors"
	"fmt"
	"math"

	"github.com/payunit/payunit/payment/host/ledger"
)

// Post books an entry; see ledger.Book.
func (t *tx) Post(e ledger.Entry) (bool, error) {
	if err := e.Check(); err != nil {
		return false, err
	}
	if err := t.end(); err != nil {
		return false, err
	}
	number := t.chain.last + 1
	// What is stored has microseconds, and the chain is over what is stored.
	e.Time = moment(micros(e.Time))
	link := ledger.Chain(t.chain.hash, uint64(number), &e)
	r, err := t.result("booking", "INSERT INTO entries (number, key, kind, authorisation, cause, time, hash) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
		number, e.Key, string(e.Kind), e.Authorisation.String(), e.Cause, micros(e.Time), link[:])
	if err != nil {
		return false, err
	}
	switch n, err := r.RowsAffected(); {
	case err != nil:
		return false, t.fail("booking", err)
	case n == 0:
		return false, t.booked(&e)
	}
	if err := t.postings(number, e.Postings); err != nil {
		return false, err
	}
	t.chain.last, t.chain.hash = number, link
	return true, nil
}

// booked says whether the entry whose key is taken is the same.
func (t *tx) booked(e *ledger.Entry) error {
	old, err := t.entry(e.Key)
	if err == nil && !old.Same(e) {
		return fmt.Errorf("%w: entry %s", ledger.ErrConflict, e.Key)
	}
	return err
}

// end reads where the book ends, once in a transaction.
func (t *tx) end() error {
	if err := t.usable(); err != nil {
		return err
	}
	if t.readOnly {
		return fmt.Errorf("%w: booking in a view", ledger.ErrInvalid)
	}
	if t.chain.known {
		return nil
	}
	c := chain{known: true, balances: t.chain.balances}
	var hash []byte
	err := t.row("entry", "SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1", nil, &c.last, &hash)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	if c.last > 0 && copy(c.hash[:], hash) != len(c.hash) {
		return t.fail("booking", fmt.Errorf("%w: hash of entry %d", ledger.ErrInvalid, c.last))
	}
	*t.chain = c
	return nil
}

// The statements that write postings, by their number: most entries have two.
var (
	putPosting  = "INSERT INTO postings (entry, line, account, currency, minor) VALUES (?, ?, ?, ?, ?)"
	putPostings = putPosting + ", (?, ?, ?, ?, ?)"
)

// postings writes the postings of an entry, and notes the balances.
func (t *tx) postings(entry int64, list []ledger.Posting) error {
	args := make([]any, 0, 10)
	for i, p := range list {
		code := p.Amount.Currency.Code()
		before, err := t.Balance(p.Account, code)
		if err != nil {
			return err
		}
		if p.Amount.Minor > 0 && before > math.MaxInt64-p.Amount.Minor || p.Amount.Minor < 0 && before < math.MinInt64-p.Amount.Minor {
			return t.fail("booking", fmt.Errorf("%w: balance of %s out of range", ledger.ErrInvalid, p.Account))
		}
		t.chain.put(p.Account, code, balance{minor: before + p.Amount.Minor, dirty: true})
		args = append(args, entry, i, p.Account, code, p.Amount.Minor)
		query := putPosting
		switch {
		case len(args) == cap(args):
			query = putPostings
		case i < len(list)-1:
			continue
		}
		if err := t.exec("booking", query, args...); err != nil {
			return err
		}
		args = args[:0]
	}
	return nil
}

// Balance returns the sum of an account in one currency.
func (t *tx) Balance(account, currency string) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	var minor int64
	if t.chain != nil {
		if b, known := t.chain.balances[[2]string{account, currency}]; known {
			return b.minor, nil
		}
	}
	err := t.row("balance", "SELECT minor FROM balances WHERE account = ? AND currency = ?", []any{account, currency}, &minor)
	if errors.Is(err, ledger.ErrNotFound) {
		err = nil
	}
	if err == nil && t.chain != nil {
		t.chain.put(account, currency, balance{minor: minor})
	}
	return minor, err
}

// EachBalance walks over the accounts.
func (t *tx) EachBalance(fn func(account, currency string, minor int64) error) error {
	if err := t.usable(); err != nil {
		return err
	}
	if t.chain != nil {
		if err := t.chain.flush(t.ctx, t.s); err != nil {
			return t.fail("reading balances", err)
		}
	}
	return t.each("reading balances", "SELECT account, currency, minor FROM balances ORDER BY account, currency", nil,
		func(scan func(...any) error) error {
			var account, currency string
			var minor int64
			if err := scan(&account, &currency, &minor); err != nil {
				return err
			}
			return fn(account, currency, minor)
		})
}

// An entry and its postings come as one row a posting. An entry that lost its
// postings comes with one row of nothing, and is found wanting by whoever
// checks it.
const entryQuery = "SELECT e.number, e.key, e.kind, e.authorisation, e.cause, e.time, e.hash, " +
	"coalesce(p.account, ''), coalesce(p.currency, ''), coalesce(p.minor, 0) " +
	"FROM entries e LEFT JOIN postings p ON p.entry = e.number "

// entry returns the entry of a key, or ErrNotFound.
func (t *tx) entry(key string) (ledger.Booked, error) {
	var b ledger.Booked
	found := false
	g := gather{fn: func(v ledger.Booked) error { b, found = v, true; return nil }}
	err := t.each("reading an entry", entryQuery+"WHERE e.key = ? ORDER BY p.line", []any{key}, g.row)
	if err == nil {
		err = g.flush()
	}
	if err == nil && !found {
		err = fmt.Errorf("%w: entry", ledger.ErrNotFound)
	}
	return b, err
}

// EachEntry walks over the entries.
func (t *tx) EachEntry(fn func(ledger.Booked) error) error {
	g := gather{fn: fn}
	if err := t.each("reading entries", entryQuery+"ORDER BY e.number, p.line", nil, g.row); err != nil {
		return err
	}
	return g.flush()
}

// gather makes entries of rows.
type gather struct {
	fn   func(ledger.Booked) error
	open bool
	b    ledger.Booked
}

func (g *gather) row(scan func(...any) error) error {
	var v ledger.Booked
	var number, at, minor int64
	var auth, account, currency string
	var hash []byte
	if err := scan(&number, &v.Key, &v.Kind, &auth, &v.Cause, &at, &hash, &account, &currency, &minor); err != nil {
		return err
	}
	if !g.open || uint64(number) != g.b.Number {
		if err := g.flush(); err != nil {
			return err
		}
		key, err := ledger.ParseKey(auth)
		if err != nil {
			return fmt.Errorf("sqlledger: entry %d: %w", number, err)
		}
		v.Number, v.Authorisation, v.Time = uint64(number), key, moment(at)
		copy(v.Hash[:], hash)
		g.b, g.open = v, true
	}
	if account == "" {
		return nil
	}
	a, err := amount(minor, currency)
	if err != nil {
		return fmt.Errorf("sqlledger: entry %d: %w", number, err)
	}
	g.b.Postings = append(g.b.Postings, ledger.Posting{Account: account, Amount: a})
	return nil
}

func (g *gather) flush() error {
	if !g.open {
		return nil
	}
	g.open = false
	return g.fn(g.b)
}
