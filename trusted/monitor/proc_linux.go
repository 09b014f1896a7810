package monitor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/payunit/payunit/trusted"
)

func (m *Monitor) program() ([sha256.Size]byte, error) { return digestOf(filepath.Join(m.proc, "exe")) }

func (m *Monitor) platform() (out []trusted.Signal, err error) {
	status, err := os.Open(filepath.Join(m.proc, "status"))
	if err != nil {
		return nil, fmt.Errorf("monitor: status: %w", err)
	}
	defer func() { err = errors.Join(err, status.Close()) }()
	pid, err := tracer(status)
	if err != nil {
		return nil, err
	}
	if pid != "0" {
		out = append(out, trusted.Signal{ID: trusted.SignalDebugger, Detail: "process " + pid})
	}
	program, err := os.Readlink(filepath.Join(m.proc, "exe"))
	if err != nil {
		return nil, fmt.Errorf("monitor: program: %w", err)
	}
	maps, err := os.Open(filepath.Join(m.proc, "maps"))
	if err != nil {
		return nil, fmt.Errorf("monitor: memory map: %w", err)
	}
	defer func() { err = errors.Join(err, maps.Close()) }()
	code, err := mappings(maps, program, m.c.Libraries)
	return append(out, code...), err
}
