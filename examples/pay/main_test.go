package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/simcard"
)

// pay runs the command as main does, without a terminal.
func pay(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"", exitDone, "approved 12.34 EUR"},
		{"-pin 1234 -pin-format 0", exitDone, "approved"},
		{"-currency JPY -amount 500", exitDone, "approved 500 JPY"},
		{"-amount 0.01 -order my-order", exitDone, "my-order"},
		{"-seed 7 -now 2027-03-04T05:06:07Z", exitDone, "2027-03-04"},
		{"-pin 4321", exitDeclined, "wrong PIN"},
		{"-card low-balance", exitDeclined, "not sufficient funds"},
		{"-card over-limit", exitDeclined, "declined"},
		{"-card expired", exitDeclined, "expired"},
		{"-card not-yet-effective", exitDeclined, "not yet effective"},
		{"-card pin-blocked", exitDeclined, "PIN Try Limit exceeded"},
		{"-card low-balance -partial -pin 1234", exitDone, "approved 1.00 EUR"},
		{"-partial -server 127.0.0.1:1", exitUsage, "bank -partial"},
		{"-card decline-second", exitDeclined, "REVERSED"},
		{"-card revoked", exitDone, "revoked"},
		{"-card unknown-ca", exitDone, "DDA failed"},
		{"-cancel confirm", exitCancelled, "cancel"},
		{"-cancel pin", exitCancelled, "cancel"},
		{"-fault lost-answer", exitDeclined, "REVERSED"},
		{"-fault lost-request", exitDeclined, "REVERSED"},
		{"-fault lost-answer-once", exitDone, "0201"},
		{"-fault remove-first", exitError, "card removed"},
		{"-fault remove-second", exitDeclined, "REVERSED"},
		{"-fault link-down", exitError, "no connection"},
		{"-fault card:malformed@gpo", exitError, "format"},
		{"-card blocked-card", exitError, "card blocked"},
		{"-type refund -pin 1234", exitDone, "REFUND"},
		{"-type balance -pin 1234", exitDone, "AVAILABLE"},
		{"-type verification -pin 1234", exitDone, "VERIFICATION"},
		{"-type preauth", exitDone, "PREAUTH"},
		{"-type completion", exitUsage, "-original"},
		{"-type incremental", exitUsage, "-original"},
		{"-type cashback -amount 30.00 -cashback 20.00 -pin 1234", exitDone, "OF WHICH IN CASH"},
		{"-type cashback -amount 3.00 -pin 1234", exitError, "cash"},
		{"-type cashback -cashback x", exitUsage, "-cashback"},
		{"-type void", exitUsage, "-original"},
		{"-channel tls", exitDone, "approved 12.34 EUR"},
		{"-channel tls -pin 1234 -pin-format 0", exitDone, "approved"},
		{"-channel tls -fault lost-answer-once", exitDone, "0201"},
		{"-channel tls -cassette -trace x", exitUsage, "-channel noise"},
		{"-channel carrier-pigeon", exitUsage, "-channel"},
		{"-storage disk", exitUsage, "-storage"},
		{"-storage tpm:", exitUsage, "-storage"},
		{"-storage tpm:x@y", exitUsage, "NV index"},
		{"-storage tpm:x", exitUsage, "-state"},
		{"-forget", exitUsage, "-storage"},
		{"-enrol CODE", exitUsage, "-state"},
		{"-rotate", exitUsage, "-state"},
		{"-enrol CODE -rotate -state x", exitUsage, "-enrol"},
		{"-original A-1", exitUsage, "-original"},
		{"-reader tape", exitError, "want sim"},
		{"-reader replay:no-such-file", exitError, "no-such-file"},
		{"-trace no-such-folder/x", exitError, "-trace"},
		{"-card no-such-card", exitError, "no-such-card"},
		{"-amount 1.234", exitUsage, "-amount"},
		{"-amount -1", exitUsage, "-amount"},
		{"-currency XYZ", exitUsage, "-currency"},
		{"-type gift", exitUsage, "-type"},
		{"-now yesterday", exitUsage, "-now"},
		{"-pin 12", exitUsage, "-pin"},
		{"-pin-format 3", exitUsage, "-pin-format"},
		{"-cancel later", exitUsage, "-cancel"},
		{"-fault nothing", exitUsage, "-fault"},
		{"-recover", exitUsage, "-state"},
		{"-server x:1 -fault lost-answer", exitUsage, "in the bank"},
		{"-no-such-flag", exitUsage, "not defined"},
		{"stray", exitUsage, "stray"},
		{"-server 127.0.0.1:1 -state " + t.TempDir(), exitError, "127.0.0.1:1"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errs := pay(t, strings.Fields(c.args)...)
			if code != c.want || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit %d, want %d with %q\n%s%s", code, c.want, c.says, out, errs)
			}
			if code == exitUsage && out != "" {
				t.Errorf("usage on stdout: %s", out)
			}
		})
	}
}

