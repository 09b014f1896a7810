// Package monitor is a trusted.Monitor of the process that it runs in: whether a
// debugger is attached, whether code that is no part of the program is loaded,
// and whether the program is the one that was released. It sees what an attacker
// without the rights of the operating system does; who controls that controls
// what the monitor sees.
package monitor

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/payunit/payunit/trusted"
)

// ErrUnsupported: the platform does not let a process look at itself, or this
// package does not know how.
var ErrUnsupported = errors.New("monitor: not supported on this platform")

// Config configures a monitor.
type Config struct {
	// Binary is the SHA-256 digest of the released program, 32 bytes, as a
	// signed manifest names it; without it the program is not compared.
	Binary []byte
	// Libraries are the path prefixes of libraries that belong to the
	// program; nil means those of the system, /lib, /lib64, /usr/lib and
	// /usr/lib64.
	Libraries []string
	// Ignore are signals that are not reported, such as
	// trusted.SignalDebugger while the program is being developed.
	Ignore []trusted.SignalID
}

// Monitor looks at its own process. Safe for concurrent use.
type Monitor struct {
	c    Config
	proc string // where the process shows itself; tests put files there

	once   sync.Once
	digest [sha256.Size]byte
	err    error
}

var _ trusted.Monitor = (*Monitor)(nil)

// New makes a monitor.
func New(c Config) (*Monitor, error) {
	if len(c.Binary) != 0 && len(c.Binary) != sha256.Size {
		return nil, fmt.Errorf("monitor: Config.Binary has %d bytes, want %d", len(c.Binary), sha256.Size)
	}
	if c.Libraries == nil {
		c.Libraries = []string{"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"}
	}
	return &Monitor{c: c, proc: "/proc/self"}, nil
}

// Check implements trusted.Monitor.
func (m *Monitor) Check(ctx context.Context) ([]trusted.Signal, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := m.platform()
	if err != nil {
		return nil, err
	}
	if len(m.c.Binary) != 0 {
		// What runs is mapped: it does not change under the process, and is
		// read once.
		m.once.Do(func() { m.digest, m.err = m.program() })
		if m.err != nil {
			return nil, m.err
		}
		if subtle.ConstantTimeCompare(m.digest[:], m.c.Binary) != 1 {
			found = append(found, trusted.Signal{ID: trusted.SignalBinary, Detail: fmt.Sprintf("SHA-256 %x", m.digest)})
		}
	}
	out := found[:0]
	for _, s := range found {
		if !m.ignored(s.ID) {
			out = append(out, s)
		}
	}
	return out, nil
}

func (m *Monitor) ignored(id trusted.SignalID) bool {
	for _, i := range m.c.Ignore {
		if i == id {
			return true
		}
	}
	return false
}

// digestOf hashes a file.
func digestOf(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, fmt.Errorf("monitor: program: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, fmt.Errorf("monitor: program: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// tracer reads the number of the process that traces this one, "0" for none
// (Linux, proc_pid_status(5)).
func tracer(status io.Reader) (string, error) {
	s := bufio.NewScanner(status)
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), "TracerPid:"); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", errors.Join(errors.New("monitor: the process's status names no tracer"), s.Err())
}

// mappings reads what is executable in the process's memory (Linux,
// proc_pid_maps(5)): address, permissions, offset, device, inode, path.
func mappings(maps io.Reader, program string, libraries []string) ([]trusted.Signal, error) {
	var out []trusted.Signal
	seen := map[string]bool{}
	s := bufio.NewScanner(maps)
	lines := 0
	for s.Scan() {
		lines++
		fields := strings.Fields(s.Text())
		if len(fields) < 5 || len(fields[1]) < 4 {
			return nil, fmt.Errorf("monitor: line %d of the process's memory map is malformed", lines)
		}
		if fields[1][2] != 'x' {
			continue
		}
		path := strings.Join(fields[5:], " ")
		if fields[1][1] == 'w' {
			out = append(out, trusted.Signal{ID: trusted.SignalWritableCode, Detail: strings.TrimSpace(fields[0] + " " + path)})
		}
		if belongs(path, program, libraries) || seen[path] {
			continue
		}
		seen[path] = true
		out = append(out, trusted.Signal{ID: trusted.SignalForeignCode, Detail: path})
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("monitor: memory map: %w", err)
	}
	if lines == 0 {
		return nil, errors.New("monitor: the process's memory map is empty")
	}
	return out, nil
}

// belongs reports whether code of a path is the program's. What has no path is
// memory, and no file.
func belongs(path, program string, libraries []string) bool {
	if path == "" || path == program || strings.HasPrefix(path, "[") {
		return true
	}
	for _, l := range libraries {
		if strings.HasPrefix(path, l) && !strings.Contains(path, "/../") {
			return true
		}
	}
	return false
}
