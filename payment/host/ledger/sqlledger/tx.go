package sqlledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/payunit/payunit/payment/host/ledger"
)

// tx is one transaction, or the part of one that is an update of its own.
type tx struct {
	ctx      context.Context
	s        *session
	readOnly bool
	done     bool
	// failed is the first error of a statement. Nothing is done after it: the
	// database may have given the transaction up, and would take what follows
	// for a transaction of its own.
	failed error
	// wrote is set before the first statement that writes.
	wrote bool
	// chain is the end of the book, as far as the transaction knows it; nil
	// where nothing is written.
	chain *chain
	last  seen
}

// chain is what the transactions of a batch know of the book, so that none reads
// again what the one before it wrote: the last entry, once it was read, and
// balances. Balances are written when the batch ends, each once: an account of
// many, a merchant's, changes with every payment of a batch.
type chain struct {
	known    bool
	last     int64
	hash     [32]byte
	balances map[[2]string]balance
}

// balance is the sum of an account, and whether it is still to be written.
type balance struct {
	minor int64
	dirty bool
}

// put notes a balance.
func (c *chain) put(account, currency string, b balance) {
	if c.balances == nil {
		c.balances = map[[2]string]balance{}
	}
	c.balances[[2]string{account, currency}] = b
}

// flush writes the balances that are still to be written.
func (c *chain) flush(ctx context.Context, s *session) error {
	var keys [][2]string
	for k, b := range c.balances {
		if b.dirty {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, k := range keys {
		minor := c.balances[k].minor
		if err := s.exec(ctx, putBalance, k[0], k[1], minor); err != nil {
			return fmt.Errorf("sqlledger: writing a balance: %w", err)
		}
		c.balances[k] = balance{minor: minor}
	}
	return nil
}

// back forgets what was learned since before, and every balance.
func (c *chain) back(before chain) {
	before.balances = nil
	*c = before
}

var _ ledger.Tx = (*tx)(nil)

var errVoid = errors.New("sqlledger: the transaction is over")

// fail notes and names the error of a statement.
func (t *tx) fail(doing string, err error) error {
	err = fmt.Errorf("sqlledger: %s: %w", doing, err)
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// usable reports why no statement can be run.
func (t *tx) usable() error {
	if t.done {
		return errVoid
	}
	return t.failed
}

// exec runs a statement that writes.
func (t *tx) exec(doing, query string, args ...any) error {
	_, err := t.result(doing, query, args...)
	return err
}

// result runs a statement that writes, and returns what it says of it.
func (t *tx) result(doing, query string, args ...any) (sql.Result, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	if t.readOnly {
		return nil, fmt.Errorf("%w: %s in a view", ledger.ErrInvalid, doing)
	}
	t.wrote = true
	r, err := t.s.result(t.ctx, query, args...)
	if err != nil {
		return nil, t.fail(doing, err)
	}
	return r, nil
}

// row reads one row into dest; ledger.ErrNotFound when there is none.
func (t *tx) row(doing, query string, args []any, dest ...any) error {
	if err := t.usable(); err != nil {
		return err
	}
	st, err := t.s.prepare(t.ctx, query)
	if err != nil {
		return t.fail(doing, err)
	}
	err = st.QueryRowContext(t.ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: %s", ledger.ErrNotFound, doing)
	}
	if err != nil {
		return t.fail(doing, err)
	}
	return nil
}

// each runs fn over the rows of a query. fn may not use the transaction.
func (t *tx) each(doing, query string, args []any, fn func(scan func(...any) error) error) error {
	if err := t.usable(); err != nil {
		return err
	}
	st, err := t.s.prepare(t.ctx, query)
	if err != nil {
		return t.fail(doing, err)
	}
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		return t.fail(doing, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return t.fail(doing, err)
	}
	return nil
}
