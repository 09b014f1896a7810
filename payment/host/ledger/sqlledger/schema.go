package sqlledger

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/payunit/payunit/payment/host/ledger"
)

// application marks the file as this program's ("PAYU"), so that a database of
// something else is not taken over.
const application = 0x50415955

// version is the version of the tables.
const version = 9

// schema is version 9 for SQLite. Times are microseconds since 1970 in UTC. A counter of 64
// bits is kept in a signed column of the same bits.
var schema = [...]string{
	`CREATE TABLE orders (
		id TEXT PRIMARY KEY,
		type TEXT NOT NULL,
		minor INTEGER NOT NULL,
		currency TEXT NOT NULL,
		merchant TEXT NOT NULL,
		state TEXT NOT NULL,
		authorisation TEXT NOT NULL,
		created INTEGER NOT NULL,
		original TEXT NOT NULL DEFAULT '',
		refunded INTEGER NOT NULL DEFAULT 0,
		cashback INTEGER NOT NULL DEFAULT 0,
		tip INTEGER NOT NULL DEFAULT 0
	) WITHOUT ROWID`,
	`CREATE TABLE terminals (
		id TEXT PRIMARY KEY,
		number INTEGER NOT NULL UNIQUE,
		device_key BLOB NOT NULL UNIQUE,
		merchant_id TEXT NOT NULL,
		merchant TEXT NOT NULL,
		pin_format INTEGER NOT NULL,
		device TEXT NOT NULL,
		device_class TEXT NOT NULL,
		assurance INTEGER NOT NULL,
		mac_high INTEGER NOT NULL,
		mac_bits INTEGER NOT NULL,
		pin_high INTEGER NOT NULL,
		pin_bits INTEGER NOT NULL,
		activation TEXT NOT NULL,
		enrolled INTEGER NOT NULL,
		generation TEXT NOT NULL DEFAULT ''
	) WITHOUT ROWID`,
	`CREATE TABLE activations (
		id TEXT PRIMARY KEY,
		merchant_id TEXT NOT NULL,
		merchant TEXT NOT NULL,
		expires INTEGER NOT NULL,
		terminal TEXT NOT NULL
	) WITHOUT ROWID`,
	`CREATE TABLE authorisations (
		terminal TEXT NOT NULL,
		stan TEXT NOT NULL,
		rrn TEXT NOT NULL,
		transmitted INTEGER NOT NULL,
		order_id TEXT NOT NULL,
		minor INTEGER NOT NULL,
		currency TEXT NOT NULL,
		card TEXT NOT NULL,
		account TEXT NOT NULL,
		state TEXT NOT NULL,
		content BLOB NOT NULL,
		response_code TEXT NOT NULL,
		auth_code TEXT NOT NULL,
		icc BLOB NOT NULL,
		completion BLOB NOT NULL,
		created INTEGER NOT NULL,
		changed INTEGER NOT NULL,
		PRIMARY KEY (terminal, stan, rrn)
	) WITHOUT ROWID`,
	`CREATE TABLE cards (
		ref TEXT PRIMARY KEY,
		atc_high INTEGER NOT NULL,
		atc_bits INTEGER NOT NULL,
		pin_tries INTEGER NOT NULL,
		blocked INTEGER NOT NULL,
		scripts INTEGER NOT NULL DEFAULT 0,
		pin BLOB NOT NULL DEFAULT x''
	) WITHOUT ROWID`,
	`CREATE TABLE entries (
		number INTEGER PRIMARY KEY,
		key TEXT NOT NULL UNIQUE,
		kind TEXT NOT NULL,
		authorisation TEXT NOT NULL,
		cause TEXT NOT NULL,
		time INTEGER NOT NULL,
		hash BLOB NOT NULL
	)`,
	`CREATE TABLE postings (
		entry INTEGER NOT NULL REFERENCES entries (number),
		line INTEGER NOT NULL,
		account TEXT NOT NULL,
		currency TEXT NOT NULL,
		minor INTEGER NOT NULL,
		PRIMARY KEY (entry, line)
	) WITHOUT ROWID`,
	`CREATE TABLE balances (
		account TEXT NOT NULL,
		currency TEXT NOT NULL,
		minor INTEGER NOT NULL,
		PRIMARY KEY (account, currency)
	) WITHOUT ROWID`,
	`CREATE TABLE sequences (
		name TEXT PRIMARY KEY,
		value INTEGER NOT NULL
	) WITHOUT ROWID`,
	sqliteBatches,
	sqliteOutgoing,
	outgoingRefusals,
	outgoingCode,
	outgoingRefused,
	outgoingByNumber,
	sqliteTickets,
	ticketsByExpiry,
	sqliteSpendings,
	sqliteScripts,
	scriptsByCard,
	sqliteWorkingKeys,
	fmt.Sprintf(`PRAGMA application_id = %d`, application),
	fmt.Sprintf(`PRAGMA user_version = %d`, version),
}

