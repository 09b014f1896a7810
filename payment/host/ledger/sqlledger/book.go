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
	// Most keys are new, and to see that takes less than to read an entry.
	var old ledger.Booked
	var number int64
	err := t.row("entry", "SELECT number FROM entries WHERE key = ?", []any{e.Key}, &number)
	if err == nil {
		old, err = t.entry(e.Key)
	}
	switch {
	case err == nil && old.Same(&e):
		return false, nil
	case err == nil:
		return false, fmt.Errorf("%w: entry %s", ledger.ErrConflict, e.Key)
	case !errors.Is(err, ledger.ErrNotFound):
		return false, err
	}
	if err := t.end(); err != nil {
		return false, err
	}
	number = t.chain.last + 1
	// What is stored has microseconds, and the chain is over what is stored.
	e.Time = moment(micros(e.Time))
	link := ledger.Chain(t.chain.hash, uint64(number), &e)
	err = t.exec("booking", "INSERT INTO entries (number, key, kind, authorisation, cause, time, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
		number, e.Key, string(e.Kind), e.Authorisation.String(), e.Cause, micros(e.Time), link[:])
	if err != nil {
		return false, err
	}
	for i, p := range e.Postings {
		if err := t.posting(number, i, p); err != nil {
			return false, err
		}
	}
	t.chain.last, t.chain.hash = number, link
	return true, nil
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

func (t *tx) posting(entry int64, line int, p ledger.Posting) error {
	code := p.Amount.Currency.Code()
	balance, err := t.Balance(p.Account, code)
	if err != nil {
		return err
	}
	if p.Amount.Minor > 0 && balance > math.MaxInt64-p.Amount.Minor || p.Amount.Minor < 0 && balance < math.MinInt64-p.Amount.Minor {
		return t.fail("booking", fmt.Errorf("%w: balance of %s out of range", ledger.ErrInvalid, p.Account))
	}
	err = t.exec("booking", "INSERT INTO postings (entry, line, account, currency, minor) VALUES (?, ?, ?, ?, ?)",
		entry, line, p.Account, code, p.Amount.Minor)
	if err != nil {
		return err
	}
	if err := t.exec("booking", putBalance, p.Account, code, balance+p.Amount.Minor); err != nil {
		return err
	}
	if t.chain.balances == nil {
		t.chain.balances = map[[2]string]int64{}
	}
	t.chain.balances[[2]string{p.Account, code}] = balance + p.Amount.Minor
	return nil
}

// Balance returns the sum of an account in one currency.
func (t *tx) Balance(account, currency string) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	var minor int64
	if t.chain != nil {
		var known bool
		if minor, known = t.chain.balances[[2]string{account, currency}]; known {
			return minor, nil
		}
	}
	err := t.row("balance", "SELECT minor FROM balances WHERE account = ? AND currency = ?", []any{account, currency}, &minor)
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, nil
	}
	return minor, err
}

// EachBalance walks over the accounts.
func (t *tx) EachBalance(fn func(account, currency string, minor int64) error) error {
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
