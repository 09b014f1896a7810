package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/payunit/payunit/trusted"
)

const (
	errorSharingViolation syscall.Errno = 32
	errorHandleDiskFull   syscall.Errno = 39
	errorDiskFull         syscall.Errno = 112
)

// acquire opens the lock file shared with nobody; Windows closes it with the
// process, however it ends.
func acquire(path string) (io.Closer, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("vault: lock file: %w", err)
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errorSharingViolation) {
		return nil, fmt.Errorf("vault: %w", trusted.ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("vault: lock file: %w", err)
	}
	return os.NewFile(uintptr(h), path), nil
}

// syncDir does nothing: NTFS journals the move.
func syncDir(string) error { return nil }

func isFull(err error) bool {
	return errors.Is(err, errorDiskFull) || errors.Is(err, errorHandleDiskFull)
}
