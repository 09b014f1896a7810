package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/trace"
)

// TestColour: colours change no character of a report, and a pipe has none.
func TestColour(t *testing.T) {
	file, capk := session(t, trace.Options{RevealCardholderData: true})
	codes := regexp.MustCompile("\x1b\\[[0-9]*m")
	for _, args := range [][]string{{"trace", file}, {"oda", file, "-capk", capk, "-date", "2099-01-01"}, {"tlv", "6F098407A0000000031010"}, {"apdu", "6A82"}} {
		_, without, _ := explain(t, "", args...)
		_, with, _ := explain(t, "", append(args, "-color", "always")...)
		if strings.Contains(without, "\x1b") || !strings.Contains(with, "\x1b") {
			t.Errorf("%q: colours in a pipe, or none on a terminal", args)
		}
		if codes.ReplaceAllString(with, "") != without {
			t.Errorf("%q: the colours change the text", args)
		}
	}
	if code, _, diag := explain(t, "", "tlv", "9A03261124", "-color", "red"); code != exitUsage || !strings.Contains(diag, "-color") {
		t.Errorf("exit %d, %s", code, diag)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if !terminal(null) || terminal(&strings.Builder{}) {
		t.Error("a character device and a buffer are not told apart")
	}
}
