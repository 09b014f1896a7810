//go:build unix

package swtpmtest

import (
	"net"
	"os"
	"syscall"
)

// pair returns the two ends of a Unix socket.
func pair() (net.Conn, *os.File, error) {
	// A program started between the two calls must not inherit our end: the
	// TPM's end of life is seen by it.
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "tpm"), os.NewFile(uintptr(fds[1]), "swtpm")
	conn, err := net.FileConn(near)
	if err := near.Close(); err != nil {
		return nil, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	return conn, far, nil
}
