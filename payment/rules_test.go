package payment_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/payunit/payunit"

type listed struct {
	ImportPath                string
	Dir                       string
	Imports, CgoFiles         []string
	TestImports, XTestImports []string
	Standard                  bool
}

// list runs go list in the module's root.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Dir,Imports,CgoFiles,TestImports,XTestImports,Standard"}, args...)...)
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

// under reports whether a path is a package or below it.
func under(path string, packages ...string) bool {
	return slices.ContainsFunc(packages, func(p string) bool {
		p = module + "/" + p
		return path == p || strings.HasPrefix(path, p+"/")
	})
}

func contains(path string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

// simulators are for programs and tests alone.
func simulator(path string) bool {
	return under(path, "cardreader/simcard", "cardreader/cardtest", "cardreader/contactless/taptest", "cardreader/pcsc/pcsctest", "channel/relay/hostile", "channel/channeltest",
		"payment/host/ledger/ledgertest", "payment/host/ledger/sqlledger/pgtest", "pinpad/padtest", "trusted/scripted", "trusted/storagetest", "trusted/tpm/swtpmtest")
}

func databaseDriver(path string) bool {
	return contains(path, "modernc.org/sqlite", "github.com/jackc", "github.com/lib/pq", "github.com/mattn")
}

// TestImportRules reads who imports whom. The rules are those of the rooms:
// leaves, contracts, engines, the unit, programs.
func TestImportRules(t *testing.T) {
	packages := list(t, "-tags=pcsc", "./...")
	if len(packages) < 20 {
		t.Fatalf("only %d packages listed", len(packages))
	}
	for _, p := range packages {
		for _, i := range p.Imports {
			for rule, broken := range map[string]bool{
				"only cardreader/pcsc imports scard":                         contains(i, "github.com/ebfe/scard") && !under(p.ImportPath, "cardreader/pcsc"),
				"only payment/acquirer imports iso8583":                      contains(i, "github.com/moov-io") && !under(p.ImportPath, "payment/acquirer"),
				"only the TPM's packages import go-tpm":                      contains(i, "github.com/google/go-tpm") && !under(p.ImportPath, "trusted/tpm", "channel/attest/tpm"),
				"the kernel imports no pinpad, trusted or channel":           under(p.ImportPath, "cardreader/emv", "cardreader/contactless") && under(i, "pinpad", "trusted", "channel"),
				"of payment, the kernel imports money alone":                 under(p.ImportPath, "cardreader") && under(i, "payment") && !under(i, "payment/money"),
				"the app's relay imports no cryptography":                    under(p.ImportPath, "channel/relay") && (contains(i, "crypto", "golang.org/x/crypto") || under(i, "channel/noise")),
				"only programs import simulators":                            simulator(i) && !simulator(p.ImportPath) && !under(p.ImportPath, "examples"),
				"only programs import a database driver":                     databaseDriver(i) && !under(p.ImportPath, "examples"),
				"nothing but programs imports the server's side of payments": under(i, "payment/host") && !under(p.ImportPath, "payment/host", "examples"),
				"only tests import another Noise":                            contains(i, "github.com/flynn/noise"),
				"nothing imports the examples":                               under(i, "examples") && !under(p.ImportPath, "examples"),
				"nothing but programs imports testing":                       contains(i, "testing") && !simulator(p.ImportPath),
			} {
				if broken {
					t.Errorf("%s imports %s: %s", p.ImportPath, i, rule)
				}
			}
		}
	}
}

// TestContractsAreSmall keeps the root packages to the standard library and
// leaves.
func TestContractsAreSmall(t *testing.T) {
	leaves := []string{"cardreader/secret", "cardreader/apdu", "cardreader/tlv", "cardreader/emv/oda", "payment/money", "channel", "cardreader", "trusted", "pinpad"}
	for _, p := range list(t, "./cardreader", "./channel", "./pinpad", "./trusted") {
		for _, i := range p.Imports {
			if strings.Contains(i, ".") && !slices.Contains(leaves, strings.TrimPrefix(i, module+"/")) {
				t.Errorf("the contract %s imports %s", p.ImportPath, i)
			}
		}
	}
}

// TestEmbeddedDependencies looks at all that an app which embeds the unit
// links.
func TestEmbeddedDependencies(t *testing.T) {
	for _, p := range list(t, "-deps", "./payment") {
		if p.Standard {
			continue
		}
		if contains(p.ImportPath, "database/sql", "testing", "github.com/google/go-tpm") || databaseDriver(p.ImportPath) || simulator(p.ImportPath) {
			t.Errorf("the unit depends on %s", p.ImportPath)
		}
		if under(p.ImportPath, "channel/tlschan", "channel/attest/tpm", "channel/attest/android", "channel/attest/apple") {
			t.Errorf("the unit depends on %s, which is for those who want it", p.ImportPath)
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("the unit depends on %s, which needs cgo", p.ImportPath)
		}
	}
	for _, p := range list(t, "-deps", "./payment") {
		if contains(p.ImportPath, "database/sql", "testing") {
			t.Errorf("the unit depends on %s", p.ImportPath)
		}
	}
}

// TestTopLevel keeps the repository's first page as it is meant to be.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"LICENSE", "README.md", "cardreader", "channel", "examples", "go.mod", "go.sum", "payment", "pinpad", "trusted"}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(want, e.Name()) {
			t.Errorf("%s does not belong on the top level", e.Name())
		}
	}
	for _, w := range want {
		if _, err := os.Stat(filepath.Join("..", w)); err != nil {
			t.Errorf("the top level lacks %s", w)
		}
	}
}

// TestNoForeignTypesExported looks for the drivers' types in signatures.
func TestNoForeignTypesExported(t *testing.T) {
	for _, p := range []string{"./payment/acquirer"} {
		cmd := exec.CommandContext(t.Context(), "go", "doc", "-all", p)
		cmd.Dir = ".."
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(string(out), "iso8583.") || strings.Contains(string(out), "scard.") {
			t.Errorf("%s exports a type of a driver", p)
		}
	}
}
