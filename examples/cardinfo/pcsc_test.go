//go:build pcsc && linux

package main

import (
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/pcsc/pcsctest"
)

// TestPCSC reads a card behind a real pcscd.
func TestPCSC(t *testing.T) {
	pcsctest.Start(t).Insert(t, 0, "cda")
	code, out, errs := cardinfo(t, "-reader", "pcsc")
	if code != exitDone || !strings.Contains(out, "contact card, T=1") || !strings.Contains(out, "verified  ICC certificate") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
