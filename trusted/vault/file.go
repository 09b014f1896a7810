package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/payunit/payunit/trusted"
)

// file is what the vault needs of a file; tests put faults behind it.
type file interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	Close() error
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	s, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return s.Size(), nil
}

func openFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func createFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// replace moves a synced file into place and syncs the folder, without which a
// power cut can undo the move.
func replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// storageError tells a full medium from other failures.
func storageError(err error) error {
	if isFull(err) && !errors.Is(err, trusted.ErrStorageFull) {
		return fmt.Errorf("%w: %w", trusted.ErrStorageFull, err)
	}
	return err
}
