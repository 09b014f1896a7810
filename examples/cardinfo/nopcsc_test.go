//go:build !pcsc

package main

import (
	"strings"
	"testing"
)

// TestWithoutDriver: a build without PC/SC says how to make one with it.
func TestWithoutDriver(t *testing.T) {
	for _, reader := range []string{"pcsc", "pcsc:ACME"} {
		if code, _, errs := cardinfo(t, "-reader", reader); code != exitError || !strings.Contains(errs, "-tags pcsc") {
			t.Errorf("exit %d: %s", code, errs)
		}
	}
}
