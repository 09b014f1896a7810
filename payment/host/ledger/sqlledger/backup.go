package sqlledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// ErrBackUp: this database has programs of its own for back-ups.
var ErrBackUp = errors.New("sqlledger: no back-up of this database: use its own programs, pg_dump or pg_basebackup")

// BackUp writes a copy of the ledger as it is at one moment into a new file,
// while others go on writing. The copy is a ledger like any other, and on disk
// when BackUp returns. Errors wrap ErrBackUp, os.ErrExist, or are the database's.
func (l *Ledger) BackUp(ctx context.Context, path string) (err error) {
	if l.d.take != "" {
		return ErrBackUp
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("sqlledger: back-up: %s: %w", path, os.ErrExist))
	}
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlledger: back-up: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("sqlledger: back-up: %w", err)
	}
	names := []string{path}
	if runtime.GOOS != "windows" {
		// Where a directory is no file, its entries are durable by themselves.
		names = append(names, filepath.Dir(path))
	}
	for _, name := range names {
		if err := syncPath(name); err != nil {
			return fmt.Errorf("sqlledger: back-up: %w", err)
		}
	}
	return nil
}

func syncPath(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
