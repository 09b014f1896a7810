package sqlledger

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
)

// store is a ledger in a file.
type store string

func newStore(t *testing.T) ledgertest.Store {
	return store(filepath.Join(t.TempDir(), "ledger.db"))
}

func (s store) db(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", string(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Open opens the ledger with a database handle of its own.
func (s store) Open(t *testing.T) ledger.Ledger {
	t.Helper()
	l, err := Open(context.Background(), s.db(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestContract(t *testing.T) { ledgertest.Run(t, newStore) }

// A volatile ledger keeps the contract but for what another process sees.
func TestVolatile(t *testing.T) {
	l, err := OpenVolatile(t.Context(), store(":memory:").db(t))
	if err != nil {
		t.Fatal(err)
	}
	ledgertest.Sample(t, l)
	if r := ledgertest.Clean(t, l); r.Entries != 6 {
		t.Errorf("%d entries, want 6", r.Entries)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestVersion(t *testing.T) {
	for _, c := range []struct{ name, query string }{
		{"newer version", "PRAGMA user_version = 99"},
		{"another program's file", "PRAGMA application_id = 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t).(store)
			s.Open(t)
			db := s.db(t)
			if _, err := db.Exec(c.query); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), db); !errors.Is(err, ledger.ErrVersion) {
				t.Errorf("got %v, want ErrVersion", err)
			}
		})
	}
	t.Run("tables of another program", func(t *testing.T) {
		db := newStore(t).(store).db(t)
		if _, err := db.Exec("CREATE TABLE x (y)"); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), db); !errors.Is(err, ledger.ErrVersion) {
			t.Errorf("got %v, want ErrVersion", err)
		}
	})
}

// A store of version 1 is brought up to this version with what is in it.
func TestUpgrade(t *testing.T) {
	s := newStore(t).(store)
	l := s.Open(t)
	ledgertest.Sample(t, l)
	db := s.db(t)
	for _, q := range []string{
		"DROP TABLE scripts", "DROP TABLE working_keys", "ALTER TABLE cards DROP COLUMN scripts", "ALTER TABLE cards DROP COLUMN pin", "ALTER TABLE terminals DROP COLUMN generation",
		"DROP TABLE spendings", "DROP TABLE tickets", "DROP TABLE outgoing", "DROP TABLE batches", "ALTER TABLE orders DROP COLUMN original", "ALTER TABLE orders DROP COLUMN refunded", "ALTER TABLE orders DROP COLUMN cashback", "ALTER TABLE orders DROP COLUMN tip", "PRAGMA user_version = 1",
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if r := ledgertest.Clean(t, again); r.Orders != 5 || r.Entries != 6 {
		t.Errorf("after the upgrade: %+v", r)
	}
	if _, err := Open(t.Context(), s.db(t)); err != nil {
		t.Errorf("opened once more: %v", err)
	}
}

// A database that can't be durable is refused: one in memory has no
// write-ahead log.
func TestNotDurable(t *testing.T) {
	db := store(":memory:").db(t)
	if _, err := Open(t.Context(), db); err == nil || !strings.Contains(err.Error(), "journal_mode") {
		t.Errorf("got %v, want a refusal that names journal_mode", err)
	}
}

// Whatever is changed behind the ledger's back, the audit names it.
func TestAuditFindsChanges(t *testing.T) {
	for _, query := range []string{
		"UPDATE postings SET minor = minor + 1 WHERE entry = 2 AND line = 0",
		"UPDATE postings SET minor = 2 * minor WHERE entry = 2",
		"UPDATE postings SET account = 'card/2' WHERE entry = 2 AND line = 0",
		"UPDATE postings SET currency = 'USD' WHERE entry = 2",
		"DELETE FROM postings WHERE entry = 2",
		"DELETE FROM postings WHERE entry = 2 AND line = 1",
		"UPDATE entries SET cause = 'other' WHERE number = 2",
		"UPDATE entries SET time = time + 1 WHERE number = 2",
		"UPDATE entries SET key = 'other' WHERE number = 2",
		"UPDATE entries SET authorisation = 'T1/000003/603401000003' WHERE number = 2",
		"UPDATE entries SET hash = zeroblob(32) WHERE number = 6",
		"PRAGMA foreign_keys = OFF; DELETE FROM postings WHERE entry = 6; DELETE FROM entries WHERE number = 6",
		"PRAGMA foreign_keys = OFF; UPDATE entries SET number = 7 WHERE number = 6; UPDATE postings SET entry = 7 WHERE entry = 6",
		"UPDATE balances SET minor = minor + 1 WHERE account = 'card/1'",
		"DELETE FROM balances WHERE account = 'card/1'",
		"INSERT INTO balances VALUES ('card/9', 'EUR', 1)",
		"UPDATE authorisations SET state = 'declined' WHERE stan = '000001'",
		"UPDATE authorisations SET state = 'approved' WHERE stan = '000003'",
		"UPDATE authorisations SET state = 'odd' WHERE stan = '000003'",
		"DELETE FROM authorisations WHERE stan = '000001'",
		"UPDATE orders SET state = 'open' WHERE id = 'order-1'",
		"UPDATE orders SET state = 'paid' WHERE id = 'order-2'",
		"UPDATE orders SET state = 'paid' WHERE id = 'order-3'",
		"UPDATE orders SET state = 'odd' WHERE id = 'order-2'",
		"UPDATE orders SET minor = 1 WHERE id = 'order-1'",
		"UPDATE orders SET authorisation = '' WHERE id = 'order-1'",
		"DELETE FROM orders WHERE id = 'order-1'",
	} {
		t.Run(query, func(t *testing.T) {
			s := newStore(t).(store)
			l := s.Open(t)
			ledgertest.Sample(t, l)
			ledgertest.Clean(t, l)
			if _, err := s.db(t).Exec(query); err != nil {
				t.Fatal(err)
			}
			r, err := ledger.Audit(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Problems) == 0 {
				t.Error("the audit finds nothing")
			}
		})
	}
}

// copyFiles copies a database as it is on disk at this moment, which is what a
// process that was killed leaves behind.
func copyFiles(t *testing.T, s store) store {
	t.Helper()
	to := store(filepath.Join(t.TempDir(), "copy.db"))
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(string(s) + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(string(to)+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
