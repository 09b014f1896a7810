package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/payunit/payunit/payment/trade"
)

func TestPINPolicyFlag(t *testing.T) {
	for list, want := range map[string]trade.PINPolicy{
		"": {}, "accessible": {Accessible: true}, "bypass": {Bypass: true}, "accessible,bypass": {Accessible: true, Bypass: true},
	} {
		if got, err := pinPolicy(list); err != nil || got != want {
			t.Errorf("%q: %+v, %v", list, got, err)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-pinpad", "accessible,everything"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), `"everything"`) || out.Len() != 0 {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}
