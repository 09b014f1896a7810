package sqlledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/payunit/payunit/payment/host/ledger"
)

// postgresSchema is version 9 for PostgreSQL: SQLite's tables with PostgreSQL's
// types. Text is in the order of its bytes, whatever the database's locale is.
// Every transaction that writes begins with the table turn.
var postgresSchema = [...]string{
	`CREATE TABLE orders (
		id TEXT COLLATE "C" PRIMARY KEY,
		type TEXT NOT NULL,
		minor BIGINT NOT NULL,
		currency TEXT NOT NULL,
		merchant TEXT NOT NULL,
		state TEXT NOT NULL,
		authorisation TEXT NOT NULL,
		created BIGINT NOT NULL,
		original TEXT NOT NULL DEFAULT '',
		refunded BIGINT NOT NULL DEFAULT 0,
		cashback BIGINT NOT NULL DEFAULT 0,
		tip BIGINT NOT NULL DEFAULT 0
	)`,
	`CREATE TABLE terminals (
		id TEXT COLLATE "C" PRIMARY KEY,
		number BIGINT NOT NULL UNIQUE,
		device_key BYTEA NOT NULL UNIQUE,
		merchant_id TEXT NOT NULL,
		merchant TEXT NOT NULL,
		pin_format BIGINT NOT NULL,
		device TEXT NOT NULL,
		device_class TEXT NOT NULL,
		assurance BIGINT NOT NULL,
		mac_high BIGINT NOT NULL,
		mac_bits BIGINT NOT NULL,
		pin_high BIGINT NOT NULL,
		pin_bits BIGINT NOT NULL,
		activation TEXT NOT NULL,
		enrolled BIGINT NOT NULL,
		generation TEXT NOT NULL DEFAULT ''
	)`,
	`CREATE TABLE activations (
		id TEXT COLLATE "C" PRIMARY KEY,
		merchant_id TEXT NOT NULL,
		merchant TEXT NOT NULL,
		expires BIGINT NOT NULL,
		terminal TEXT NOT NULL
	)`,
	`CREATE TABLE authorisations (
		terminal TEXT COLLATE "C" NOT NULL,
		stan TEXT COLLATE "C" NOT NULL,
		rrn TEXT COLLATE "C" NOT NULL,
		transmitted BIGINT NOT NULL,
		order_id TEXT NOT NULL,
		minor BIGINT NOT NULL,
		currency TEXT NOT NULL,
		card TEXT NOT NULL,
		account TEXT NOT NULL,
		state TEXT NOT NULL,
		content BYTEA NOT NULL,
		response_code TEXT NOT NULL,
		auth_code TEXT NOT NULL,
		icc BYTEA NOT NULL,
		completion BYTEA NOT NULL,
		created BIGINT NOT NULL,
		changed BIGINT NOT NULL,
		PRIMARY KEY (terminal, stan, rrn)
	)`,
	`CREATE TABLE cards (
		ref TEXT COLLATE "C" PRIMARY KEY,
		atc_high BIGINT NOT NULL,
		atc_bits BIGINT NOT NULL,
		pin_tries BIGINT NOT NULL,
		blocked BIGINT NOT NULL,
		scripts BIGINT NOT NULL DEFAULT 0,
		pin BYTEA NOT NULL DEFAULT ''
	)`,
	`CREATE TABLE entries (
		number BIGINT PRIMARY KEY,
		key TEXT COLLATE "C" NOT NULL UNIQUE,
		kind TEXT NOT NULL,
		authorisation TEXT NOT NULL,
		cause TEXT NOT NULL,
		time BIGINT NOT NULL,
		hash BYTEA NOT NULL
	)`,
	`CREATE TABLE postings (
		entry BIGINT NOT NULL REFERENCES entries (number),
		line BIGINT NOT NULL,
		account TEXT NOT NULL,
		currency TEXT NOT NULL,
		minor BIGINT NOT NULL,
		PRIMARY KEY (entry, line)
	)`,
	`CREATE TABLE balances (
		account TEXT COLLATE "C" NOT NULL,
		currency TEXT COLLATE "C" NOT NULL,
		minor BIGINT NOT NULL,
		PRIMARY KEY (account, currency)
	)`,
	`CREATE TABLE sequences (
		name TEXT COLLATE "C" PRIMARY KEY,
		value BIGINT NOT NULL
	)`,
	postgresBatches,
	postgresOutgoing,
	outgoingRefusals,
	outgoingCode,
	outgoingRefused,
	outgoingByNumber,
	postgresTickets,
	ticketsByExpiry,
	postgresSpendings,
	postgresScripts,
	scriptsByCard,
	postgresWorkingKeys,
	`CREATE TABLE turn (number BIGINT NOT NULL)`,
	`INSERT INTO turn (number) VALUES (0)`,
	`CREATE TABLE payunit_ledger (version BIGINT NOT NULL)`,
	fmt.Sprintf(`INSERT INTO payunit_ledger (version) VALUES (%d)`, version),
}

