package monitor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/trusted"
)

// checked is what a monitor finds.
func checked(t *testing.T, m *Monitor) []trusted.SignalID {
	t.Helper()
	found, err := m.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []trusted.SignalID
	for _, s := range found {
		ids = append(ids, s.ID)
	}
	return ids
}

func monitor(t *testing.T, c Config) *Monitor {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestThisProcess: this very process is as it was built, and is told from one
// that is not.
func TestThisProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	right := sha256.Sum256(b)
	if got := checked(t, monitor(t, Config{Binary: right[:]})); len(got) != 0 {
		t.Errorf("signals %v", got)
	}
	wrong := right
	wrong[31] ^= 1
	m := monitor(t, Config{Binary: wrong[:]})
	for range 2 {
		if d := cmp.Diff([]trusted.SignalID{trusted.SignalBinary}, checked(t, m)); d != "" {
			t.Error(d)
		}
	}
	if got := checked(t, monitor(t, Config{Binary: wrong[:], Ignore: []trusted.SignalID{trusted.SignalBinary}})); len(got) != 0 {
		t.Errorf("ignored signals %v", got)
	}
}

// TestTracedProcess runs a process under this one's trace, as a debugger does.
func TestTracedProcess(t *testing.T) {
	const child = "MONITOR_TEST_CHILD"
	if os.Getenv(child) != "" {
		fmt.Println(checked(t, monitor(t, Config{})))
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A trace is the thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestTracedProcess$")
	cmd.Env = append(os.Environ(), child+"=1", "GODEBUG=asyncpreemptoff=1")
	cmd.Stdout, cmd.Stderr = in, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := errors.Join(cmd.Start(), in.Close()); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	for {
		var s syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &s, 0, nil); err != nil {
			t.Fatal(err)
		}
		if s.Exited() || s.Signaled() {
			if s.ExitStatus() != 0 {
				t.Errorf("the traced process ended with %v", s)
			}
			break
		}
		signal := 0
		if s.StopSignal() != syscall.SIGTRAP {
			signal = int(s.StopSignal())
		}
		if err := syscall.PtraceCont(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 256)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(buf[:min(n, len("[debugger]"))]); got != "[debugger]" {
		t.Errorf("the traced process found %q", buf[:n])
	}
}

// TestBlind: what can't be looked at is an error, never a clean bill.
func TestBlind(t *testing.T) {
	for _, missing := range []string{"status", "maps", "exe"} {
		dir := t.TempDir()
		for name, content := range map[string]string{"status": "TracerPid:\t0\n", "maps": "00-01 r-xp 0 0 0 /opt/pay\n"} {
			if name == missing {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if missing != "exe" {
			if err := os.Symlink("/opt/pay", filepath.Join(dir, "exe")); err != nil {
				t.Fatal(err)
			}
		}
		m := monitor(t, Config{})
		m.proc = dir
		if _, err := m.Check(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	m := monitor(t, Config{Binary: make([]byte, 32)})
	dir := t.TempDir()
	m.proc = dir
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "status"), []byte("TracerPid: 0\n"), 0o600), os.WriteFile(filepath.Join(dir, "maps"), []byte("00-01 r-xp 0 0 0 /nowhere/pay\n"), 0o600),
		os.Symlink("/nowhere/pay", filepath.Join(dir, "exe"))); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Check(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a program to hash: %v", err)
	}
}
