package sqlledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
	// chain is the end of the book, as far as the transaction knows it; nil
	// where nothing is written.
	chain *chain
	// keys are the device keys of the terminals that were read.
	keys map[string]string
}

// chain is what the transactions of a batch know of the book, so that none reads
// again what the one before it wrote: the last entry, once it was read, and
// balances.
type chain struct {
	known    bool
	last     int64
	hash     [32]byte
	balances map[[2]string]int64
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
	if err := t.usable(); err != nil {
		return err
	}
	if t.readOnly {
		return fmt.Errorf("%w: %s in a view", ledger.ErrInvalid, doing)
	}
	if err := t.s.exec(t.ctx, query, args...); err != nil {
		return t.fail(doing, err)
	}
	return nil
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
