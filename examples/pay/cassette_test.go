package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCassette records payments of every ending, and makes them again with no
// card, no bank and no state: the same result to the byte and the same exit code.
func TestCassette(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		exit int
	}{
		{"approved", []string{"-pin", "1234"}, exitDone},
		{"TDES DUKPT", []string{"-pin", "1234", "-pin-format", "0", "-amount", "99.00"}, exitDone},
		{"another clock", []string{"-pin", "1234", "-now", "2026-12-24T23:59:59Z", "-seed", "7"}, exitDone},
		{"offline PIN", []string{"-pin", "1234", "-card", "offline-pin"}, exitDone},
		{"T=0", []string{"-pin", "1234", "-card", "t0"}, exitDone},
		{"wrong PIN", []string{"-pin", "9999"}, exitDeclined},
		{"cancelled at the trade", []string{"-cancel", "confirm"}, exitCancelled},
		{"cancelled at the PIN", []string{"-cancel", "pin"}, exitCancelled},
		{"card removed", []string{"-pin", "1234", "-fault", "card:remove@first-gac"}, exitError},
		{"card removed after the answer", []string{"-pin", "1234", "-fault", "card:remove@second-gac"}, exitDeclined},
		{"answer lost", []string{"-pin", "1234", "-fault", faultLostAnswer, "-reply-timeout", "200ms"}, exitDeclined},
		{"link stays down", []string{"-pin", "1234", "-fault", faultLinkStays, "-reply-timeout", "200ms"}, exitUnknown},
		{"link down", []string{"-pin", "1234", "-fault", faultLinkDown}, exitError},
		{"tapped", []string{"-pin", "1234", "-interface", "contactless", "-amount", "99.00"}, exitDone},
		{"tapped phone", []string{"-interface", "contactless", "-card", "phone", "-amount", "99.00", "-pin", "1234"}, exitDone},
		{"tapped, then inserted", []string{"-interface", "both", "-card", "tap-insert", "-pin", "1234"}, exitDone},
		{"refund", []string{"-pin", "1234", "-type", "refund"}, exitDone},
		{"swiped", []string{"-pin", "1234", "-entry", "stripe", "-card", "stripe-pin"}, exitDone},
		{"swiped, then inserted", []string{"-pin", "1234", "-entry", "stripe"}, exitDone},
		{"fallback", []string{"-pin", "1234", "-entry", "fallback"}, exitDone},
		{"entered by hand", []string{"-entry", "manual"}, exitDone},
		{"entered by hand with a tip", []string{"-entry", "manual", "-tip", "1.50"}, exitDone},
		{"tip", []string{"-pin", "1234", "-tip", "1.50"}, exitDone},
		{"tip, then cancelled", []string{"-tip", "1.50", "-cancel", "confirm"}, exitCancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "payment.jsonl")
			code, want, errs := pay(t, append(c.args, "-json", "-trace", file, "-cassette")...)
			if code != c.exit {
				t.Fatalf("recording: exit %d, want %d\n%s%s", code, c.exit, want, errs)
			}
			code, got, errs := pay(t, "-json", "-reader", "replay:"+file)
			if d := cmp.Diff(want, got); d != "" || code != c.exit {
				t.Errorf("exit %d, want %d; -recorded +played\n%s%s", code, c.exit, d, errs)
			}
		})
	}
}

// TestRecoverCassette records the settling of what a payment owed.
func TestRecoverCassette(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "recover.jsonl")
	if code, out, errs := pay(t, "-json", "-pin", "1234", "-fault", faultLinkStays, "-reply-timeout", "200ms", "-state", dir); code != exitUnknown {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	code, want, errs := pay(t, "-json", "-recover", "-state", dir, "-trace", file, "-cassette")
	if code != exitDone || !strings.Contains(want, `"pending":[]`) {
		t.Fatalf("exit %d\n%s%s", code, want, errs)
	}
	if code, got, errs := pay(t, "-json", "-reader", "replay:"+file); code != exitDone || got != want {
		t.Errorf("exit %d\n%s%s", code, got, errs)
	}
}

