//go:build pcsc && linux

package pcsc_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/payunit/payunit/cardreader/pcsc"
)

// holds names the reader whose card this program is to hold, when it is the
// other program.
const holds = "PAYUNIT_TEST_HOLDS"

func TestMain(m *testing.M) {
	reader := os.Getenv(holds)
	if reader == "" {
		os.Exit(m.Run())
	}
	if err := hold(reader); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// hold holds the card in a reader until its input ends.
func hold(reader string) error {
	s, err := pcsc.New(pcsc.Config{})
	if err != nil {
		return err
	}
	c, err := s.Reader(reader).Connect(context.Background())
	if err != nil {
		return err
	}
	fmt.Println("held")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return c.Close()
}

// holder has another program hold the card in a reader; release has it let go,
// and returns when it has.
func holder(t *testing.T, reader string) (release, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holds+"="+reader)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "held\n" {
		t.Fatalf("the other program: %q, %v", line, err)
	}
	release = func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other program: %v", err)
		}
	}
	kill = func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		// It was killed: that is its error.
		_ = cmd.Wait()
	}
	return release, kill
}
