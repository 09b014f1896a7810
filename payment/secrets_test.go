package payment_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel/relay/hostile"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/trade"
)

// needles are a secret in each form in which it could leave.
func needles(name, digits string) map[string][]byte {
	out := map[string][]byte{name + " as text": []byte(digits)}
	bcd := digits
	if len(bcd)%2 != 0 {
		bcd += "F"
	}
	raw, err := hex.DecodeString(bcd)
	if err != nil {
		return out
	}
	if len(raw) > 3 {
		out[name+" as BCD"] = raw
	}
	out[name+" as hex of its text"] = []byte(hex.EncodeToString([]byte(digits)))
	out[name+" as hex of its text, upper"] = []byte(strings.ToUpper(hex.EncodeToString([]byte(digits))))
	out[name+" with spaces"] = []byte(strings.Join(strings.Split(digits, ""), " "))
	return out
}

// TestNoSecretLeaves looks for PAN, track, PIN and keys in all that leaves the
// unit: the relay's view, events, errors, results, receipts, files; and in what
// the server tells its people.
func TestNoSecretLeaves(t *testing.T) {
	const pan, pin = "4761739001010010", "738264"
	look := map[string][]byte{}
	for _, m := range []map[string][]byte{
		needles("PAN", pan), needles("PAN without its first digit", pan[1:]), needles("track 2", pan+"=3112201"),
		needles("track 2 with D", pan+"D3112201"), needles("PIN", pin),
	} {
		for k, v := range m {
			look[k] = v
		}
	}
	look["PIN block of format 0"] = []byte{0x06, 0x73, 0x82 ^ 0x39, 0x64}
	look["PIN block of format 2"] = []byte{0x26, 0x73, 0x82, 0x64, 0xFF}
	for fill := byte(0xA1); fill != 0; {
		look[fmt.Sprintf("key %X", fill)] = bytes.Repeat([]byte{fill}, 16)
		look[fmt.Sprintf("key %X in hex", fill)] = []byte(strings.Repeat(fmt.Sprintf("%x", fill), 16))
		fill = map[byte]byte{0xA1: 0xA2, 0xA2: 0xB1, 0xB1: 0xB2, 0xB2: 0xC1}[fill]
	}

	for _, scene := range []struct {
		name, profile, faults string
		intercept             func(host.Point) error
		// entry is the way that the card's data take, "" the chip.
		entry string
	}{
		{name: "stripe", profile: "stripe-pin", entry: "stripe"},
		{name: "stripe, answer lost", profile: "stripe-pin", entry: "stripe", intercept: cuts(host.StageCommitted, 2)},
		{name: "fallback", entry: "fallback"},
		{name: "by hand", entry: "manual"},
		{name: "by hand, answer lost", entry: "manual", intercept: cuts(host.StageCommitted, 2)},
		{name: "declined with a wrong PIN"},
		{name: "offline PIN", profile: "offline-pin"},
		{name: "card removed", faults: "remove@first-gac"},
		{name: "answer lost", intercept: cuts(host.StageCommitted, 2)},
		{name: "malformed card", faults: "malformed@read-record:3"},
		{name: "corrupt card", faults: "corrupt=9@read-record:2"},
		{name: "short answer", faults: "short=4@read-record:4"},
	} {
		t.Run(scene.name, func(t *testing.T) {
			w := newWorld(t)
			link := hostile.New(w, hostile.Pass)
			c := plain()
			c.link, c.faults = link, scene.faults
			if scene.profile != "" {
				c.profile = scene.profile
			}
			var said []string
			c.script.PIN = secret.CopyBytes([]byte(pin))
			c.script.Observe = func(s string) { said = append(said, s) }
			look := maps.Clone(look)
			if scene.entry != "" {
				w.entry = trade.EntryPolicy{Stripe: true, Fallback: true, Manual: true}
				c.reader = func(r cardreader.Reader) cardreader.Reader { return gated{r, nil} }
				number, printed := enterBy(t, &c, scene.entry)
				for k, v := range needles("PAN of the entry", number) {
					look[k] = v
				}
				look["CVV2 in the private field"] = append([]byte{0xC5, 3}, printed...)
			}
			r := w.rig(c)
			w.intercept = scene.intercept
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			asJSON, jerr := json.Marshal(got)
			if jerr != nil {
				t.Fatal(jerr)
			}
			leaves := map[string][]byte{
				"result": asJSON, "result in Go": fmt.Appendf(nil, "%+v %#v", got, got), "error": fmt.Appendf(nil, "%v %+v %#v", err, err, err),
				"events": fmt.Appendf(nil, "%+v", r.events), "cardholder's script": []byte(strings.Join(said, "\n")),
				"unit": fmt.Appendf(nil, "%+v %v", r.unit, r.holder),
			}
			w.mu.Lock()
			leaves["server's events"] = []byte(strings.Join(w.events, "\n"))
			w.mu.Unlock()
			for _, f := range link.Seen() {
				leaves["relay"] = append(leaves["relay"], f.Bytes...)
			}
			files, err := filepath.Glob(filepath.Join(r.dir, "*"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%d files, %v", len(files), err)
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				leaves[filepath.Base(f)] = b
			}
			for where, b := range leaves {
				for what, n := range look {
					if bytes.Contains(b, n) {
						t.Errorf("%s is in %s", what, where)
					}
				}
			}
			if len(leaves["relay"]) < 1000 || len(r.events) < 5 {
				t.Errorf("looked at too little: %d bytes, %d events", len(leaves["relay"]), len(r.events))
			}
		})
	}
}
