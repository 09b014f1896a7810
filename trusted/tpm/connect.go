package tpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

// maxResponse is beyond any response's size (TPM_PT_MAX_RESPONSE_SIZE).
const maxResponse = 1 << 16

// Conn is a way to a TPM that has to be closed. Safe for concurrent use.
type Conn struct {
	mu sync.Mutex
	rw io.ReadWriteCloser
}

var _ Transport = (*Conn)(nil)

// Connect opens a way to a TPM: the path of a device ("/dev/tpmrm0", the Linux
// kernel's resource manager) or of a Unix socket (that of swtpm), or HOST:PORT.
// What goes over a port is encrypted where it is secret, and nothing else.
func Connect(address string) (*Conn, error) {
	rw, err := connect(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTPM, err)
	}
	return &Conn{rw: rw}, nil
}

func connect(address string) (io.ReadWriteCloser, error) {
	s, err := os.Stat(address)
	switch {
	case err == nil && s.Mode()&os.ModeSocket != 0:
		return net.Dial("unix", address)
	case err == nil:
		return os.OpenFile(address, os.O_RDWR, 0)
	case !errors.Is(err, os.ErrNotExist) || strings.ContainsRune(address, os.PathSeparator):
		return nil, err
	}
	return net.Dial("tcp", address)
}

// Send implements Transport.
func (c *Conn) Send(command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.rw.Write(command); err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	// A device gives a whole response to one read, a socket may give parts
	// (TPM 2.0 Part 1, 18.1: tag 2, size of the whole 4, code 4).
	buf := make([]byte, maxResponse)
	n, err := io.ReadAtLeast(c.rw, buf, 10)
	if err != nil {
		return nil, fmt.Errorf("response: %w", err)
	}
	size := binary.BigEndian.Uint32(buf[2:])
	if size < 10 || size > maxResponse || n > int(size) {
		return nil, fmt.Errorf("response of %d bytes says that it has %d", n, size)
	}
	if _, err := io.ReadFull(c.rw, buf[n:size]); err != nil {
		return nil, fmt.Errorf("response: %w", err)
	}
	return buf[:size:size], nil
}

// Close closes the way.
func (c *Conn) Close() error { return c.rw.Close() }
