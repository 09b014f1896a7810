// Package sqlledger keeps a ledger in an SQL database through database/sql. The
// caller opens the database with the driver of its choice; this package imports
// none. The dialect is that of SQLite.
//
// Every transaction is durable before Update returns: the journal is a
// write-ahead log, and each commit is synced (synchronous=FULL). One connection
// is used, so that updates are serialised here; between processes, SQLite's
// write lock serialises them.
package sqlledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/payunit/payunit/payment/host/ledger"
)

// Ledger is a ledger in an SQL database. It is safe for concurrent use.
type Ledger struct {
	db *sql.DB
	// settings are made on each connection.
	settings []setting
	// turn holds the connection, or nil when a new one is wanted. Whoever has
	// taken it out has the ledger for itself.
	turn chan *session
}

var _ ledger.Ledger = (*Ledger)(nil)

// session is a connection with its prepared statements.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

// Open returns the ledger in db, whose tables it makes when there are none. db
// remains the caller's, to be closed after Close; nobody else may write to the
// tables. Errors wrap ledger.ErrVersion when another version of the program
// made the tables, or say which setting the database did not take.
func Open(ctx context.Context, db *sql.DB) (*Ledger, error) {
	return open(ctx, db, append(shared(), durable()...))
}

// OpenVolatile is Open for a database that may lose what was committed, one in
// memory for example: for demonstrations, and tests that end with the process.
// Update's promise that its result is on disk does not hold.
func OpenVolatile(ctx context.Context, db *sql.DB) (*Ledger, error) {
	return open(ctx, db, shared())
}

func open(ctx context.Context, db *sql.DB, settings []setting) (*Ledger, error) {
	l := &Ledger{db: db, settings: settings, turn: make(chan *session, 1)}
	s, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, s.conn); err != nil {
		s.close()
		return nil, err
	}
	l.turn <- s
	return l, nil
}

// Close waits for the transaction under way and gives the connection back.
func (l *Ledger) Close() error {
	s := <-l.turn
	if s == nil {
		return nil
	}
	return s.close()
}

// setting is a pragma. It is asked back after it was made: a file system without
// shared memory, for one, refuses the write-ahead log in silence.
type setting struct{ set, ask, want string }

func shared() []setting {
	return []setting{
		{"PRAGMA busy_timeout = 10000", "PRAGMA busy_timeout", "10000"},
		{"PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", "1"},
	}
}

func durable() []setting {
	return []setting{
		{"PRAGMA journal_mode = WAL", "PRAGMA journal_mode", "wal"},
		{"PRAGMA synchronous = FULL", "PRAGMA synchronous", "2"},
	}
}

func (l *Ledger) connect(ctx context.Context) (*session, error) {
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlledger: connecting: %w", err)
	}
	s := &session{conn: conn, stmts: map[string]*sql.Stmt{}}
	for _, p := range l.settings {
		_, err := conn.ExecContext(ctx, p.set)
		var got string
		if err == nil {
			err = conn.QueryRowContext(ctx, p.ask).Scan(&got)
		}
		if err == nil && !strings.EqualFold(got, p.want) {
			err = fmt.Errorf("the database answers %q", got)
		}
		if err != nil {
			s.discard()
			return nil, fmt.Errorf("sqlledger: %s: %w", p.set, err)
		}
	}
	return s, nil
}

func (s *session) close() error {
	for _, st := range s.stmts {
		_ = st.Close()
	}
	return s.conn.Close()
}

// discard ends the connection instead of giving it back to the pool.
func (s *session) discard() {
	for _, st := range s.stmts {
		_ = st.Close()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
}

// Update runs fn in a transaction; see ledger.Ledger.
func (l *Ledger) Update(ctx context.Context, fn func(ledger.Tx) error) error {
	return l.run(ctx, "BEGIN IMMEDIATE", "COMMIT", false, fn)
}

// View runs fn over a consistent state; see ledger.Ledger.
func (l *Ledger) View(ctx context.Context, fn func(ledger.Tx) error) error {
	return l.run(ctx, "BEGIN", "ROLLBACK", true, fn)
}

func (l *Ledger) run(ctx context.Context, begin, end string, readOnly bool, fn func(ledger.Tx) error) (err error) {
	var s *session
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqlledger: waiting for the ledger: %w", err)
	}
	select {
	case s = <-l.turn:
	case <-ctx.Done():
		return fmt.Errorf("sqlledger: waiting for the ledger: %w", ctx.Err())
	}
	// The connection goes back only when no transaction is open on it.
	clean := false
	defer func() {
		if !clean && s != nil {
			s.discard()
			s = nil
		}
		l.turn <- s
	}()
	if s == nil {
		if s, err = l.connect(ctx); err != nil {
			return err
		}
	}
	// A transaction is short and local; a caller that goes away must not leave
	// the commit in doubt.
	ctx = context.WithoutCancel(ctx)
	if _, err := s.exec(ctx, begin); err != nil {
		return fmt.Errorf("sqlledger: beginning a transaction: %w", err)
	}
	t := &tx{ctx: ctx, s: s, readOnly: readOnly}
	err = fn(t)
	t.done = true
	if err == nil && t.failed != nil {
		// fn went on after a statement had failed: what it wrote since rests
		// on something that is not there.
		err = t.failed
	}
	if err != nil {
		_, rerr := s.exec(ctx, "ROLLBACK")
		clean = rerr == nil
		return err
	}
	if _, err := s.exec(ctx, end); err != nil {
		_, rerr := s.exec(ctx, "ROLLBACK")
		clean = rerr == nil
		return fmt.Errorf("sqlledger: committing: %w", err)
	}
	clean = true
	return nil
}

func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.stmts[query] = st
	return st, nil
}

func (s *session) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

// tx is one transaction.
type tx struct {
	ctx      context.Context
	s        *session
	readOnly bool
	done     bool
	// failed is the first error of a statement.
	failed error
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

// exec runs a statement that writes.
func (t *tx) exec(doing, query string, args ...any) error {
	if t.done {
		return errVoid
	}
	if t.readOnly {
		return fmt.Errorf("%w: %s in a view", ledger.ErrInvalid, doing)
	}
	if _, err := t.s.exec(t.ctx, query, args...); err != nil {
		return t.fail(doing, err)
	}
	return nil
}

// row reads one row into dest; ledger.ErrNotFound when there is none.
func (t *tx) row(doing, query string, args []any, dest ...any) error {
	if t.done {
		return errVoid
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
	if t.done {
		return errVoid
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