// postgresUpgrades[n] turns version n+2 into the next: PostgreSQL came with
// version 2.
var postgresUpgrades = [...][]string{
	{postgresBatches, `UPDATE payunit_ledger SET version = 3`},
	{postgresOutgoing, `UPDATE payunit_ledger SET version = 4`},
	{postgresTickets, ticketsByExpiry, `UPDATE payunit_ledger SET version = 5`},
	{postgresSpendings, `UPDATE payunit_ledger SET version = 6`},
	{
		`ALTER TABLE terminals ADD COLUMN generation TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE cards ADD COLUMN scripts BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE cards ADD COLUMN pin BYTEA NOT NULL DEFAULT ''`,
		outgoingRefusals, outgoingCode, outgoingRefused, postgresScripts, scriptsByCard, postgresWorkingKeys,
		`UPDATE payunit_ledger SET version = 7`,
	},
	{`ALTER TABLE orders ADD COLUMN tip BIGINT NOT NULL DEFAULT 0`, `UPDATE payunit_ledger SET version = 8`},
	{outgoingByNumber, `UPDATE payunit_ledger SET version = 9`},
}

const postgresTickets = `CREATE TABLE tickets (
		id TEXT COLLATE "C" PRIMARY KEY,
		sealed BYTEA NOT NULL,
		expires BIGINT NOT NULL
	)`

const postgresOutgoing = `CREATE TABLE outgoing (
		id TEXT COLLATE "C" PRIMARY KEY,
		number BIGINT NOT NULL,
		authorisation TEXT NOT NULL,
		message BYTEA NOT NULL,
		due BIGINT NOT NULL,
		attempts BIGINT NOT NULL,
		created BIGINT NOT NULL
	)`

const postgresBatches = `CREATE TABLE batches (
		terminal TEXT COLLATE "C" NOT NULL,
		currency TEXT COLLATE "C" NOT NULL,
		content TEXT NOT NULL,
		PRIMARY KEY (terminal, currency)
	)`

// migratePostgres makes the tables of an empty schema, brings an older version
// up to this one, and refuses what is neither. Of several servers that start at
// once, one makes them. Then it finds out how transactions can wait for each
// other.
func migratePostgres(ctx context.Context, d *dialect, conn *sql.Conn) error {
	for n := 0; ; n++ {
		err := migratePostgresOnce(ctx, conn)
		if err == nil {
			break
		}
		if _, rerr := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); rerr != nil {
			return err
		}
		if !slices.Contains([]string{uniqueViolation, duplicateTable, serializationFailure, deadlockDetected}, sqlState(err)) || !pause(ctx, n, err) {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, d.begin)
	if err == nil && d.take == takeFair {
		_, err = conn.ExecContext(ctx, d.take)
		if state := sqlState(err); state == syntaxError || state == notSupported {
			d.take, err = takeRow, nil
		}
	}
	if _, rerr := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err == nil {
		err = rerr
	}
	if err != nil {
		return fmt.Errorf("sqlledger: trying how to wait for other servers: %w", err)
	}
	return nil
}

func migratePostgresOnce(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "BEGIN ISOLATION LEVEL SERIALIZABLE"); err != nil {
		return fmt.Errorf("sqlledger: reading the version: %w", err)
	}
	found, err := postgresVersion(ctx, conn)
	if err != nil {
		return err
	}
	var steps []string
	switch {
	case found == version:
	case found == 0:
		steps = postgresSchema[:]
	case found < 2 || found > version:
		return fmt.Errorf("%w: version %d, this program has %d", ledger.ErrVersion, found, version)
	default:
		for _, step := range postgresUpgrades[found-2:] {
			steps = append(steps, step...)
		}
	}
	for _, q := range append(steps[:len(steps):len(steps)], "COMMIT") {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("sqlledger: from version %d to %d: %w", found, version, err)
		}
	}
	return nil
}

// postgresVersion is the version of the tables, 0 of an empty schema.
func postgresVersion(ctx context.Context, conn *sql.Conn) (int, error) {
	var tables int
	err := conn.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()").Scan(&tables)
	if err != nil {
		return 0, fmt.Errorf("sqlledger: reading the version: %w", err)
	}
	if tables == 0 {
		return 0, nil
	}
	var found int
	switch err := conn.QueryRowContext(ctx, "SELECT version FROM payunit_ledger").Scan(&found); {
	case sqlState(err) == undefinedTable:
		return 0, fmt.Errorf("%w: the schema belongs to another program", ledger.ErrVersion)
	case err != nil:
		return 0, fmt.Errorf("sqlledger: reading the version: %w", err)
	}
	return found, nil
}
