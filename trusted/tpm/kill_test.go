//go:build swtpm

package tpm

import (
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/payunit/payunit/trusted/storagetest"
	"github.com/payunit/payunit/trusted/tpm/swtpmtest"
)

var (
	kills      = flag.Int("kills", 25, "how many processes TestKill kills")
	victim     = flag.String("victim", "", "folder: be the process that TestKill kills")
	victimChip = flag.String("chip", "", "socket of the TPM of that process")
)

// socket puts a machine's TPM behind a Unix socket, for other processes.
func socket(t *testing.T, m *swtpmtest.Machine) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tpm")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 4096)
				for {
					// A command comes in one write; its process may be dead
					// when the answer goes back.
					n, err := c.Read(buf)
					if err != nil {
						break
					}
					r, err := m.Send(buf[:n])
					if err == nil {
						_, err = c.Write(r)
					}
					if err != nil {
						break
					}
				}
				if err := c.Close(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Error(err)
				}
			}()
		}
	}()
	return path
}

func victimConfig(t *testing.T, chip string) Config {
	t.Helper()
	conn, err := Connect(chip)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := config(conn)
	c.Exclusive = true
	return c
}

// TestKill kills processes (SIGKILL) in the middle of their work on one folder
// and one TPM.
func TestKill(t *testing.T) {
	if *victim != "" {
		s, err := Open(t.Context(), *victim, victimConfig(t, *victimChip))
		if err != nil {
			t.Fatal(err)
		}
		t.Fatal(storagetest.Loop(t.Context(), s, os.Stdout))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, chip := t.TempDir(), socket(t, swtpmtest.Start(t))
	// The first opening of all is no part of it: cut off between the counter
	// and the folder, it asks for Forget.
	closed(t, open(t, dir, victimConfig(t, chip)))
	t.Log(storagetest.Kill(t, *kills, 150*time.Millisecond, func() *exec.Cmd {
		return exec.CommandContext(t.Context(), self, "-test.run=^TestKill$", "-victim="+dir, "-chip="+chip)
	}))
}