// TestJSON: one object on stdout, with everything that is promised, whatever the
// ending.
func TestJSON(t *testing.T) {
	promised := []string{"outcome", "amount", "currency", "masked_pan", "entry", "aid", "label", "cvm", "oda", "tvr", "tsi",
		"cryptogram_type", "response_code", "auth_code", "stan", "rrn", "reversed", "receipt"}
	for args, want := range map[string]string{
		"-json": "approved", "-json -pin 9999": "declined", "-json -cancel confirm": "cancelled", "-json -cancel pin": "cancelled",
		"-json -card over-limit": "declined", "-json -fault lost-answer": "declined",
	} {
		_, out, errs := pay(t, strings.Fields(args)...)
		var got map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%s: %v\n%s%s", args, err, out, errs)
		}
		if got["outcome"] != want || errs != "" {
			t.Errorf("%s: outcome %v; %s", args, got["outcome"], errs)
		}
		for _, k := range promised {
			if _, ok := got[k]; !ok {
				t.Errorf("%s: no %s", args, k)
			}
		}
	}
	code, out, _ := pay(t, "-json", "-fault", "remove-first")
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitError || got["outcome"] != "error" || got["error"] == "" {
		t.Errorf("error as JSON: %d %s %v", code, out, err)
	}
}

// TestUnknownAndRecovered: the outcome stays unknown while the link is down, and
// the next run on the same state settles it.
func TestUnknownAndRecovered(t *testing.T) {
	dir := t.TempDir()
	code, out, errs := pay(t, "-state", dir, "-pin", "1234", "-order", "A-1", "-fault", faultLinkStays)
	if code != exitUnknown || !strings.Contains(out, "pay -recover -state "+dir) {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = pay(t, "-state", dir, "-recover"); code != exitDone || !strings.Contains(out, "1 settled, 0 still owed") {
		t.Fatalf("recovery: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = pay(t, "-state", dir, "-pin", "1234", "-order", "A-1"); code != exitDone {
		t.Fatalf("paying it then: exit %d\n%s%s", code, out, errs)
	}
	if code, out, _ = pay(t, "-state", dir, "-pin", "1234", "-order", "A-1"); code != exitDone || !strings.Contains(out, "paid before") {
		t.Errorf("paying it again: exit %d\n%s", code, out)
	}
}

// TestSettle closes the batch of the payments before, on both sides, once.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []string{"A-1", "A-2"} {
		if code, out, errs := pay(t, "-state", dir, "-pin", "1234", "-order", id); code != exitDone {
			t.Fatalf("exit %d\n%s%s", code, out, errs)
		}
	}
	code, out, errs := pay(t, "-state", dir, "-settle")
	if code != exitDone || !strings.Contains(out, "debits          unit 2 of 24.68 EUR         bank 2 of 24.68 EUR") || strings.Contains(out, "DIFFER") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = pay(t, "-state", dir, "-settle", "-json"); code != exitDone || out != `{"number":1,"currencies":[],"refused":[]}`+"\n" {
		t.Errorf("again: exit %d\n%s%s", code, out, errs)
	}
	if code, _, errs = pay(t, "-settle"); code != exitUsage || !strings.Contains(errs, "-state") {
		t.Errorf("without a state: exit %d, %s", code, errs)
	}
}

