//go:build swtpm

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/trusted/tpm/swtpmtest"
)

// socket puts a machine's TPM behind a Unix socket.
func socket(t *testing.T) string {
	t.Helper()
	m, path := swtpmtest.Start(t), filepath.Join(t.TempDir(), "tpm")
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
				defer func() { _ = c.Close() }()
				buf := make([]byte, 4096)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					r, err := m.Send(buf[:n])
					if err != nil {
						return
					}
					if _, err := c.Write(r); err != nil {
						return
					}
				}
			}()
		}
	}()
	return path
}

// TestTPM pays with a state that a TPM seals, and is refused an older copy.
func TestTPM(t *testing.T) {
	storage, dir := "tpm:"+socket(t), filepath.Join(t.TempDir(), "state")
	for range 2 {
		if code, out, errs := pay(t, "-pin", "1234", "-state", dir, "-storage", storage); code != exitDone || !strings.Contains(out, "approved") {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
	}
	state := filepath.Join(dir, "unit", "vault")
	old, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := pay(t, "-pin", "1234", "-state", dir, "-storage", storage); code != exitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if err := os.WriteFile(state, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := pay(t, "-pin", "1234", "-state", dir, "-storage", storage); code != exitError || !strings.Contains(errs, "rolled back") {
		t.Errorf("an older copy: exit %d: %s", code, errs)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := pay(t, "-pin", "1234", "-state", dir, "-storage", storage); code != exitError || !strings.Contains(errs, "rolled back") {
		t.Errorf("no folder: exit %d: %s", code, errs)
	}
	if code, _, errs := pay(t, "-forget", "-storage", storage); code != exitDone {
		t.Errorf("-forget: exit %d: %s", code, errs)
	}
	if code, _, errs := pay(t, "-pin", "1234", "-state", dir, "-storage", storage); code != exitDone {
		t.Errorf("begun anew: exit %d: %s", code, errs)
	}
}
