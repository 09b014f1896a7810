//go:build swtpm

package main

import (
	"path/filepath"
	"strings"
	"testing"
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
