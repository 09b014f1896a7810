package acquirer

import (
	"testing"
)

// TestCodesAsPublished holds the tables against what public tables say: which
// codes approve, which are declines, and the action codes of 1993.
func TestCodesAsPublished(t *testing.T) {
	d := Default()
	with := func(c []Response) *Dialect {
		t.Helper()
		x, err := d.WithCodes(c)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	visa, mastercard := with(VisaCodes()), with(MastercardCodes())
	for _, c := range []struct {
		d      *Dialect
		code   string
		class  ResponseClass
		action string
	}{
		{d, "00", ClassApproved, "000"}, {d, "08", ClassApproved, "001"}, {d, "10", ClassPartial, "002"}, {d, "11", ClassApproved, "003"}, {d, "16", ClassApproved, "004"},
		{d, "04", ClassPickUp, "200"}, {d, "07", ClassPickUp, "207"}, {d, "41", ClassPickUp, "208"}, {d, "43", ClassPickUp, "209"}, {d, "67", ClassPickUp, ""},
		{d, "23", ClassFormat, "113"}, {d, "40", ClassDeclined, "115"}, {d, "63", ClassFormat, "122"}, {d, "93", ClassDeclined, "124"}, {d, "22", ClassLater, ""},
		{d, "78", ClassFormat, ""}, {visa, "78", ClassDeclined, ""}, {mastercard, "78", ClassDeclined, ""},
		{visa, "70", ClassRetry, "112"}, {mastercard, "70", ClassDeclined, ""}, {visa, "1A", ClassRetry, ""}, {visa, "R1", ClassDeclined, ""}, {visa, "Q1", ClassDeclined, ""},
		{mastercard, "87", ClassPartial, ""}, {mastercard, "89", ClassPINWrong, ""}, {mastercard, "84", ClassFormat, ""}, {mastercard, "85", ClassApproved, ""},
		{d, "70", ClassUnknown, ""}, {d, "1A", ClassUnknown, ""},
	} {
		r, _ := c.d.Response(c.code)
		if r.Class != c.class || r.Action != c.action {
			t.Errorf("%s: %v, action code %q; want %v, %q", c.code, r.Class, r.Action, c.class, c.action)
		}
	}
	// Each action code stands for one response code.
	seen := map[string]string{}
	for _, r := range DefaultCodes() {
		if r.Action == "" {
			continue
		}
		if other := seen[r.Action]; other != "" {
			t.Errorf("action code %s stands for %s and %s", r.Action, other, r.Code)
		}
		seen[r.Action] = r.Code
	}
}
