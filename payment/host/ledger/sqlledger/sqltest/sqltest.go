// Package sqltest puts faults between database/sql and a driver, so that a test
// can let every single statement of a program fail. It is imported by tests
// only.
package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
)

// ErrFault is what a statement with a fault returns.
var ErrFault = errors.New("sqltest: fault")

// Mode is the kind of fault.
type Mode uint8

// The modes.
const (
	// Before: the statement does not reach the database.
	Before Mode = iota
	// After: the statement is carried out, and its answer is lost.
	After
)

// Faults counts the statements of a database and lets one of them, and all that
// follow, fail: what a process sees whose disk or database has gone. Safe for
// concurrent use.
type Faults struct {
	mu    sync.Mutex
	count int
	at    int
	once  bool
	mode  Mode
	last  string
	// on is the statement that is to fail, whatever its number.
	on string
}

// Arm lets the n-th statement from now, and all after it, fail; 1 is the next
// one. 0 disarms.
func (f *Faults) Arm(n int, m Mode) { f.arm(n, m, false) }

// ArmOnce lets only the n-th statement from now fail.
func (f *Faults) ArmOnce(n int, m Mode) { f.arm(n, m, true) }

// ArmOn lets the next statement of that text fail, once.
func (f *Faults) ArmOn(query string, m Mode) {
	f.arm(0, m, true)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = query
}

func (f *Faults) arm(n int, m Mode, once bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.at, f.mode, f.once, f.last, f.on = 0, n, m, once, "", ""
}

// Count returns the number of statements since Arm.
func (f *Faults) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Failed returns the first statement that failed since Arm, "" when none did.
func (f *Faults) Failed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// hit counts a statement and says whether it is to fail before or after it is
// carried out.
func (f *Faults) hit(query string) (before, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.on != "" && f.on == query {
		f.on, f.at = "", f.count
	}
	if f.at == 0 || f.count < f.at || f.once && f.count > f.at {
		return false, false
	}
	if f.last == "" {
		f.last = query
	}
	// What follows the first fault never arrives.
	before = f.mode == Before || f.count > f.at
	return before, !before
}

// Open opens a database through d, with the faults of f.
func Open(d driver.Driver, name string, f *Faults) *sql.DB {
	return sql.OpenDB(&connector{d: d, name: name, f: f})
}

type connector struct {
	d    driver.Driver
	name string
	f    *Faults
}

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	if before, _ := c.f.hit("(connect)"); before {
		return nil, ErrFault
	}
	under, err := c.d.Open(c.name)
	if err != nil {
		return nil, err
	}
	return &conn{under, c.f}, nil
}

func (c *connector) Driver() driver.Driver { return c.d }

// conn hides the abilities of the connection below but the basic ones, so that
// every statement comes through prepare.
type conn struct {
	under driver.Conn
	f     *Faults
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	st, err := c.under.Prepare(query)
	if err != nil {
		return nil, err
	}
	return &stmt{st, query, c.f}, nil
}

func (c *conn) Close() error { return c.under.Close() }

func (c *conn) Begin() (driver.Tx, error) {
	return nil, errors.New("sqltest: transactions are begun by statement")
}

type stmt struct {
	under driver.Stmt
	query string
	f     *Faults
}

func (s *stmt) Close() error  { return s.under.Close() }
func (s *stmt) NumInput() int { return s.under.NumInput() }

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	before, after := s.f.hit(s.query)
	if before {
		return nil, ErrFault
	}
	r, err := s.under.(driver.StmtExecContext).ExecContext(ctx, args)
	if err == nil && after {
		return nil, ErrFault
	}
	return r, err
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	before, after := s.f.hit(s.query)
	if before {
		return nil, ErrFault
	}
	r, err := s.under.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err == nil && after {
		return nil, errors.Join(ErrFault, r.Close())
	}
	return r, err
}

// Exec is for callers without a context; database/sql is none.
func (s *stmt) Exec([]driver.Value) (driver.Result, error) {
	return nil, errors.New("sqltest: exec without a context")
}

// Query is for callers without a context; database/sql is none.
func (s *stmt) Query([]driver.Value) (driver.Rows, error) {
	return nil, errors.New("sqltest: query without a context")
}
