package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestContactless pays by tapping: what was verified, what the cardholder was
// told, where the card had to be inserted instead.
func TestContactless(t *testing.T) {
	for _, c := range []struct {
		name, args                string
		code                      int
		outcome, entry, cvm, kind string
		says                      string
	}{
		{"below the limit", "-amount 12.34", exitDone, "approved", "contactless", "No CVM required", "ARQC", "kernel 03"},
		{"online PIN over it", "-amount 50.00", exitDone, "approved", "contactless", "Enciphered PIN verified online", "ARQC", "enters the PIN"},
		{"a wrong PIN", "-amount 50.00 -pin 9999", exitDeclined, "declined", "contactless", "Enciphered PIN verified online", "ARQC", "55"},
		{"a phone", "-amount 50.00 -card phone-unlocked", exitDone, "approved", "contactless", "verified by the cardholder's device", "ARQC", ""},
		{"a signature", "-amount 50.00 -card tap-signature", exitDone, "approved", "contactless", "Signature", "ARQC", ""},
		{"M/Chip", "-amount 12.34 -card mchip", exitDone, "approved", "contactless", "No CVM required", "ARQC", ""},
		{"M/Chip, online PIN", "-amount 60.00 -card mchip", exitDone, "approved", "contactless", "Enciphered PIN verified online", "ARQC", ""},
		{"an M/Chip phone", "-amount 60.00 -card mchip-phone", exitDone, "approved", "contactless", "verified by the cardholder's device", "ARQC", ""},
		{"inserted instead", "-interface both -card tap-insert", exitDone, "approved", "chip", "Enciphered PIN verified online", "TC", "the card wants to be inserted"},
		{"not inserted", "-card tap-insert", exitError, "", "", "", "", "the card wants to be inserted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := strings.Fields("-interface contactless -pin 1234 -json " + c.args)
			code, out, errs := pay(t, args...)
			if code != c.code {
				t.Fatalf("exit %d, want %d\n%s%s", code, c.code, out, errs)
			}
			if c.code == exitError {
				if !strings.Contains(out+errs, c.says) {
					t.Errorf("says %s%s, want %q", out, errs, c.says)
				}
				return
			}
			var got struct {
				Outcome string `json:"outcome"`
				Entry   string `json:"entry"`
				CVM     string `json:"cvm"`
				Kind    string `json:"cryptogram_type"`
				Receipt string `json:"receipt"`
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if got.Outcome != c.outcome || got.Entry != c.entry || got.CVM != c.cvm || got.Kind != c.kind {
				t.Errorf("got %+v", got)
			}
			if !strings.Contains(got.Receipt, c.entry) {
				t.Errorf("the receipt does not say %q:\n%s", c.entry, got.Receipt)
			}
		})
	}
}
