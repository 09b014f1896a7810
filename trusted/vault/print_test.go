package vault

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

// TestNothingPrints: fmt prints what a field points to under verbs that do not
// suit a pointer, and a cipher is made of its key.
func TestNothingPrints(t *testing.T) {
	v, err := Open(t.Context(), t.TempDir(), Config{Key: FixedKey(secret.NewBytes(bytes.Repeat([]byte{0x41}, 32)))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flags := range []string{"", "+", "#"} {
			s := fmt.Sprintf("%"+flags+string(verb), v)
			if strings.Contains(s, "GCM=&") || strings.Contains(s, "gcm.GCM{") || strings.Contains(s, "aes.Block") {
				t.Errorf("%%%s%c prints the cipher", flags, verb)
			}
		}
	}
}
