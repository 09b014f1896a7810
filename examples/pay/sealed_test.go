//go:build !race

// The race detector makes a minute of the second that a passphrase costs.

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSealedCassette: under a passphrase nothing stands in the clear, and it
// opens with that passphrase alone.
func TestSealedCassette(t *testing.T) {
	dir := t.TempDir()
	file, right, wrong := filepath.Join(dir, "payment.age"), filepath.Join(dir, "right"), filepath.Join(dir, "wrong")
	for name, text := range map[string]string{right: "correct horse\n", wrong: "battery staple\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, want, errs := pay(t, "-json", "-pin", "1234", "-trace", file, "-cassette", "-passphrase-file", right)
	if code != exitDone {
		t.Fatalf("recording: exit %d\n%s%s", code, want, errs)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("4761739001010010")) || bytes.Contains(b, []byte("cmd")) {
		t.Error("the cassette is in the clear")
	}
	if code, got, errs := pay(t, "-json", "-reader", "replay:"+file, "-passphrase-file", right); code != exitDone || got != want {
		t.Errorf("exit %d\n%s%s", code, got, errs)
	}
	for _, args := range [][]string{{"-passphrase-file", wrong}, nil} {
		code, out, _ := pay(t, append(args, "-json", "-reader", "replay:"+file)...)
		if code != exitError || !strings.Contains(out, "passphrase") {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
	}
}
