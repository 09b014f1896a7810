package trace_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/trace"
)

// TestExtended does extended data authentication of a recording again, whole,
// without the key, masked, and with a byte altered.
func TestExtended(t *testing.T) {
	file, _ := recorded(t, "xda", trace.Options{RevealCardholderData: true})
	masked, _ := recorded(t, "xda", trace.Options{})
	type check struct {
		Step string
		Word string
	}
	word := func(c trace.Check) string {
		switch {
		case c.Skipped:
			return "skipped"
		case c.OK:
			return "verified"
		}
		return "failed"
	}
	whole := parse(t, file)
	altered := parse(t, file)
	for i, x := range altered.Exchanges {
		if len(x.Command) > 1 && x.Command[1] == 0xAE {
			altered.Exchanges[i].Response[12] ^= 0x01 // of the cryptogram
			break
		}
	}
	for name, c := range map[string]struct {
		t    *trace.Trace
		keys oda.Keys
		want []check
	}{
		"whole": {whole, caKeys(t), []check{{oda.StepIssuer, "verified"}, {oda.StepRecords, "verified"}, {oda.StepICC, "verified"},
			{oda.StepDynamic, "verified"}, {oda.StepDynamic, "verified"}}},
		"without the CA's key": {whole, &oda.Store{}, []check{{oda.StepCA, "skipped"}}},
		"masked":               {parse(t, masked), caKeys(t), []check{{oda.StepIssuer, "skipped"}}},
		"cryptogram altered": {altered, caKeys(t), []check{{oda.StepIssuer, "verified"}, {oda.StepRecords, "verified"}, {oda.StepICC, "verified"},
			{oda.StepDynamic, "failed"}, {oda.StepDynamic, "verified"}}},
	} {
		t.Run(name, func(t *testing.T) {
			reports := c.t.CheckODA(c.keys, today())
			r := reports[len(reports)-1]
			var got []check
			var said strings.Builder
			for _, x := range r.Checks {
				got = append(got, check{x.Step, word(x)})
				said.WriteString(x.Text)
				for _, d := range x.Details {
					said.WriteString(d.String())
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff([]string{"XDA"}, r.Methods); d != "" {
				t.Error(d)
			}
			for _, n := range pans(t, "xda") {
				if strings.Contains(said.String(), n) {
					t.Error("a card number is shown")
				}
			}
		})
	}
}
