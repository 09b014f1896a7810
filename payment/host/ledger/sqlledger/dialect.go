package sqlledger

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

// dialect is what differs between databases.
type dialect struct {
	// begin and beginRead begin a transaction that writes, and one that reads
	// one state. take, where it is not empty, is the first statement of one
	// that writes, and waits until those of other servers have ended.
	begin, beginRead, take string
	settings               []setting
	// patience bounds a transaction over a network; zero for a local file.
	patience time.Duration
	// migrate makes the tables of an empty database, brings an older version
	// up to this one, and refuses what is neither.
	migrate func(ctx context.Context, d *dialect, conn *sql.Conn) error
	// bind turns question marks into the database's parameters.
	bind func(query string) string
	// again reports whether a transaction that failed before its commit, or
	// whose commit the database refused, can be run once more.
	again func(err error, committing bool) bool
}

func sqliteDialect(durable bool) dialect {
	d := dialect{
		begin: "BEGIN IMMEDIATE", beginRead: "BEGIN", migrate: migrateSQLite,
		settings: []setting{
			{set: "PRAGMA busy_timeout = 10000", ask: "PRAGMA busy_timeout", want: "10000"},
			{set: "PRAGMA foreign_keys = ON", ask: "PRAGMA foreign_keys", want: "1"},
			// 16 MiB a connection.
			{set: "PRAGMA cache_size = -16384", ask: "PRAGMA cache_size", want: "-16384"},
		},
		bind:  func(q string) string { return q },
		again: func(error, bool) bool { return false },
	}
	if durable {
		d.settings = append(d.settings,
			setting{set: "PRAGMA journal_mode = WAL", ask: "PRAGMA journal_mode", want: "wal"},
			setting{set: "PRAGMA synchronous = FULL", ask: "PRAGMA synchronous", want: "2"},
			// The log goes into the file when it has 16 MiB: pages that
			// every payment changes are then copied less often.
			setting{set: "PRAGMA wal_autocheckpoint = 4096", ask: "PRAGMA wal_autocheckpoint", want: "4096"})
	}
	return d
}

func postgresDialect() dialect {
	return dialect{
		begin:     "BEGIN ISOLATION LEVEL SERIALIZABLE",
		beginRead: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		take:      takeFair,
		settings: []setting{
			{set: "SET synchronous_commit = on", ask: "SHOW synchronous_commit", want: "on"},
			{ask: "SHOW fsync", want: "on", absent: true},
			// A server that stopped in a transaction keeps the others waiting
			// no longer than this.
			{set: "SET idle_in_transaction_session_timeout = '10s'", ask: "SHOW idle_in_transaction_session_timeout", want: "10s"},
		},
		patience: 15 * time.Second, migrate: migratePostgres, bind: numbered, again: postgresAgain,
	}
}

// Ways to wait for the transactions of other servers. The first is PostgreSQL's:
// it queues, and the transaction sees what those before it did. With the second,
// which any database has that knows rows, whoever has waited fails with a
// serialisation error and begins again.
const (
	takeFair = "LOCK TABLE turn IN EXCLUSIVE MODE"
	takeRow  = "UPDATE turn SET number = number + 1"
)

// numbered turns question marks into $1, $2. No query here has one in a string.
func numbered(q string) string {
	var b strings.Builder
	n := 0
	for i := range len(q) {
		if q[i] != '?' {
			b.WriteByte(q[i])
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// SQLSTATE codes, PostgreSQL 15 manual, Appendix A.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	undefinedObject      = "42704"
	undefinedTable       = "42P01"
	syntaxError          = "42601"
	notSupported         = "0A000"
	uniqueViolation      = "23505"
	duplicateTable       = "42P07"
)

// sqlState is the SQLSTATE of an error, "" when the database gave none: the
// connection failed, or the error is not its.
func sqlState(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

// postgresAgain: before its commit, a transaction did nothing, whatever became
// of the connection. A commit that was refused for the sake of serialisation
// did nothing either; of any other nobody knows.
func postgresAgain(err error, committing bool) bool {
	state := sqlState(err)
	switch {
	case state == serializationFailure, state == deadlockDetected:
		return true
	case committing:
		return false
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, ledger.ErrInvalid), errors.Is(err, ledger.ErrConflict):
		return false
	}
	// Class 08 is the connection's, class 57P the server's going down.
	return state == "" || strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P")
}
