package trace_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/cardreader/trace"
)

// TestSharedTranscripts masks and explains the recorded sessions of the folder of
// known answers: no PAN that they hold is left.
func TestSharedTranscripts(t *testing.T) {
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
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "vectors", "emv", "transcripts.json"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the known answers are missing: %v", err)
		}
		t.Skipf("the known answers are missing: %v", err)
	}
	var items []struct {
		ID    string
		Steps []struct{ Cmd, Resp string }
	}
	if err := json.Unmarshal(b, &items); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, it := range items {
		t.Run(it.ID, func(t *testing.T) {
			tr := &trace.Trace{}
			var found []string
			for _, s := range it.Steps {
				if len(s.Cmd) < 8 || len(s.Resp) < 4 {
					continue // any command, or a step below that of APDUs
				}
				e := trace.Exchange{Command: unhex(t, s.Cmd), Response: unhex(t, s.Resp)}
				tr.Exchanges = append(tr.Exchanges, e)
				if p, ok := cardNumber(e.Response[:len(e.Response)-2]); ok {
					found = append(found, p)
				}
			}
			var out strings.Builder
			if _, err := tr.Mask().WriteTo(&out); err != nil {
				t.Fatal(err)
			}
			for _, s := range tr.Explain(false) {
				out.WriteString(s.String())
				fmt.Fprintf(&out, "%+v", s)
			}
			for _, p := range found {
				if strings.Trim(p[6:len(p)-4], "0") == "" {
					continue // was masked by whoever published it
				}
				checked++
				for _, f := range forms(p) {
					if strings.Contains(strings.ToUpper(out.String()), f) {
						t.Errorf("the PAN %s is left", f)
					}
				}
			}
			for _, e := range tr.Exchanges {
				if e.Command[1] == apdu.INSVerify && len(e.Command) > 5 && strings.Contains(out.String(), strings.ToUpper(fmt.Sprintf("%x", e.Command[5:]))) {
					t.Error("PIN data is left")
				}
			}
			tr.CheckODA(nokeys{}, today())
		})
	}
	if checked == 0 {
		t.Fatal("no session holds a PAN: the test proves nothing")
	}
}

// cardNumber finds a PAN in a response that is whole.
func cardNumber(b []byte) (string, bool) {
	if v, ok := tlv.Find(b, tags.PAN); ok {
		if p, err := secret.PANFromCN(v); err == nil && p.Len() >= 13 {
			return string(p.Reveal()), true
		}
	}
	if v, ok := tlv.Find(b, tags.Track2); ok {
		if tr, err := secret.Track2FromTag(v); err == nil {
			if p, err := tr.PAN(); err == nil && p.Len() >= 13 {
				return string(p.Reveal()), true
			}
		}
	}
	return "", false
}
