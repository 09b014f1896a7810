package vault

import (
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/payunit/payunit/trusted/storagetest"
)

var (
	kills   = flag.Int("kills", 25, "how many processes TestKill kills")
	victim  = flag.String("victim", "", "folder: be the process that TestKill kills")
	killFor = flag.Duration("killspan", 40*time.Millisecond, "longest life of a process that TestKill kills")
)

// TestKill kills processes (SIGKILL) in the middle of puts, counters and DUKPT
// keys on one folder.
func TestKill(t *testing.T) {
	if *victim != "" {
		v, err := Open(t.Context(), *victim, testConfig())
		if err != nil {
			t.Fatal(err)
		}
		t.Fatal(storagetest.Loop(t.Context(), v, os.Stdout))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Log(storagetest.Kill(t, *kills, *killFor, func() *exec.Cmd {
		return exec.CommandContext(t.Context(), self, "-test.run=^TestKill$", "-victim="+dir)
	}))
}
