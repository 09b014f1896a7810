package noise

import (
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/channel/channeltest"
)

// TestNothingPrints: fmt prints what a field points to under verbs that do not
// suit a pointer, and a cipher is made of its key.
func TestNothingPrints(t *testing.T) {
	a, b := ends(t, channeltest.Faults{})
	for _, v := range []any{a, b, &a.read, &b.write.cipher} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flags := range []string{"", "+", "#"} {
				s := fmt.Sprintf("%"+flags+string(verb), v)
				if strings.Contains(s, "GCM=&") || strings.Contains(s, "chacha20poly1305=&") || strings.Contains(s, "gcm.GCM{") || strings.Contains(s, "chacha20poly1305{") {
					t.Errorf("%T under %%%s%c prints its cipher", v, flags, verb)
				}
			}
		}
	}
}
