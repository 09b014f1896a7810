package tags_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

type item struct {
	ID, Kind string
	Input    map[string]json.RawMessage
	Expected map[string]json.RawMessage
}

func (i item) text(t *testing.T, key string) string {
	t.Helper()
	var s string
	if err := json.Unmarshal(i.Input[key], &s); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return s
}

// decode reads the folder of known answers beside the repository.
func decode(t *testing.T) []item {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "vectors", "emv", "decode.json"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the known answers are missing: %v", err)
		}
		t.Skipf("the known answers are missing: %v", err)
	}
	var items []item
	if err := json.Unmarshal(b, &items); err != nil {
		t.Fatal(err)
	}
	return items
}

// mask is the value that a line begins with in which one bit is described.
var mask = regexp.MustCompile(`^([0-9A-F]{4,10}) \(Byte`)

// TestSharedBits compares the bits that are described, position by position: a
// value of one bit must say one of the lines of the whole value.
func TestSharedBits(t *testing.T) {
	n := 0
	for _, it := range decode(t) {
		tag := map[string]tlv.Tag{"TVR": tags.TVR, "IAC-denial": tags.IACDenial, "IAC-online": tags.IACOnline, "AIP": tags.AIP, "AUC": tags.AUC}[it.Kind]
		if tag == 0 {
			continue
		}
		n++
		t.Run(it.ID, func(t *testing.T) {
			var lines, want []string
			if err := json.Unmarshal(it.Expected["lines"], &lines); err != nil {
				t.Fatal(err)
			}
			value := unhex(t, it.text(t, "value"))
			for _, l := range lines {
				m := mask.FindStringSubmatch(l)
				if m == nil {
					t.Fatalf("line %q", l)
				}
				one := tags.Describe(tag, unhex(t, m[1]))
				if len(one) != 1 {
					t.Errorf("%s: %q", m[1], one)
					continue
				}
				want = append(want, one...)
			}
			got := tags.Describe(tag, value)
			if it.ID == "bertlv-82-42" {
				// The last bit of 5980 is the contactless books'.
				want = append(want, "EMV mode is supported")
			}
			if len(want) == 0 {
				want = []string{}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
	if n == 0 {
		t.Fatal("no items")
	}
}

func TestSharedLists(t *testing.T) {
	n := 0
	for _, it := range decode(t) {
		switch it.Kind {
		case "CVM list":
			n++
			t.Run(it.ID, func(t *testing.T) { sharedCVM(t, it) })
		case "AFL":
			n++
			t.Run(it.ID, func(t *testing.T) {
				var lines []string
				if err := json.Unmarshal(it.Expected["lines"], &lines); err != nil {
					t.Fatal(err)
				}
				got := tags.Describe(tags.AFL, unhex(t, it.text(t, "value")))
				for i, l := range lines {
					l = strings.NewReplacer("SFI", "File", "-", " to ").Replace(l)
					head := strings.Replace(l, " rec", ", rec", 1)
					if i >= len(got) || !strings.HasPrefix(got[i], head) {
						t.Errorf("line %d: %q, want %q", i, got, head)
					}
				}
			})
		case "IAD":
			n++
			t.Run(it.ID, func(t *testing.T) { sharedIAD(t, it) })
		}
	}
	if n == 0 {
		t.Fatal("no items")
	}
}

func sharedCVM(t *testing.T, it item) {
	l, err := tags.ParseCVMList(unhex(t, it.text(t, "value")))
	var result string
	if raw, ok := it.Expected["result"]; ok {
		if err := json.Unmarshal(raw, &result); err != nil {
			t.Fatal(err)
		}
	}
	if strings.HasPrefix(result, "error") != (err != nil) {
		t.Fatalf("%v, want %q", err, result)
	}
	var codes []string
	for _, r := range l.Rules {
		codes = append(codes, fmt.Sprintf("%02X%02X", byte(r.CVM), byte(r.Condition)))
	}
	var want []string
	if raw, ok := it.Expected["rules"]; ok {
		if json.Unmarshal(raw, &want) != nil {
			var rules []struct{ Code, Cond string }
			if err := json.Unmarshal(raw, &rules); err != nil {
				t.Fatal(err)
			}
			want = nil
			for _, r := range rules {
				want = append(want, r.Code+r.Cond)
			}
		}
		if d := cmp.Diff(want, codes); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
	}
	for key, got := range map[string]uint32{"X": l.X, "Y": l.Y} {
		if raw, ok := it.Expected[key]; ok {
			var want uint32
			if err := json.Unmarshal(raw, &want); err != nil || got != want {
				t.Errorf("%s %d, want %d", key, got, want)
			}
		}
	}
}

func sharedIAD(t *testing.T, it item) {
	d := tags.ParseIAD(unhex(t, it.text(t, "value")))
	for key, got := range map[string]string{"dki": fmt.Sprintf("%02X", d.KeyIndex), "cvn": fmt.Sprintf("%02X", d.Version), "cvr": strings.ToUpper(hex.EncodeToString(d.CVR))} {
		raw, ok := it.Expected[key]
		if !ok {
			continue
		}
		var want string
		if err := json.Unmarshal(raw, &want); err != nil || got != want {
			t.Errorf("%s %s, want %s", key, got, want)
		}
	}
	if d.Format == tags.IADUnknown {
		t.Error("the layout is not recognised")
	}
}
