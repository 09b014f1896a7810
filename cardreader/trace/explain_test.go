package trace_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/cardreader/trace"
)

func TestExplainCommand(t *testing.T) {
	got, err := trace.ExplainCommand(unhex(t, "00A4040007A000000003101000"), false)
	if err != nil {
		t.Fatal(err)
	}
	want := trace.Command{Hex: "00A4040007A000000003101000", Name: "SELECT", Words: []string{"by name", "first or only occurrence"}, Length: 7, Ne: 256,
		Data: []tags.Node{{Tag: "84", Name: "Dedicated File Name", Format: "b", Source: "card", Length: 7, Value: "A0000000031010", Meaning: []string{"Visa"}}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	for _, reveal := range []bool{false, true} {
		if got, err := trace.ExplainCommand(unhex(t, "0020008008241234FFFFFFFFFF"), reveal); err != nil || got.Hex != "00200080080000000000000000" {
			t.Errorf("VERIFY, reveal %v: %s, %v", reveal, got.Hex, err)
		}
	}
	for _, in := range []string{"80A80000", "80A8000002830000", "80A800000000028300", "00820000081122334455667788", "00A40400"} {
		if _, err := trace.ExplainCommand(unhex(t, in), false); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
	if _, err := trace.ExplainCommand(unhex(t, "00A404"), false); !errors.Is(err, apdu.ErrMalformed) {
		t.Errorf("three bytes: %v", err)
	}
}

func TestExplainResponse(t *testing.T) {
	got, err := trace.ExplainResponse(unhex(t, "70125A084761739001010010 9F10 05 4761739001 0010 9000"), false)
	if err != nil {
		t.Fatal(err)
	}
	if got.SW != "9000" || got.Status != "done" || got.Malformed == "" || strings.Contains(got.Hex, "739001010010") {
		t.Errorf("%+v", got)
	}
	if got, err := trace.ExplainResponse(unhex(t, "6A83"), false); err != nil || got.Status != "record not found" || got.Hex != "6A83" || got.Data != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := trace.ExplainResponse(unhex(t, "90"), false); !errors.Is(err, apdu.ErrMalformed) {
		t.Errorf("one byte: %v", err)
	}
}

// find returns the first node of a tag.
func find(nodes []tags.Node, tag string) (tags.Node, bool) {
	for _, n := range nodes {
		if n.Tag == tag {
			return n, true
		}
		if c, ok := find(n.Children, tag); ok {
			return c, true
		}
	}
	return tags.Node{}, false
}

// TestExplainTrace follows a transaction: lists of the card split the commands'
// data, format 1 is taken apart, pieces are joined.
func TestExplainTrace(t *testing.T) {
	tr := exchange(t,
		"00A4040007A0000000031010 00", "6F17 8407A0000000031010 A50C 500456495341 9F3803 9F1A02 9000",
		"80A8000004 8302 0276 00", "80061C00080101009000",
		"00B2010C00", "70 1A 5A08 4761739001010010 8C0A 9F02069F370495059C01 6104",
		"00C0000004", "9F360100 9000",
		"80AE800010 000000001234 12345678 0000008000 00 00", "8012 80 0036 297CB3BA090724C5 06010A03A4B800 9000",
		"0084000000", "0102030405060708 9000",
	)
	steps := tr.Explain(false)
	if len(steps) != 6 {
		t.Fatalf("%d steps", len(steps))
	}
	for _, tt := range []struct {
		nodes      []tags.Node
		tag, value string
		meaning    string
	}{
		{steps[0].Command.Data, "84", "A0000000031010", "Visa"},
		{steps[0].Response.Data, "9F38", "9F1A02", "9F1A Terminal Country Code, 2 bytes"},
		{steps[1].Command.Data, "9F1A", "0276", "ISO 3166 number 276"},
		{steps[1].Response.Data, "82", "1C00", "Cardholder verification is supported"},
		{steps[1].Response.Data, "94", "08010100", "File 1, record 1"},
		{steps[3].Response.Data, "8C", "9F02069F370495059C01", "9C Transaction Type, 1 byte"},
		{steps[4].Command.Data, "95", "0000008000", "Transaction exceeds floor limit"},
		{steps[4].Command.Data, "9F02", "000000001234", "1234 minor units"},
		{steps[4].Response.Data, "9F27", "80", "ARQC"},
		{steps[4].Response.Data, "9F10", "06010A03A4B800", "New card"},
	} {
		n, ok := find(tt.nodes, tt.tag)
		if !ok || n.Value != tt.value || !slices.Contains(n.Meaning, tt.meaning) {
			t.Errorf("%s: %v, %+v; want %s, %q", tt.tag, ok, n, tt.value, tt.meaning)
		}
	}
	if steps[2].Response.Data != nil {
		t.Errorf("the first piece is explained by itself: %+v", steps[2].Response.Data)
	}
	out, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	for _, s := range steps {
		text += s.String()
	}
	if strings.Contains(text, "4761739001010010") || strings.Contains(text, "739001") {
		t.Error("the PAN is shown")
	}
	if steps[5].Response.Data != nil || steps[5].Response.Malformed != "" {
		t.Errorf("a challenge is taken for data objects: %+v", steps[5].Response)
	}
	out, err = json.Marshal(tr.Explain(true))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "4761739001010010") {
		t.Error("the PAN is not revealed")
	}
}

func TestExplainBadExchanges(t *testing.T) {
	tr := exchange(t, "00B2010C0500", "9000", "00B2010C00", "70059000", "80A80000", "8001009000", "80AE800000", "800280009000", "8088000000", "80009000")
	steps := tr.Explain(false)
	if steps[0].Command.Name != "no command" || steps[1].Response.Malformed == "" {
		t.Errorf("%+v\n%+v", steps[0], steps[1])
	}
	for _, s := range steps {
		if s.String() == "" {
			t.Error("nothing to read")
		}
	}
}

// TestCheckODA does the data authentication of recorded payments again.
func TestCheckODA(t *testing.T) {
	for profile, steps := range map[string][]string{
		"default":                {"issuer certificate", "static data", "ICC certificate", "signed dynamic data"},
		"t0":                     {"issuer certificate", "static data", "ICC certificate", "signed dynamic data"},
		"cda":                    {"issuer certificate", "static data", "ICC certificate", "signed dynamic data"},
		"sda":                    {"issuer certificate", "static data", "signed static data"},
		"offline-pin-enciphered": nil,
	} {
		t.Run(profile, func(t *testing.T) {
			if steps == nil {
				return
			}
			file, _ := recorded(t, profile, trace.Options{RevealCardholderData: true})
			reports := parse(t, file).CheckODA(caKeys(t), today())
			r := reports[len(reports)-1]
			var got []string
			for _, c := range r.Checks {
				if !c.OK || c.Skipped {
					t.Errorf("%+v", c)
				}
				if !slices.Contains(got, c.Step) {
					got = append(got, c.Step)
				}
			}
			if d := cmp.Diff(steps, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if !r.Verified() || r.AID == "" || len(r.Methods) == 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestCheckODAFails alters what was recorded: the check names the step.
func TestCheckODAFails(t *testing.T) {
	file, _ := recorded(t, "default", trace.Options{RevealCardholderData: true})
	alter := func(tag tlv.Tag) *trace.Trace {
		tr := parse(t, file)
		for _, e := range tr.Exchanges {
			if v, ok := tlv.Find(e.Response[:len(e.Response)-2], tag); ok && len(v) > 0 {
				v[len(v)-1] ^= 1
				return tr
			}
		}
		t.Fatalf("%s is not in the trace", tag)
		return nil
	}
	for tag, step := range map[tlv.Tag]string{
		tags.IssuerCertificate: "issuer certificate", tags.ICCCertificate: "ICC certificate", tags.ExpirationDate: "ICC certificate",
		tags.PAN: "ICC certificate", tags.ICCRemainder: "ICC certificate",
	} {
		reports := alter(tag).CheckODA(caKeys(t), today())
		r := reports[len(reports)-1]
		if r.Verified() {
			t.Errorf("%s altered: verified", tag)
			continue
		}
		i := slices.IndexFunc(r.Checks, func(c trace.Check) bool { return !c.OK })
		if r.Checks[i].Step != step || r.Checks[i].Text == "" {
			t.Errorf("%s altered: %+v, want %s", tag, r.Checks[i], step)
		}
	}
	// An altered signature, an altered command.
	tr := parse(t, file)
	for _, e := range tr.Exchanges {
		if e.Command[1] == apdu.INSInternalAuthenticate {
			e.Command[5] ^= 1
		}
	}
	reports := tr.CheckODA(caKeys(t), today())
	if r := reports[len(reports)-1]; r.Verified() || r.Checks[len(r.Checks)-1].Step != "signed dynamic data" {
		t.Errorf("%+v", r)
	}
	// No key, and a masked trace: skipped, and never verified.
	for name, r := range map[string][]trace.ODAReport{"no keys": parse(t, file).CheckODA(nokeys{}, today()), "masked": parse(t, file).Mask().CheckODA(caKeys(t), today())} {
		last := r[len(r)-1]
		if last.Verified() || !slices.ContainsFunc(last.Checks, func(c trace.Check) bool { return c.Skipped }) {
			t.Errorf("%s: %+v", name, last)
		}
	}
	if got := exchange(t, "00A4040000", "6A82").CheckODA(nokeys{}, today()); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestProfilesHaveNoSurprise(t *testing.T) {
	// Every software card's session is explained and masked without a PAN.
	for _, info := range simcard.Profiles() {
		switch info.Name {
		case "default", "cda", "sda", "pdol", "multi-app", "long-pan":
		default:
			continue
		}
		t.Run(info.Name, func(t *testing.T) {
			file, _ := recorded(t, info.Name, trace.Options{RevealCardholderData: true})
			tr := parse(t, file)
			for _, s := range tr.Explain(false) {
				for _, n := range pans(t, info.Name) {
					for _, f := range forms(n) {
						if strings.Contains(s.String(), f) {
							t.Errorf("%s is in step %d", f, s.Number)
						}
					}
				}
			}
		})
	}
}
