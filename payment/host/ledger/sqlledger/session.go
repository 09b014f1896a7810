package sqlledger

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
)

// session is a connection with its prepared statements.
type session struct {
	conn  *sql.Conn
	d     *dialect
	stmts map[string]*sql.Stmt
}

// setting is made on a connection and asked back: a file system without shared
// memory, for one, refuses the write-ahead log in silence.
type setting struct {
	// set makes it; empty for what can only be asked.
	set, ask, want string
	// absent: a database that does not know it is taken as it is.
	absent bool
}

func (l *Ledger) connect(ctx context.Context) (*session, error) {
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlledger: connecting: %w", err)
	}
	s := &session{conn: conn, d: &l.d, stmts: map[string]*sql.Stmt{}}
	for _, p := range l.d.settings {
		if err := p.make(ctx, conn); err != nil {
			s.discard()
			return nil, fmt.Errorf("sqlledger: %s: %w", cmp.Or(p.set, p.ask), err)
		}
	}
	return s, nil
}

func (p setting) make(ctx context.Context, conn *sql.Conn) error {
	if p.set != "" {
		if _, err := conn.ExecContext(ctx, p.set); err != nil {
			return err
		}
	}
	var got string
	err := conn.QueryRowContext(ctx, p.ask).Scan(&got)
	if p.absent && sqlState(err) == undefinedObject {
		return nil
	}
	if err == nil && !strings.EqualFold(got, p.want) {
		err = fmt.Errorf("the database answers %q", got)
	}
	return err
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

func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(ctx, s.d.bind(query))
	if err != nil {
		return nil, err
	}
	s.stmts[query] = st
	return st, nil
}

func (s *session) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.result(ctx, query, args...)
	return err
}

func (s *session) result(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}
