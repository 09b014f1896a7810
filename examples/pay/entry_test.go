package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestEntries pays in each way in which a card's data come, with exit code, result
// and receipt.
func TestEntries(t *testing.T) {
	for _, c := range []struct {
		args, entry, cvm, receipt, code string
		exit                            int
	}{
		{"-entry stripe -card stripe", "magnetic stripe", "Signature", "magnetic stripe", "00", exitDone},
		{"-entry stripe -card stripe-pin", "magnetic stripe", "Enciphered PIN verified online", "magnetic stripe", "00", exitDone},
		{"-entry stripe -card stripe-pin -pin 9999", "magnetic stripe", "", "DECLINED", "55", exitDeclined},
		{"-entry stripe", "chip", "Enciphered PIN verified online", "chip", "00", exitDone},
		{"-entry fallback", "fallback", "Signature", "magnetic stripe, chip failed", "00", exitDone},
		{"-entry fallback -card low-balance", "fallback", "", "DECLINED", "51", exitDeclined},
		{"-entry manual", "manual", "Signature", "keyed", "00", exitDone},
		{"-entry manual -card expired", "manual", "", "DECLINED", "54", exitDeclined},
		{"-entry stripe -card stripe -type refund", "magnetic stripe", "", "REFUND", "00", exitDone},
		{"-entry manual -type preauth", "manual", "", "keyed", "00", exitDone},
		{"-entry stripe -card stripe -type cashback", "magnetic stripe", "", "magnetic stripe", "00", exitDone},
		{"-entry stripe -card stripe -type balance", "magnetic stripe", "", "magnetic stripe", "00", exitDone},
		{"-entry manual -type verification", "manual", "", "keyed", "00", exitDone},
	} {
		t.Run(c.args, func(t *testing.T) {
			exit, out, errs := pay(t, append(strings.Fields(c.args), "-json")...)
			var got struct {
				Entry, CVM, Receipt, AID, TVR string
				Code                          string `json:"response_code"`
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil || exit != c.exit {
				t.Fatalf("exit %d, %v\n%s%s", exit, err, out, errs)
			}
			if got.Entry != c.entry || got.Code != c.code || c.cvm != "" && !strings.HasPrefix(got.CVM, c.cvm) || !strings.Contains(got.Receipt, c.receipt) {
				t.Errorf("%+v\n%s", got, got.Receipt)
			}
			if c.entry != "chip" && got.AID+got.TVR != "" {
				t.Errorf("a chip's data: %+v", got)
			}
		})
	}
	for args, want := range map[string]string{"-tip 2.46": "OF WHICH TIP", "-tip 2.46 -entry fallback": "14.80 EUR", "-tip 12.35": "not allowed"} {
		exit, out, errs := pay(t, append(strings.Fields(args), "-json")...)
		if !strings.Contains(out+errs, want) || (exit == exitDone) != (want != "not allowed") {
			t.Errorf("%s: exit %d\n%s%s", args, exit, out, errs)
		}
	}
	for _, bad := range []string{"-tip 0", "-tip 1.00 -type refund", "-entry swipe", "-entry stripe -reader replay:x", "-entry manual -interface contactless"} {
		if exit, _, _ := pay(t, strings.Fields(bad)...); exit != exitUsage {
			t.Errorf("%s: exit %d", bad, exit)
		}
	}
}
