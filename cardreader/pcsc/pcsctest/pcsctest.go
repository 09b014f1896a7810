// Package pcsctest runs a pcscd and puts cards into its virtual readers, for
// tests. The daemon and the package vsmartcard-vpcd have to be installed, and
// the test to run where nobody else listens on the virtual readers' ports.
package pcsctest

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Readers are the virtual readers as pcscd calls them.
var Readers = [2]string{"Virtual PCD 00 00", "Virtual PCD 00 01"}

// port is where the first virtual reader's driver listens.
const port = 35963

// patience bounds every wait.
const patience = 20 * time.Second

// Service is a running pcscd.
type Service struct {
	tb  testing.TB
	cmd *exec.Cmd
	// simcard is the built program.
	simcard string
}

// Start starts pcscd and returns when its virtual readers listen. It is stopped
// with the test.
func Start(tb testing.TB) *Service {
	tb.Helper()
	s := &Service{tb: tb, simcard: filepath.Join(tb.TempDir(), "simcard")}
	if out, err := exec.Command("go", "build", "-o", s.simcard, "github.com/payunit/payunit/examples/simcard").CombinedOutput(); err != nil {
		tb.Fatalf("building the software card: %v\n%s", err, out)
	}
	s.Restart()
	tb.Cleanup(s.Kill)
	return s
}

// Restart starts it again after Kill.
func (s *Service) Restart() {
	s.tb.Helper()
	s.cmd = exec.Command("pcscd", "--foreground")
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatalf("pcscd: %v", err)
	}
	for i := range Readers {
		conn, err := dial(i)
		if err != nil {
			s.tb.Fatalf("virtual reader %d: %v", i, err)
		}
		if err := conn.Close(); err != nil {
			s.tb.Error(err)
		}
	}
}

// Kill kills it.
func (s *Service) Kill() {
	s.tb.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		s.tb.Error(err)
	}
	// It was killed: that is its error.
	_ = s.cmd.Wait()
	s.cmd = nil
}

// dial waits until a virtual reader listens.
func dial(reader int) (net.Conn, error) {
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port+reader))
		if err == nil || time.Now().After(deadline) {
			return conn, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Card is a card in a virtual reader: a process of examples/simcard.
type Card struct {
	cmd  *exec.Cmd
	said bytes.Buffer
	once sync.Once
}

// Insert puts a software card of a profile into a virtual reader, 0 or 1, with
// further arguments of examples/simcard. It is taken out with the test.
func (s *Service) Insert(tb testing.TB, reader int, profile string, args ...string) *Card {
	tb.Helper()
	args = append([]string{"-profile", profile, "-vpcd", fmt.Sprintf("127.0.0.1:%d", port+reader)}, args...)
	c := &Card{cmd: exec.Command(s.simcard, args...)}
	c.cmd.Stderr = &c.said
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		c.Remove()
		if tb.Failed() {
			tb.Logf("card in reader %d: %v: %s", reader, c.cmd.ProcessState, c.said.String())
		}
	})
	return c
}

// Remove takes the card out.
func (c *Card) Remove() {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill()
		// It was killed: that is its error.
		_ = c.cmd.Wait()
	})
}
