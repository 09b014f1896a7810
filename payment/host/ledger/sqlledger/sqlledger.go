// Package sqlledger keeps a ledger in an SQL database through database/sql: in
// SQLite for one server and its tools, in PostgreSQL for several servers on one
// database. The caller opens the database with the driver of its choice; this
// package imports none.
//
// Every transaction is durable before Update returns. Updates that wait for
// their turn are carried out together, each in a savepoint of its own, and made
// durable by one commit (group commit): the more wait, the fewer syncs each
// costs. Reading goes over connections of its own.
//
// In SQLite the journal is a write-ahead log, each commit is synced
// (synchronous=FULL), and the write lock serialises processes. In PostgreSQL
// transactions are serialisable and begin by taking the same lock, so that those
// of several servers queue up instead of failing against each other; what fails
// all the same with a serialisation error, or finds its connection gone before
// the commit, is run again. Where the
// database does not know that lock, they begin by writing the same row: a
// distributed database that speaks PostgreSQL's protocol and serialises will do.
package sqlledger

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/payunit/payunit/payment/host/ledger"
)

// Ledger is a ledger in an SQL database. It is safe for concurrent use.
type Ledger struct {
	db *sql.DB
	d  dialect
	// turn holds the connection that writes, or nil when a new one is wanted.
	// Whoever has taken it out carries out what waits.
	turn chan *session
	// readers holds the connections that read; nil when reading takes turns
	// with writing.
	readers chan *session

	mu    sync.Mutex
	queue []*job
}

var _ ledger.Ledger = (*Ledger)(nil)

// readConns is the number of connections that read.
const readConns = 4

// Open returns the ledger in a SQLite database, whose tables it makes when there
// are none. db remains the caller's, to be closed after Close; nobody else may
// write to the tables. Errors wrap ledger.ErrVersion when another version of the
// program made the tables, or say which setting the database did not take.
func Open(ctx context.Context, db *sql.DB) (*Ledger, error) {
	return open(ctx, db, sqliteDialect(true), readConns)
}

// OpenVolatile is Open for a SQLite database that may lose what was committed,
// one in memory for example: for demonstrations, and tests that end with the
// process. Update's promise that its result is on disk does not hold.
func OpenVolatile(ctx context.Context, db *sql.DB) (*Ledger, error) {
	return open(ctx, db, sqliteDialect(false), 0)
}

// OpenPostgres is Open for a PostgreSQL database, in the first schema of the
// connection's search path. Several servers may use it at once. A server that
// does not sync its commits is refused.
func OpenPostgres(ctx context.Context, db *sql.DB) (*Ledger, error) {
	return open(ctx, db, postgresDialect(), readConns)
}

func open(ctx context.Context, db *sql.DB, d dialect, readers int) (*Ledger, error) {
	l := &Ledger{db: db, d: d, turn: make(chan *session, 1)}
	s, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.migrate(ctx, &l.d, s.conn); err != nil {
		s.discard()
		return nil, err
	}
	l.turn <- s
	if readers > 0 {
		l.readers = make(chan *session, readers)
		for range readers {
			l.readers <- nil
		}
	}
	return l, nil
}

// Close waits for the transactions under way and gives the connections back.
func (l *Ledger) Close() error {
	var first error
	all := []chan *session{l.turn}
	for range cap(l.readers) {
		all = append(all, l.readers)
	}
	for _, from := range all {
		s := <-from
		if s == nil {
			continue
		}
		if err := s.close(); err != nil && first == nil {
			first = fmt.Errorf("sqlledger: closing: %w", err)
		}
	}
	return first
}
