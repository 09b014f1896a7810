//go:build unix

package dukpt

import (
	"syscall"
	"testing"
	"time"
)

// processorTime is the processor time that this process used, the collector's
// included: on a machine that is not ours alone it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
