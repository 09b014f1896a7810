package host

import (
	"bytes"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

// TestPassedOn: what a terminal's advice or reversal names of a card beside the
// request that it is about does not wait in the ledger for the acquirer above.
func TestPassedOn(t *testing.T) {
	for _, name := range []string{"completion", "reversal"} {
		t.Run(name, func(t *testing.T) {
			c := newChain(t)
			u := c.enrol(1, 4)
			c.order("o0", 500)
			m := u.sale("o0", 500, "")
			resp := u.want("a sale", m, codeApproved)
			after := u.completion(m, resp.AuthCode)
			if name == "reversal" {
				after = u.reversal(m)
			}
			after.PAN, after.Expiry, after.CVV2 = m.PAN.Clone(), "3112", secret.CopyBytes([]byte("987"))
			var err error
			if after.Track2, err = secret.Track2FromTag([]byte{0x47, 0x61, 0x73, 0x90, 0x01, 0x01, 0x00, 0x10, 0xD3, 0x11, 0x22, 0x01, 0x12, 0x34, 0x56, 0x5F}); err != nil {
				t.Fatal(err)
			}
			pan, track := bytes.Clone(m.PAN.Reveal()), bytes.Clone(after.Track2.Reveal())
			u.want(name, after, codeApproved)
			waits := c.outbox()
			if len(waits) != 1 {
				t.Fatalf("%d messages wait", len(waits))
			}
			for what, v := range map[string][]byte{"number": pan, "track": track, "printed value": []byte("987")} {
				if bytes.Contains(waits[0].Message, v) {
					t.Errorf("the card's %s is in the ledger", what)
				}
			}
			minor := int64(500)
			if name == "reversal" {
				minor = 0
			}
			c.settled(name, minor, 0, minor)
		})
	}
}
