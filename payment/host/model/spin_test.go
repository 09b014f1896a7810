//go:build spin

package model

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// check has spin search the whole state space of a model, with a defect when
// one is named, and returns what it says.
func check(t *testing.T, model, defect string) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"model.pml": b, "machine.pml": []byte(machine())} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-a", "model.pml"}
	if defect != "" {
		args = append([]string{"-D" + defect}, args...)
	}
	// Where a defect is to be found, compiling takes longer than searching.
	optimised := "-O1"
	if defect != "" {
		optimised = "-O0"
	}
	var out []byte
	for _, command := range [][]string{
		append([]string{"spin"}, args...),
		{"cc", optimised, "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=1500", "-o", "pan", "pan.c"},
		{"./pan", "-m200000"},
	} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir = dir
		var err error
		if out, err = cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command[0], err, out)
		}
	}
	return string(out)
}

var (
	errorsFound = regexp.MustCompile(`State-vector .* depth reached (\d+), errors: (\d+)`)
	statesSeen  = regexp.MustCompile(`(?m)^\s*([0-9.e+]+) states, stored`)
)

func verdict(t *testing.T, out string) (errors string) {
	t.Helper()
	e, s := errorsFound.FindStringSubmatch(out), statesSeen.FindStringSubmatch(out)
	if e == nil || s == nil || strings.Contains(out, "max search depth too small") || strings.Contains(out, "Search not completed") && e[2] == "0" {
		t.Fatalf("the search did not end: %s", out)
	}
	t.Logf("%s states, depth %s, errors: %s", s[1], e[1], e[2])
	return e[2]
}

// defects are those that each model has, by its file.
var defects = map[string][]string{
	"payment.pml":    {"FORGETS_REVERSAL", "LATE_REQUEST", "BOOKS_REPEATS", "NO_REVERSAL_WRITTEN", "COMPLETES_FIRST", "SETTLES_UNASKED"},
	"increments.pml": {"FORGETS_REFUSAL", "RAISES_TWICE", "HOLD_OVERTAKEN", "VOID_OF_LESS", "NO_INCREMENT_WRITTEN"},
}

// The models have no error in any of their states.
func TestSpin(t *testing.T) {
	for model := range defects {
		t.Run(model, func(t *testing.T) {
			out := check(t, model, "")
			if e := verdict(t, out); e != "0" {
				t.Errorf("errors: %s\n%s", e, out)
			}
		})
	}
}

// Each defect is found.
func TestSpinFindsDefects(t *testing.T) {
	for model, list := range defects {
		for _, defect := range list {
			t.Run(defect, func(t *testing.T) {
				if e := verdict(t, check(t, model, defect)); e == "0" {
					t.Error("the model checker finds nothing")
				}
			})
		}
	}
}