// upgrades[n] turns version n+1 into the next.
var upgrades = [...][]string{
	{
		`ALTER TABLE orders ADD COLUMN original TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE orders ADD COLUMN refunded INTEGER NOT NULL DEFAULT 0`,
		`ALTER TABLE orders ADD COLUMN cashback INTEGER NOT NULL DEFAULT 0`,
		`PRAGMA user_version = 2`,
	},
	{sqliteBatches, `PRAGMA user_version = 3`},
	{sqliteOutgoing, `PRAGMA user_version = 4`},
	{sqliteTickets, ticketsByExpiry, `PRAGMA user_version = 5`},
	{sqliteSpendings, `PRAGMA user_version = 6`},
	{
		`ALTER TABLE terminals ADD COLUMN generation TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE cards ADD COLUMN scripts INTEGER NOT NULL DEFAULT 0`,
		`ALTER TABLE cards ADD COLUMN pin BLOB NOT NULL DEFAULT x''`,
		outgoingRefusals, outgoingCode, outgoingRefused, sqliteScripts, scriptsByCard, sqliteWorkingKeys, `PRAGMA user_version = 7`,
	},
	{`ALTER TABLE orders ADD COLUMN tip INTEGER NOT NULL DEFAULT 0`, `PRAGMA user_version = 8`},
	{outgoingByNumber, `PRAGMA user_version = 9`},
}

const sqliteTickets = `CREATE TABLE tickets (
		id TEXT PRIMARY KEY,
		sealed BLOB NOT NULL,
		expires INTEGER NOT NULL
	) WITHOUT ROWID`

const ticketsByExpiry = `CREATE INDEX tickets_by_expiry ON tickets (expires)`

const sqliteOutgoing = `CREATE TABLE outgoing (
		id TEXT PRIMARY KEY,
		number INTEGER NOT NULL,
		authorisation TEXT NOT NULL,
		message BLOB NOT NULL,
		due INTEGER NOT NULL,
		attempts INTEGER NOT NULL,
		created INTEGER NOT NULL
	) WITHOUT ROWID`

// Columns that version 7 has more, in the words of both databases.
const (
	outgoingRefusals = `ALTER TABLE outgoing ADD COLUMN refusals BIGINT NOT NULL DEFAULT 0`
	outgoingCode     = `ALTER TABLE outgoing ADD COLUMN code TEXT NOT NULL DEFAULT ''`
	outgoingRefused  = `ALTER TABLE outgoing ADD COLUMN refused BIGINT NOT NULL DEFAULT 0`
)

// outgoingByNumber finds a page of messages, in the words of both databases.
const outgoingByNumber = `CREATE INDEX outgoing_by_number ON outgoing (number)`

const sqliteBatches = `CREATE TABLE batches (
		terminal TEXT NOT NULL,
		currency TEXT NOT NULL,
		content TEXT NOT NULL,
		PRIMARY KEY (terminal, currency)
	) WITHOUT ROWID`

// migrateSQLite makes the tables of an empty database, brings an older version up to
// this one, and refuses what is neither.
func migrateSQLite(ctx context.Context, _ *dialect, conn *sql.Conn) (err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("sqlledger: reading the version: %w", err)
	}
	defer func() {
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	var app, found, tables int
	for _, q := range [...]struct {
		query string
		dest  *int
	}{
		{"PRAGMA application_id", &app},
		{"PRAGMA user_version", &found},
		{"SELECT count(*) FROM sqlite_master", &tables},
	} {
		if err := conn.QueryRowContext(ctx, q.query).Scan(q.dest); err != nil {
			return fmt.Errorf("sqlledger: reading the version: %w", err)
		}
	}
	switch {
	case app == application && found == version:
	case app == application && found >= 1 && found < version:
		for _, step := range upgrades[found-1:] {
			for _, q := range step {
				if _, err := conn.ExecContext(ctx, q); err != nil {
					return fmt.Errorf("sqlledger: from version %d to %d: %w", found, version, err)
				}
			}
		}
	case app == application:
		return fmt.Errorf("%w: version %d, this program has %d", ledger.ErrVersion, found, version)
	case app != 0 || tables != 0:
		return fmt.Errorf("%w: the database belongs to another program", ledger.ErrVersion)
	default:
		for _, q := range schema {
			if _, err := conn.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("sqlledger: making the tables: %w", err)
			}
		}
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("sqlledger: making the tables: %w", err)
	}
	return nil
}
