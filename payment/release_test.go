package payment_test

import (
	gobuild "go/build"
	"os"
	"os/exec"
	"path/filepath"
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

// section is what the compiler says of one package.
func section(says, p string) string {
	_, rest, _ := strings.Cut(says, "# "+module+strings.TrimPrefix(p, ".")+"\n")
	of, _, _ := strings.Cut(rest, "\n# ")
	return of
}

// breaks reports whether a build of a package under tags takes a file in that
// names what there is not, of the package itself or of one that it imports.
func breaks(t *testing.T, tags, p string) bool {
	t.Helper()
	c := gobuild.Default
	c.BuildTags = strings.Split(tags, ",")
	in, err := c.ImportDir(filepath.Join("..", filepath.FromSlash(p)), 0)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(in.GoFiles, "release.go") {
		text, err := os.ReadFile(filepath.Join(in.Dir, "release.go"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nvar _ = thisPackage") {
			return true
		}
	}
	return slices.ContainsFunc(in.Imports, func(i string) bool {
		rest, ours := strings.CutPrefix(i, module)
		return ours && breaks(t, tags, "."+rest)
	})
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
	left := []string{"./cardreader/simcard", "./cardreader/simcard/testkeys", "./trusted/scripted", "./channel/relay/hostile"}
	leaves := []string{"./cardreader/simcard", "./channel/relay/hostile", "./pinpad/softpad"}
	for _, tags := range []string{"release", "release,software"} {
		names := []string{"attest.InsecureAcceptAnything", "tpm.InsecureAnyPCRs", "android.InsecureNoRevocations", "vault.InsecureKeyFile", "vault.DevelopmentPassphrase"}
		packages := left
		if tags == "release" {
			names = append(names, "attest.Software", "attest.SoftwareVerifier")
			packages = append(slices.Clone(left), software...)
		}
		// The compiler goes on after a package that does not compile, but not
		// to those that import it: of them, the file that breaks them tells.
		says, _ := build(t, tags, append(slices.Clone(packages), "./payment/testdata/release")...)
		for _, p := range packages {
			if !breaks(t, tags, p) {
				t.Errorf("%s is in a release with the tags %s", p, tags)
			}
		}
		for _, p := range leaves {
			if !strings.Contains(section(says, p), "undefined: thisPackage") && slices.Contains(packages, p) {
				t.Errorf("%s compiles in a release with the tags %s: %s", p, tags, says)
			}
		}
		undefined := strings.Fields(section(says, "./payment/testdata/release"))
		for _, n := range names {
			if !slices.Contains(undefined, n) {
				t.Errorf("%s is in a release with the tags %s: %s", n, tags, says)
			}
		}
	}
	// With a second package it is compiled and not linked.
	if says, ok := build(t, "", "./payment/testdata/release", "./payment/money"); !ok {
		t.Errorf("what a release leaves out is not there without the tag either:\n%s", says)
	}
}
