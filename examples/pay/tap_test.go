package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestSides: what has both sides is tapped first, and inserted where that does not
// do; what is about inserted cards is inserted.
func TestSides(t *testing.T) {
	for _, c := range []struct{ args, entry, cvm, oda string }{
		{"", "contactless", "No CVM required", "DDA ok"},
		{"-card default -amount 50.00", "contactless", "Enciphered PIN verified online", "DDA ok"},
		{"-type refund", "contactless", "", ""},
		{"-type preauth", "contactless", "", ""},
		{"-type cashback", "contactless", "", ""},
		{"-type balance", "contactless", "", ""},
		{"-type verification", "contactless", "", ""},
		{"-card mchip", "contactless", "No CVM required", "CDA ok"},
		{"-card phone-unlocked -pin 1234 -amount 50.00", "contactless", "verified by the cardholder's device", ""},
		{"-card tap-insert", "chip", "Enciphered PIN verified online", "DDA ok"},
		{"-interface both -pin 1234", "contactless", "No CVM required", ""},
		{"-interface both -card cda", "contactless", "No CVM required", ""},
		{"-interface contact", "chip", "Enciphered PIN verified online", "DDA ok"},
		{"-interface contact -card mchip", "chip", "Enciphered PIN verified online", ""},
		{"-pin 1234", "chip", "Enciphered PIN verified online", "DDA ok"},
		{"-card cda", "chip", "Enciphered PIN verified online", "CDA ok"},
		{"-fault card:delay=1ms@gpo", "chip", "", ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errs := pay(t, append(strings.Fields(c.args), "-json")...)
			var got struct{ Outcome, Entry, CVM, ODA string }
			if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone {
				t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
			}
			if got.Entry != c.entry || c.cvm != "" && got.CVM != c.cvm || c.oda != "" && got.ODA != c.oda {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestTappedRecordings: a recording of a tapped card is tapped again, and so is a
// cassette's, whose choice is in it.
func TestTappedRecordings(t *testing.T) {
	for _, more := range []string{"", "-cassette"} {
		file := filepath.Join(t.TempDir(), "tap.jsonl")
		args := append(strings.Fields(more), "-json", "-trace", file, "-seed", "7", "-now", "2027-03-04T05:06:07Z")
		if code, out, errs := pay(t, args...); code != exitDone {
			t.Fatalf("exit %d\n%s%s", code, out, errs)
		}
		code, out, errs := pay(t, "-json", "-reader", "replay:"+file, "-seed", "7", "-now", "2027-03-04T05:06:07Z")
		if !strings.Contains(out, `"entry":"contactless"`) || more != "" && code != exitDone {
			t.Errorf("%q: exit %d\n%s%s", more, code, out, errs)
		}
	}
	if code, _, errs := pay(t, "-interface", "both", "-reader", "replay:x.jsonl"); code != exitUsage || !strings.Contains(errs, "a recording has the interface") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

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
