package payment_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// build builds packages under tags and returns what the compiler says.
func build(t *testing.T, tags string, packages ...string) (says string, ok bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", os.DevNull, "-tags", tags}, packages...)...)
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// TestRelease: a build with the tag release has no simulators, no test keys, no
// permissive verifiers and no keys beside what they seal, and modules of
// software only where the tag software names them.
func TestRelease(t *testing.T) {
	engines := []string{"./payment", "./payment/enrol", "./payment/host", "./channel/noise", "./channel/attest/...", "./trusted/vault", "./trusted/tpm", "./trusted/keyring", "./trusted/monitor", "./cardreader/emv"}
	software := []string{"./payment/softunit", "./payment/mobile", "./pinpad/softpad", "./trusted/console"}
	if says, ok := build(t, "release", engines...); !ok {
		t.Errorf("a release lacks what it needs:\n%s", says)
	}
	if says, ok := build(t, "release,software", append(software, engines...)...); !ok {
		t.Errorf("a release with modules of software lacks what it needs:\n%s", says)
	}
	for _, p := range software {
		if says, ok := build(t, "release", p); ok || !strings.Contains(says, "thisPackageNeedsTheTagSoftware") {
			t.Errorf("%s is in a release that does not name it: %s", p, says)
		}
	}
	for _, tags := range []string{"release", "release,software"} {
		for _, p := range []string{"./cardreader/simcard", "./cardreader/simcard/testkeys", "./trusted/scripted", "./channel/relay/hostile"} {
			says, ok := build(t, tags, p)
			if ok || !strings.Contains(says, "thisPackage") {
				t.Errorf("%s is in a release with the tags %s: %s", p, tags, says)
			}
		}
		names := []string{"attest.InsecureAcceptAnything", "tpm.InsecureAnyPCRs", "android.InsecureNoRevocations", "vault.InsecureKeyFile", "vault.DevelopmentPassphrase"}
		if tags == "release" {
			names = append(names, "attest.Software", "attest.SoftwareVerifier")
		}
		says, _ := build(t, tags, "./payment/testdata/release")
		undefined := strings.Fields(says)
		for _, n := range names {
			if !slices.Contains(undefined, n) {
				t.Errorf("%s is in a release with the tags %s: %s", n, tags, says)
			}
		}
	}
	if says, ok := build(t, "", "./payment/testdata/release"); !ok {
		t.Errorf("what a release leaves out is not there without the tag either:\n%s", says)
	}
}
