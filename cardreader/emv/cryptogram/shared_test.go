package cryptogram_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func key(t testing.TB, s string) secret.Bytes { t.Helper(); return secret.NewBytes(unhex(t, s)) }

func up(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func atcOf(t testing.TB, s string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(s, 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

func panOf(t testing.TB, s string) secret.PAN {
	t.Helper()
	p, err := secret.NewPAN([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// psn packs two digits as tag 5F34 does; "" is 00.
func psnOf(t testing.TB, s string) byte {
	t.Helper()
	if s == "" {
		return 0
	}
	return unhex(t, s)[0]
}

// vectors reads a file of known answers that lives beside the repository.
func vectors(t *testing.T, name string, into any) {
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
			t.Fatal("no module root")
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "vectors", filepath.FromSlash(name)))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("the known answers are not here: %v", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// terminal looks tags up in a map of hex.
func terminal(t testing.TB, m map[string]string) cryptogram.Terminal {
	return func(tag tlv.Tag) ([]byte, bool) {
		v, ok := m[tag.String()]
		if !ok {
			return nil, false
		}
		return unhex(t, v), true
	}
}

// iadOf is the issuer application data around a CVR, where the source names the
// CVR alone.
func iadOf(c cryptogram.CVN, cvr, counters string) string {
	if c == cryptogram.Visa10 {
		return "06010A" + cvr
	}
	return "01" + hex.EncodeToString([]byte{c.Number()}) + cvr + "0000" + counters
}
