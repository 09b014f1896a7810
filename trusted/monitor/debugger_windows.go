package monitor

import (
	"crypto/sha256"
	"fmt"
	"os"
	"syscall"

	"github.com/payunit/payunit/trusted"
)

func (*Monitor) program() ([sha256.Size]byte, error) {
	path, err := os.Executable()
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("monitor: program: %w", err)
	}
	return digestOf(path)
}

// platform asks for a debugger alone: loaded modules are not looked at.
func (*Monitor) platform() ([]trusted.Signal, error) {
	proc := syscall.NewLazyDLL("kernel32.dll").NewProc("IsDebuggerPresent")
	if err := proc.Find(); err != nil {
		return nil, fmt.Errorf("monitor: debugger: %w", err)
	}
	if present, _, _ := proc.Call(); present != 0 {
		return []trusted.Signal{{ID: trusted.SignalDebugger}}, nil
	}
	return nil, nil
}
