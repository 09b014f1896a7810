package trace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/cardreader/trace"
)

// steps of a report, by their check: what is wrong, in their order.
func wrongs(r trace.ODAReport) []string {
	var out []string
	for _, c := range r.Checks {
		for _, d := range c.Details {
			if d.Wrong != "" {
				out = append(out, c.Step+": "+d.What)
			}
		}
	}
	return out
}

// TestRecovery tells every step of what verifies.
func TestRecovery(t *testing.T) {
	for profile, want := range map[string][]string{
		"default": {"issuer identifier", "PAN in it", "key digits in it", "ICC dynamic number", "hash"},
		"cda":     {"CID in it", "cryptogram in it", "transaction data hash"},
		"sda":     {"issuer identifier", "data authentication code"},
	} {
		t.Run(profile, func(t *testing.T) {
			file, _ := recorded(t, profile, trace.Options{RevealCardholderData: true})
			reports := parse(t, file).CheckODA(caKeys(t), today())
			r := reports[len(reports)-1]
			if w := wrongs(r); len(w) > 0 {
				t.Errorf("wrong though it verifies: %q", w)
			}
			var said strings.Builder
			for _, c := range r.Checks {
				for _, d := range c.Details {
					said.WriteString(d.String() + "\n")
				}
			}
			for _, w := range append(want, "recovered header         6A", "recovered trailer        BC") {
				if !strings.Contains(said.String(), w) {
					t.Errorf("%q is not said:\n%s", w, said.String())
				}
			}
			for _, n := range pans(t, profile) {
				if strings.Contains(said.String(), n) {
					t.Error("a card number is shown")
				}
			}
		})
	}
}

// TestRecoveryFails names the step inside the check, and goes on where the key is
// sound all the same.
func TestRecoveryFails(t *testing.T) {
	file, _ := recorded(t, "default", trace.Options{RevealCardholderData: true})
	last := func(tr *trace.Trace, years int) trace.ODAReport {
		reports := tr.CheckODA(caKeys(t), today().AddDate(years, 0, 0))
		return reports[len(reports)-1]
	}
	for tag, want := range map[tlv.Tag]string{
		tags.IssuerCertificate: "issuer certificate: recovered header",
		tags.ICCCertificate:    "ICC certificate: recovered header",
		tags.ICCRemainder:      "ICC certificate: hash",
		tags.ICCExponent:       "ICC certificate: hash",
		tags.IssuerExponent:    "issuer certificate: hash",
		tags.PAN:               "ICC certificate: PAN in it",
		tags.EffectiveDate:     "ICC certificate: hash",
	} {
		tr := parse(t, file)
		for _, e := range tr.Exchanges {
			if v, ok := tlv.Find(e.Response[:len(e.Response)-2], tag); ok && len(v) > 0 {
				v[len(v)-1] ^= 0x40
			}
		}
		r := last(tr, 0)
		if w := wrongs(r); r.Verified() || !slices.Contains(w, want) {
			t.Errorf("%s altered: %q, want %q", tag, w, want)
		}
	}
	r := last(parse(t, file), 10)
	w := wrongs(r)
	if r.Verified() || !slices.Contains(w, "issuer certificate: valid to") || !slices.Contains(w, "ICC certificate: valid to") {
		t.Errorf("in ten years: %q", w)
	}
	if c := r.Checks[len(r.Checks)-1]; c.Step != "signed dynamic data" || !c.OK {
		t.Errorf("the rest is not told: %+v", c)
	}
}

// TestEveryByteAltered: whatever a card sends in its certificates, the steps are
// told, and a verified report has none that is wrong.
func TestEveryByteAltered(t *testing.T) {
	file, _ := recorded(t, "cda", trace.Options{RevealCardholderData: true})
	keys := caKeys(t)
	n := 0
	for i, e := range parse(t, file).Exchanges {
		for at := 0; at < len(e.Response)-2; at += 7 {
			tr := parse(t, file)
			tr.Exchanges[i].Response[at] ^= 0xFF
			for _, r := range tr.CheckODA(keys, today()) {
				n++
				if w := wrongs(r); r.Verified() && len(w) > 0 {
					t.Errorf("exchange %d, byte %d: verified with %q", i, at, w)
				}
				_ = fmt.Sprint(r)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d reports only", n)
	}
}
