package host

import (
	"fmt"
	"testing"
)

// FuzzParseKeys: what is read of field 48 is what stands there, and nothing else.
func FuzzParseKeys(f *testing.F) {
	block := "D0112P0AB00N0000" + fmt.Sprintf("%096d", 7)
	f.Add(keysVersion + fmt.Sprintf("%020d", 1) + block + block)
	f.Add(keysVersion + fmt.Sprintf("%020d", 1) + block)
	f.Add(keysVersion)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		number, pin, code, err := parseKeys(s)
		if err != nil {
			return
		}
		if again := fmt.Sprintf("%s%020d%s%s", keysVersion, number, pin, code); again != s {
			t.Errorf("%q reads as %q", s, again)
		}
	})
}
