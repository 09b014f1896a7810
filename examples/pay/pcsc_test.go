//go:build pcsc && linux

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/pcsc/pcsctest"
)

// TestPCSC pays with a card behind a real pcscd, under both protocols.
func TestPCSC(t *testing.T) {
	service := pcsctest.Start(t)
	for reader, profile := range []string{"t0", "default"} {
		t.Run(profile, func(t *testing.T) {
			service.Insert(t, reader, profile)
			for range 20 {
				code, out, errs := pay(t, "-json", "-pin", "1234", "-reader", "pcsc:"+pcsctest.Readers[reader])
				var got struct{ Outcome, ODA, CVM string }
				if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone {
					t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
				}
				if got.Outcome != "approved" || got.ODA != "DDA ok" || !strings.Contains(got.CVM, "online") {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}
