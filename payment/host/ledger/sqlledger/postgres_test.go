//go:build postgres && unix

package sqlledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger/pgtest"
)

// schemaStore is a ledger in a PostgreSQL schema.
type schemaStore string

func (s schemaStore) db(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", string(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Open opens the ledger with connections of its own.
func (s schemaStore) Open(t *testing.T) ledger.Ledger {
	t.Helper()
	l, err := OpenPostgres(context.Background(), s.db(t))
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

func TestPostgresContract(t *testing.T) {
	c := pgtest.Start(t)
	ledgertest.Run(t, func(*testing.T) ledgertest.Store { return schemaStore(c.Schema()) })
	t.Run("without LOCK TABLE", func(t *testing.T) {
		ledgertest.Run(t, func(*testing.T) ledgertest.Store { return rowStore{schemaStore(c.Schema())} })
	})
}

// rowStore waits for others as with a database that knows rows alone.
type rowStore struct{ schemaStore }

func (s rowStore) Open(t *testing.T) ledger.Ledger {
	t.Helper()
	d := postgresDialect()
	d.take = takeRow
	l, err := open(t.Context(), s.db(t), d, readConns)
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

func TestPostgresVersion(t *testing.T) {
	c := pgtest.Start(t)
	for name, query := range map[string]string{
		"newer version":              "UPDATE payunit_ledger SET version = 99",
		"another program's database": "DROP TABLE payunit_ledger",
	} {
		t.Run(name, func(t *testing.T) {
			s := schemaStore(c.Schema())
			s.Open(t)
			db := s.db(t)
			if _, err := db.Exec(query); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenPostgres(t.Context(), db); !errors.Is(err, ledger.ErrVersion) {
				t.Errorf("got %v, want ErrVersion", err)
			}
		})
	}
	t.Run("upgraded from version 8", func(t *testing.T) {
		s := schemaStore(c.Schema())
		ledgertest.Sample(t, s.Open(t))
		db := s.db(t)
		if _, err := db.Exec("DROP INDEX outgoing_by_number; UPDATE payunit_ledger SET version = 8"); err != nil {
			t.Fatal(err)
		}
		if r := ledgertest.Clean(t, s.Open(t)); r.Orders != 5 {
			t.Errorf("after the upgrade: %+v", r)
		}
		var found, indexes int
		if err := db.QueryRow("SELECT version, (SELECT count(*) FROM pg_indexes WHERE indexname = 'outgoing_by_number' AND schemaname = current_schema()) FROM payunit_ledger").Scan(&found, &indexes); err != nil || found != version || indexes != 1 {
			t.Errorf("version %d, %d indexes, %v", found, indexes, err)
		}
	})
	t.Run("many servers start at once", func(t *testing.T) {
		s := schemaStore(c.Schema())
		var wg sync.WaitGroup
		for range 6 {
			db := s.db(t)
			wg.Go(func() {
				l, err := OpenPostgres(context.Background(), db)
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(l.Update(context.Background(), func(tx ledger.Tx) error { _, err := tx.Next("n"); return err }), l.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		update := s.Open(t)
		if err := update.Update(t.Context(), func(tx ledger.Tx) error {
			n, err := tx.Next("n")
			if n != 7 {
				t.Errorf("got %d, want 7", n)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}

// A database that answers before it has synced is refused.
func TestPostgresNotDurable(t *testing.T) {
	c := pgtest.Start(t)
	s := schemaStore(c.Schema())
	s.Open(t)
	c.SQL("ALTER SYSTEM SET fsync = off")
	c.SQL("SELECT pg_reload_conf()")
	for range 100 {
		var got string
		if err := s.db(t).QueryRow("SHOW fsync").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got == "off" {
			break
		}
	}
	if _, err := OpenPostgres(t.Context(), s.db(t)); err == nil {
		t.Error("a database without fsync is taken")
	}
}

// The database goes down as in a power loss and comes back, again and again,
// while two servers deposit: what was acknowledged is there, what was not is
// there at most once, and both go on without being opened again.
func TestPostgresRestarted(t *testing.T) {
	c := pgtest.Start(t)
	s := schemaStore(c.Schema())
	var acknowledged, tried atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for server := range 2 {
		l := s.Open(t)
		for worker := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					tried.Add(1)
					if err := l.Update(context.Background(), deposit(t, fmt.Sprintf("%d/%d/%d", server, worker, i))); err == nil {
						acknowledged.Add(1)
					}
				}
			})
		}
	}
	for range 3 {
		for before := acknowledged.Load(); acknowledged.Load() < before+20; {
			if _, err := s.db(t).Exec("SELECT pg_sleep(0.01)"); err != nil {
				t.Log(err)
			}
		}
		c.Crash()
	}
	for before := acknowledged.Load(); acknowledged.Load() < before+20; {
		if _, err := s.db(t).Exec("SELECT pg_sleep(0.01)"); err != nil {
			t.Log(err)
		}
	}
	close(stop)
	wg.Wait()
	l := s.Open(t)
	got := deposited(t, l)
	if got < acknowledged.Load() || got > tried.Load() {
		t.Errorf("%d deposits, %d acknowledged of %d", got, acknowledged.Load(), tried.Load())
	}
	ledgertest.Clean(t, l)
	t.Logf("%d deposits, %d acknowledged of %d", got, acknowledged.Load(), tried.Load())
}

// TestPostgresKilled kills a server that deposits as fast as it can, with a
// signal that it can't catch, while another one works on the same database.
func TestPostgresKilled(t *testing.T) {
	if dsn := os.Getenv(childEnv + "_PG"); dsn != "" {
		l := schemaStore(dsn).Open(t)
		for i := 0; ; i++ {
			if err := l.Update(t.Context(), deposit(t, fmt.Sprintf("%d/%d", os.Getpid(), i))); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stdout.WriteString("+"); err != nil {
				os.Exit(1)
			}
		}
	}
	s := schemaStore(pgtest.Start(t).Schema())
	l := s.Open(t)
	want := int64(0)
	for round := 1; round <= 5; round++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPostgresKilled$")
		cmd.Env = append(os.Environ(), childEnv+"_PG="+string(s))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		for n := range 7 * round {
			if _, err := out.Read(buf); err != nil || buf[0] != '+' {
				t.Fatalf("round %d: the process says %q, %v", round, buf, err)
			}
			if err := l.Update(t.Context(), deposit(t, fmt.Sprintf("here/%d/%d", round, n))); err != nil {
				t.Error(err)
			}
			want += 2
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := out.Read(buf)
			want += int64(n)
			if err != nil {
				break
			}
		}
		_ = cmd.Wait()
		// The killed server holds nobody up, and this waits for its commit.
		if err := l.Update(t.Context(), deposit(t, fmt.Sprintf("here/%d/last", round))); err != nil {
			t.Error(err)
		}
		want++
		got := deposited(t, l)
		if got < want || got > want+1 {
			t.Errorf("round %d: %d deposits, %d acknowledged", round, got, want)
		}
		ledgertest.Clean(t, l)
		want = got
	}
}
