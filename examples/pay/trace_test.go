package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/trace"
)

// TestTrace records a payment, masked, and lets its recording be the card of
// another: the terminal goes the same way, and the issuer knows no such card.
func TestTrace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sale.jsonl")
	fixed := []string{"-pin", "1234", "-seed", "1", "-now", "2026-11-24T10:00:00Z"}
	if code, out, errs := pay(t, append(fixed, "-trace", file)...); code != exitDone {
		t.Fatalf("recording: exit %d\n%s%s", code, out, errs)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); !strings.Contains(s, `"masked":true`) || strings.Contains(s, "4761739001010010") {
		t.Fatalf("the recording is not masked:\n%.300s", s)
	}
	code, out, errs := pay(t, append(fixed, "-reader", "replay:"+file)...)
	if code != exitDeclined || !strings.Contains(out, "invalid card number") || !strings.Contains(out, "audit: 0 entries") {
		t.Errorf("replay: exit %d, want %d and a bank that knows no such card\n%s%s", code, exitDeclined, out, errs)
	}
	if err := os.WriteFile(file, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := pay(t, append(fixed, "-reader", "replay:"+file)...); code != exitError || !strings.Contains(errs, "line") {
		t.Errorf("half a recording: exit %d, %s", code, errs)
	}
}

// TestTraceOfTwoTaps: a phone that is unlocked between two taps is recorded twice.
func TestTraceOfTwoTaps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tap.jsonl")
	code, out, errs := pay(t, "-pin", "1234", "-interface", "contactless", "-card", "phone", "-amount", "99.00", "-trace", file)
	if code != exitDone || !strings.Contains(out, "tap-2.jsonl") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, name := range []string{file, filepath.Join(filepath.Dir(file), "tap-2.jsonl")} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := f.Stat(); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", name, st.Mode(), err)
		}
		tr, err := trace.Parse(f)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || len(tr.Exchanges) < 2 || tr.Interface != cardreader.Contactless {
			t.Errorf("%s: %+v, %v", name, tr, err)
		}
	}
}
