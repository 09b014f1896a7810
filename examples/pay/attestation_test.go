//go:build swtpm

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAttestByTPM pays with a device that a TPM vouches for, the one that seals its
// state too, and is refused with another TPM, or none.
func TestAttestByTPM(t *testing.T) {
	own, other, dir := "tpm:"+socket(t), "tpm:"+socket(t), t.TempDir()
	state := func(name string, more ...string) []string {
		return append([]string{"-pin", "1234", "-state", filepath.Join(dir, name)}, more...)
	}
	for i := range 2 {
		code, out, errs := pay(t, state("own", "-attest", own, "-storage", own)...)
		if code != exitDone || !strings.Contains(out, "approved") || !strings.Contains(out, "attests by the TPM") {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
		if enrolled := strings.Contains(out, "assurance hardware"); enrolled != (i == 0) {
			t.Errorf("run %d: the bank took it for hardware %v", i, enrolled)
		}
	}
	// A certificate that was cut off, or that has ended, is replaced by another of the
	// same key.
	kept := filepath.Join(dir, "own", "attestation.der")
	whole, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().AddDate(2, 0, 0).UTC().Format(time.RFC3339)
	for _, more := range [][]string{nil, {"-now", later}} {
		if code, out, errs := pay(t, state("own", append(more, "-attest", own, "-storage", own)...)...); code != exitDone {
			t.Errorf("%v: exit %d: %s%s", more, code, out, errs)
		}
	}
	if err := os.WriteFile(kept, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := pay(t, state("own", "-storage", own)...); code != exitError || !strings.Contains(errs, "refused") {
		t.Errorf("enrolled by a TPM, pays without: exit %d: %s%s", code, out, errs)
	}
	// The certificate that is kept is the first TPM's, and the other's key signs.
	if code, out, errs := pay(t, state("own", "-attest", other, "-storage", own)...); code != exitError || !strings.Contains(errs, "refused") {
		t.Errorf("by another TPM: exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := pay(t, state("plain")...); code != exitDone {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := pay(t, state("plain", "-attest", own)...); code != exitError || !strings.Contains(errs, "refused") {
		t.Errorf("enrolled without a TPM, pays by one: exit %d: %s%s", code, out, errs)
	}
}
