// Package swtpmtest runs a software TPM 2.0 (the program swtpm) for a test, over
// an inherited Unix socket: no port, no path, and nothing to wait for, since
// what is sent before the program listens stays in the socket. Tests that use it
// carry the build tag swtpm.
package swtpmtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
)

// patience bounds every command.
const patience = 20 * time.Second

// maxResponse is beyond any response's size.
const maxResponse = 1 << 16

// ErrClosed is a command over a closed handle, or to a TPM without power.
var ErrClosed = errors.New("swtpmtest: closed")

// Machine is a computer with a TPM of its own. Safe for concurrent use.
type Machine struct {
	tb  testing.TB
	dir string

	mu   sync.Mutex
	cmd  *exec.Cmd
	conn net.Conn
}

var _ transport.TPM = (*Machine)(nil)

// Start makes a TPM as it leaves the factory and turns it on: TPM2_Startup(CLEAR)
// is done. It ends with the test.
func Start(tb testing.TB) *Machine {
	tb.Helper()
	m := &Machine{tb: tb, dir: tb.TempDir()}
	tb.Cleanup(m.PowerOff)
	m.PowerOn()
	return m
}

// PowerOn turns on a machine that is off: what the TPM holds in non-volatile
// memory is as it was, everything else is gone.
func (m *Machine) PowerOn() {
	m.tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd != nil {
		m.tb.Fatal("swtpmtest: is on")
	}
	ours, theirs, err := pair()
	if err != nil {
		m.tb.Fatalf("swtpmtest: %v", err)
	}
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--fd", "3",
		"--tpmstate", "dir="+m.dir, "--flags", "not-need-init,startup-clear")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	err = errors.Join(cmd.Start(), theirs.Close())
	if err != nil {
		m.tb.Fatalf("swtpmtest: swtpm: %v", errors.Join(err, ours.Close()))
	}
	m.cmd, m.conn = cmd, ours
}

// PowerOff cuts the power, with no TPM2_Shutdown. A machine that is off stays so.
func (m *Machine) PowerOff() {
	m.tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	if err := m.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.tb.Errorf("swtpmtest: %v", err)
	}
	// It was killed: that is its error.
	_ = m.cmd.Wait()
	if err := m.conn.Close(); err != nil {
		m.tb.Errorf("swtpmtest: %v", err)
	}
	m.cmd, m.conn = nil, nil
}

// Restart is PowerOff and PowerOn.
func (m *Machine) Restart() {
	m.tb.Helper()
	m.PowerOff()
	m.PowerOn()
}

// Send implements transport.TPM: one command, one response.
func (m *Machine) Send(command []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == nil {
		return nil, fmt.Errorf("%w: no power", ErrClosed)
	}
	if err := m.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, fmt.Errorf("swtpmtest: %w", err)
	}
	if _, err := m.conn.Write(command); err != nil {
		return nil, fmt.Errorf("swtpmtest: command: %w", err)
	}
	// TPM 2.0 Part 1, 18: tag, size of the whole, code.
	header := make([]byte, 10)
	if _, err := io.ReadFull(m.conn, header); err != nil {
		return nil, fmt.Errorf("swtpmtest: response: %w", err)
	}
	size := binary.BigEndian.Uint32(header[2:])
	if size < 10 || size > maxResponse {
		return nil, fmt.Errorf("swtpmtest: response of %d bytes", size)
	}
	response := append(header, make([]byte, size-10)...)
	if _, err := io.ReadFull(m.conn, response[10:]); err != nil {
		return nil, fmt.Errorf("swtpmtest: response: %w", err)
	}
	return response, nil
}

// Open returns one more way to the same TPM. Closing it leaves the others, and
// what they loaded, as they are.
func (m *Machine) Open() transport.TPMCloser { return &handle{m: m} }

type handle struct {
	m *Machine

	mu     sync.Mutex
	closed bool
}

func (h *handle) Send(command []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	return h.m.Send(command)
}

func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.closed = true
	return nil
}
