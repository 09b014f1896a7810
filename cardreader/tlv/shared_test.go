package tlv_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/tlv"
)

// vectors is the folder of known answers beside the repository. Without it the
// tests of whole files are skipped, but never in CI.
func vectors(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the package")
		}
		dir = up
	}
	dir = filepath.Join(dir, "..", "shared", "vectors")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the known answers are missing: %v", err)
		}
		t.Skipf("the known answers are missing: %v", err)
	}
	return dir
}

func load(t *testing.T, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

type node struct {
	Tag      string `json:"tag"`
	Value    string `json:"value"`
	Children []node `json:"children"`
}

func flatten(nodes []node, depth int) []line {
	var out []line
	for _, n := range nodes {
		// Values that an item leaves out stand in its children.
		l := line{depth, strings.ToUpper(n.Tag), strings.ToUpper(n.Value)}
		if n.Children != nil {
			l.Value = ""
		}
		out = append(out, l)
		out = append(out, flatten(n.Children, depth+1)...)
	}
	return out
}

func TestSharedTrees(t *testing.T) {
	var items []struct {
		ID, Hex, Expected, Policy string
		Tree                      []node
	}
	load(t, filepath.Join(vectors(t), "emv", "tlv.json"), &items)
	if len(items) == 0 {
		t.Fatal("no items")
	}
	for _, it := range items {
		t.Run(it.ID, func(t *testing.T) {
			in := unhex(t, it.Hex)
			err := tlv.Validate(in)
			switch it.Expected {
			case "valid":
				if err != nil {
					t.Fatal(err)
				}
				if it.Tree != nil {
					if d := cmp.Diff(flatten(it.Tree, 0), walk(t, in, 0)); d != "" {
						t.Errorf("-want +got\n%s", d)
					}
				}
			case "malformed":
				if err == nil {
					t.Error("accepted")
				}
			case "policy":
				// Both answers are right; it must only not panic.
			default:
				t.Fatalf("expected %q", it.Expected)
			}
		})
	}
}

func TestSharedField55(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors(t), "iso8583", "tlv-*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var it struct {
				Hex          string
				ParsesStrict bool `json:"parses_strict"`
				Tags         []struct{ T, V string }
			}
			load(t, file, &it)
			in := unhex(t, it.Hex)
			objects, err := tlv.Parse(in)
			if (err == nil) != it.ParsesStrict {
				t.Fatalf("Parse: %v, want success %v", err, it.ParsesStrict)
			}
			if err != nil {
				return
			}
			var enc []byte
			for i, o := range objects {
				enc = tlv.Append(enc, o.Tag, o.Value)
				if i >= len(it.Tags) || o.Tag.String() != strings.ToUpper(it.Tags[i].T) || !strings.EqualFold(hex.EncodeToString(o.Value), it.Tags[i].V) {
					t.Errorf("object %d is %s %X", i, o.Tag, o.Value)
				}
			}
			if len(objects) != len(it.Tags) {
				t.Errorf("%d objects, want %d", len(objects), len(it.Tags))
			}
			if !bytes.Equal(enc, in) {
				t.Errorf("% X became % X", in, enc)
			}
		})
	}
}