// TestCassetteIsCompared: a cassette of which any call is left out, and one with
// any answer altered, does not pass for the recorded payment.
func TestCassetteIsCompared(t *testing.T) {
	file := filepath.Join(t.TempDir(), "payment.jsonl")
	if code, out, errs := pay(t, "-json", "-pin", "1234", "-trace", file, "-cassette"); code != exitDone {
		t.Fatalf("recording: exit %d\n%s%s", code, out, errs)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	if len(lines) < 50 {
		t.Fatalf("only %d lines", len(lines))
	}
	other := filepath.Join(t.TempDir(), "other.jsonl")
	played := func(b []byte) (int, string) {
		t.Helper()
		if err := os.WriteFile(other, b, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := pay(t, "-json", "-reader", "replay:"+other)
		return code, out + errs
	}
	reads := 0
	// Every third line: there are a hundred, and each takes a payment.
	for i := 1; i < len(lines)-1; i++ {
		if bytes.Contains(lines[i], []byte(`"op":"read","at"`)) && bytes.Contains(lines[i], []byte(`"port":"link`)) {
			// Each of them is waited for, in case the unit is about to write.
			if reads++; reads != 2 {
				continue
			}
		}
		if i%3 != 0 || bytes.Contains(lines[i], []byte(`"port":"rand","op":"read"`)) && bytes.Contains(lines[i], []byte(`"ask":1,`)) {
			// A byte that the shuffling of the keypad throws away, and that is drawn
			// again, is not missed.
			continue
		}
		without := bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil)
		if code, out := played(without); code == exitDone {
			t.Errorf("without line %d, %.60s: approved\n%s", i+1, lines[i], out)
		}
	}
	if reads < 5 {
		t.Errorf("%d reads of a link were found", reads)
	}
	if code, out := played([]byte(strings.Replace(string(whole), `"amount_minor":1234`, `"amount_minor":1235`, 1))); code != exitError || !strings.Contains(out, "amount_minor") {
		t.Errorf("another amount in the result: exit %d\n%s", code, out)
	}
	// One that was cut off shows how far it goes, and then that it ends.
	if code, out := played(bytes.Join(lines[:len(lines)/2], nil)); code != exitError || !strings.Contains(out, "no further call") {
		t.Errorf("half a cassette: exit %d\n%s", code, out)
	}
	if code, out := played(bytes.Join(lines[:len(lines)-1], nil)); code != exitError || !strings.Contains(out, "cut off") {
		t.Errorf("a cassette without its result: exit %d\n%s", code, out)
	}
	if code, out := played(whole[:len(whole)/2]); code != exitError || !strings.Contains(out, "line") {
		t.Errorf("half a line: exit %d\n%s", code, out)
	}
}

// TestCassetteIsNotRecordedAgain: -trace beside a cassette is refused, and not
// passed over.
func TestCassetteIsNotRecordedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "payment.jsonl")
	if code, out, errs := pay(t, "-json", "-pin", "1234", "-trace", file, "-cassette"); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	code, out, _ := pay(t, "-json", "-reader", "replay:"+file, "-trace", file+".2")
	if code != exitError || !strings.Contains(out, "-trace") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// TestCassetteMustBeSealed: what may hold a real card's data is not recorded in
// the clear.
func TestCassetteMustBeSealed(t *testing.T) {
	for _, args := range [][]string{{"-reader", "pcsc"}, {"-server", "127.0.0.1:1"}, {"-reader", "replay:x"}} {
		file := filepath.Join(t.TempDir(), "payment.jsonl")
		code, _, errs := pay(t, append(args, "-pin", "1234", "-trace", file, "-cassette")...)
		if _, err := os.Stat(file); code != exitUsage || err == nil || !strings.Contains(errs, "-passphrase-file") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}

// TestExceptionsAreSealed: the numbers of a terminal file's exceptions are other
// people's cards.
func TestExceptionsAreSealed(t *testing.T) {
	dir := t.TempDir()
	terminal, file := filepath.Join(dir, "terminal.json"), filepath.Join(dir, "t.jsonl")
	listed := bytes.Replace(terminalFile, []byte(`"applications"`), []byte(`"exceptions": ["5413330089070016"], "applications"`), 1)
	if err := os.WriteFile(terminal, listed, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := pay(t, "-cassette", "-trace", file, "-terminal", terminal)
	if code != exitError || !strings.Contains(errs, "-passphrase-file") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte("5413330089070016")) {
		t.Error("a listed number is in the cassette")
	}
}

// TestPassphraseNeedsCassette: what a passphrase does not seal is not recorded as
// if it did.
func TestPassphraseNeedsCassette(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sale.jsonl")
	code, _, errs := pay(t, "-pin", "1234", "-trace", file, "-passphrase-file", "x")
	if _, err := os.Stat(file); code != exitUsage || err == nil || !strings.Contains(errs, "-cassette") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// TestCassetteOfNoUnit: a unit that could not be made is a cassette to its end.
func TestCassetteOfNoUnit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "payment.jsonl")
	code, want, errs := pay(t, "-json", "-activation", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "-trace", file, "-cassette")
	if code != exitError {
		t.Fatalf("recording: exit %d\n%s%s", code, want, errs)
	}
	b, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(b, []byte(`{"port":"end",`)) {
		t.Errorf("no end: %v", err)
	}
	if code, got, errs := pay(t, "-json", "-reader", "replay:"+file); code != exitError || got != want {
		t.Errorf("exit %d\n%s%s, want %s", code, got, errs, want)
	}
}

// TestArguments: the arguments of the payment stay, those of its recording go.
func TestArguments(t *testing.T) {
	got := arguments([]string{"-pin", "1234", "--trace=f", "-cassette", "-reader", "sim", "-json", "-storage", "vault", "-state", "d", "-seed=1"})
	if d := cmp.Diff([]string{"-pin", "1234", "-state", "d", "-seed=1"}, got); d != "" {
		t.Error(d)
	}
}