// TestRefund gives a part of a payment back, once.
func TestRefund(t *testing.T) {
	dir := t.TempDir()
	if code, out, errs := pay(t, "-state", dir, "-pin", "1234", "-order", "A-1"); code != exitDone {
		t.Fatalf("sale: exit %d\n%s%s", code, out, errs)
	}
	refund := []string{"-state", dir, "-pin", "1234", "-type", "refund", "-original", "A-1", "-amount", "10.00", "-order"}
	if code, out, errs := pay(t, append(refund, "R-1")...); code != exitDone || !strings.Contains(out, "10.00 EUR") {
		t.Errorf("refund: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := pay(t, append(refund, "R-2")...); code != exitError || !strings.Contains(out+errs, "more than is left") {
		t.Errorf("refund of more than is left: exit %d\n%s%s", code, out, errs)
	}
}

// TestPreauth holds an amount and takes a part of it.
func TestPreauth(t *testing.T) {
	dir := t.TempDir()
	if code, out, errs := pay(t, "-state", dir, "-pin", "1234", "-type", "preauth", "-amount", "100", "-order", "P-1"); code != exitDone {
		t.Fatalf("pre-authorisation: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := pay(t, "-state", dir, "-type", "incremental", "-original", "P-1", "-amount", "10", "-order", "I-1", "-json"); code != exitDone || !strings.Contains(out, `"type":"incremental"`) {
		t.Errorf("incremental: exit %d\n%s%s", code, out, errs)
	}
	complete := []string{"-state", dir, "-pin", "1234", "-type", "completion", "-original", "P-1", "-amount", "105", "-order"}
	if code, out, errs := pay(t, append(complete, "C-1")...); code != exitDone || !strings.Contains(out, "approved 105.00 EUR") {
		t.Errorf("completion: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := pay(t, append(complete, "C-2")...); code != exitError || !strings.Contains(out+errs, "not held") {
		t.Errorf("another completion: exit %d\n%s%s", code, out, errs)
	}
}

// TestVoid undoes a payment, once.
func TestVoid(t *testing.T) {
	dir := t.TempDir()
	if code, out, errs := pay(t, "-state", dir, "-pin", "1234", "-order", "A-1"); code != exitDone {
		t.Fatalf("sale: exit %d\n%s%s", code, out, errs)
	}
	void := []string{"-state", dir, "-pin", "1234", "-type", "void", "-original", "A-1", "-order"}
	if code, out, errs := pay(t, append(void, "V-1")...); code != exitDone || !strings.Contains(out, "taken back") {
		t.Errorf("void: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := pay(t, append(void, "V-2")...); code != exitError || !strings.Contains(out+errs, "not paid") {
		t.Errorf("void of what is voided: exit %d\n%s%s", code, out, errs)
	}
}

// TestPINTriesExceeded takes three runs on one state.
func TestPINTriesExceeded(t *testing.T) {
	dir := t.TempDir()
	var codes []string
	for range 3 {
		_, out, _ := pay(t, "-json", "-state", dir, "-pin", "4321")
		var got struct {
			ResponseCode string `json:"response_code"`
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		codes = append(codes, got.ResponseCode)
	}
	if d := cmp.Diff([]string{"55", "55", "75"}, codes); d != "" {
		t.Error(d)
	}
}

func TestSecondUnitOnOneState(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	s := newScreen(nil)
	defer s.close()
	d, err := compose(t.Context(), options{reader: "sim", card: "default", state: dir, pinFormat: 4, amount: amount(t)}, s, nil, &out)
	if err != nil {
		t.Fatal(err)
	}
	code, _, errs := pay(t, "-state", dir)
	if code != exitError || !strings.Contains(errs, "in use") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if err := d.close(resultOf(), nil); err != nil {
		t.Error(err)
	}
}

func TestHelpListsCardsAndFaults(t *testing.T) {
	code, _, errs := pay(t, "-help")
	if code != exitDone {
		t.Errorf("exit %d", code)
	}
	for _, p := range simcard.Profiles() {
		if !strings.Contains(errs, p.Name) {
			t.Errorf("no card %s", p.Name)
		}
	}
	for _, f := range faults() {
		if !strings.Contains(errs, f.name) {
			t.Errorf("no fault %s", f.name)
		}
	}
}

// TestNothingSecretIsPrinted looks for the card's number and the PIN.
func TestNothingSecretIsPrinted(t *testing.T) {
	for _, args := range []string{"-pin 738264", "-pin 738264 -json", "-pin 738264 -fault remove-second", "-pin 738264 -card offline-pin"} {
		_, out, errs := pay(t, strings.Fields(args)...)
		for _, s := range []string{"4761739001010010", "738264", "761739001010", "3112201"} {
			if strings.Contains(out+errs, s) {
				t.Errorf("%s prints %s", args, s)
			}
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, nil, nil, &out, &errs); code != exitError {
		t.Errorf("exit %d\n%s%s", code, out.String(), errs.String())
	}
}
