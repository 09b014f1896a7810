package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/money"
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

func TestStandInFlag(t *testing.T) {
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	want := &host.StandIn{Limit: money.New(5000, eur), Velocity: []issuer.Velocity{{Days: 1, Count: 3}}, Cards: []string{"476173", "541333"}}
	got, err := standIn("50.00,3,476173,541333", eur)
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b money.Currency) bool { return a == b })); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	for _, bad := range [][]string{
		{"-stand-in", "50.00,3"}, {"-stand-in", "much,3,476173"}, {"-stand-in", "50.00,often,476173"}, {"-stand-in", "50.00,3,476173", "-upstream", ""},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), bad, &out, &errs); code != 2 || !strings.Contains(errs.String(), "-stand-in") || out.Len() != 0 {
			t.Errorf("%v: exit %d: %s%s", bad, code, out.String(), errs.String())
		}
	}
}
