package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/payunit/payunit/trusted"
)

// file is what the vault needs of a file.
type file interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	Close() error
}

// disk is what the vault needs of a file system; tests put one behind it that
// loses whatever was not synced.
type disk interface {
	// mkdir makes a folder and those above it, durably.
	mkdir(dir string) error
	// lock keeps others out until it is closed or the process ends.
	lock(path string) (io.Closer, error)
	// open opens a file; the error is os.ErrNotExist when there is none.
	open(path string) (file, error)
	// create makes a file, or empties it.
	create(path string) (file, error)
	rename(from, to string) error
	// remove removes a file; one that is not there is no error.
	remove(path string) error
	// syncDir makes what happened to a folder's entries durable.
	syncDir(dir string) error
}

type osDisk struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	s, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return s.Size(), nil
}

func (osDisk) lock(path string) (io.Closer, error) { return acquire(path) }

func (osDisk) open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (osDisk) syncDir(dir string) error { return syncDir(dir) }

func (d osDisk) mkdir(dir string) error {
	s, err := os.Stat(dir)
	switch {
	case err == nil && s.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is no folder", filepath.Base(dir))
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := d.mkdir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return d.syncDir(parent)
}

// replace moves a synced file into place and syncs the folder, without which a
// power cut can undo the move.
func replace(d disk, from, to string) error {
	if err := d.rename(from, to); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(to))
}

// existingOrNew reads a file of n bytes, or makes it, durably, of random ones.
func existingOrNew(d disk, path string, n int, random io.Reader) (_ []byte, err error) {
	f, err := d.open(path)
	if errors.Is(err, os.ErrNotExist) {
		b := make([]byte, n)
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("randomness: %w", err)
		}
		return b, writeNew(d, path, b)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size != int64(n) {
		return nil, fmt.Errorf("%s holds %d bytes, want %d: %w", filepath.Base(path), size, n, trusted.ErrTampered)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, err
	}
	return b, nil
}

// writeNew puts a file into place, whole or not at all.
func writeNew(d disk, path string, b []byte) error {
	f, err := d.create(path + ".new")
	if err != nil {
		return storageError(err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = replace(d, path+".new", path)
	}
	if err != nil {
		return errors.Join(storageError(err), d.remove(path+".new"))
	}
	return nil
}

// storageError tells a full medium from other failures.
func storageError(err error) error {
	if isFull(err) && !errors.Is(err, trusted.ErrStorageFull) {
		return fmt.Errorf("%w: %w", trusted.ErrStorageFull, err)
	}
	return err
}

// WriteFile puts a file into place, whole or not at all, durably. It is for key
// sources that keep a file of their own in the folder.
func WriteFile(path string, b []byte) error {
	if err := writeNew(osDisk{}, path, b); err != nil {
		return fmt.Errorf("vault: %s: %w", filepath.Base(path), err)
	}
	return nil
}
