package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
)

// TestRefusedDebtsAreTold: a debt that the bank has refused for good is in what a
// recovery and a settlement print, and a recovery does not end as done.
func TestRefusedDebtsAreTold(t *testing.T) {
	list := []payment.RefusedDebt{{Order: "A-1", Owes: "completion", RRN: "632810000001", Amount: "12.34", Currency: "EUR", ResponseCode: "12", Text: "no such", Refusals: 5}}
	var rec, set, errs bytes.Buffer
	if code := recovered(payment.Report{Refused: list}, false, &rec, &errs); code != exitUnknown {
		t.Errorf("exit %d", code)
	}
	if code := settled(payment.Settlement{Refused: list}, false, &set, &errs); code != exitDone {
		t.Errorf("exit %d", code)
	}
	for _, out := range []string{rec.String(), set.String()} {
		if !strings.Contains(out, "completion of order A-1, 12.34 EUR, reference 632810000001, 5 times: 12") {
			t.Errorf("printed:\n%s", out)
		}
	}
	if code, _, _ := pay(t, "-again"); code != exitUsage {
		t.Errorf("-again alone: exit %d", code)
	}
}
