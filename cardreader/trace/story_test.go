package trace_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/trace"
)

func told(list []trace.Decision) string {
	var b strings.Builder
	for _, d := range list {
		b.WriteString(d.String())
	}
	return b.String()
}

// TestStory tells recorded payments to their end.
func TestStory(t *testing.T) {
	for profile, want := range map[string][]string{
		"default": {"application A0000000031010, Visa selected", "the payment begins", "the terminal asks for ARQC", "the card answers with ARQC", "TVR: Transaction exceeds floor limit",
			"Issuer Action Code - Online names: ", "second GENERATE AC", "in the end: "},
		"sda": {"first GENERATE AC", "in the end: "},
		"t0":  {"dynamic data authentication: the card signed", "second GENERATE AC"},
	} {
		t.Run(profile, func(t *testing.T) {
			for _, o := range []trace.Options{{}, {RevealCardholderData: true}} {
				file, _ := recorded(t, profile, o)
				got := told(parse(t, file).Story())
				for _, w := range want {
					if !strings.Contains(got, w) {
						t.Errorf("%q is not told:\n%s", w, got)
					}
				}
				for _, n := range pans(t, profile) {
					if strings.Contains(got, n) {
						t.Error("a card number is told")
					}
				}
			}
		})
	}
}

// lines is a session of commands and responses in turn.
func lines(t *testing.T, apdus ...string) *trace.Trace {
	t.Helper()
	var b strings.Builder
	for i, a := range apdus {
		b.WriteString([...]string{"> ", "< "}[i%2] + a + "\n")
	}
	list, _, err := trace.ParseAny(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return list[0].Trace
}

// TestStoryEnds: each way in which a payment ends, by what the card answers to
// what it is asked for (Book 3, 9.3).
func TestStoryEnds(t *testing.T) {
	const arqc, tc, aac = "770D9F2701809F360200019F2601009000", "770D9F2701409F360200019F2601009000", "770D9F2701009F360200019F2601009000"
	for _, c := range []struct {
		name  string
		apdus []string
		want  string
	}{
		{"approved offline", []string{"80AE400000", tc}, "approved offline"},
		{"declined by the terminal", []string{"80AE000000", aac}, "declined offline, by the terminal"},
		{"declined by the card", []string{"80AE800000", aac}, "declined offline, by the card"},
		{"online", []string{"80AE800000", arqc}, "sent online; no second"},
		{"approved", []string{"80AE800000", arqc, "80AE400000", tc}, "approved\n"},
		{"declined", []string{"80AE800000", arqc, "80AE000000", aac}, "declined\n"},
		{"declined after all", []string{"80AE800000", arqc, "80AE400000", aac}, "declined by the card, though"},
		{"format 1", []string{"80AE800000", "800B8000011122334455667788 9000"}, "sent online"},
		{"more than asked", []string{"80AE800000", tc}, "broken off"},
		{"more than a refusal", []string{"80AE000000", arqc}, "broken off"},
		{"online twice", []string{"80AE800000", arqc, "80AE400000", arqc}, "broken off"},
		{"refused", []string{"80AE800000", "6985"}, "not completed"},
		{"blocked", []string{"00A4040007A000000003101000", "6A81"}, "the card is blocked"},
		{"contactless", []string{"80A8000002830000", "7718820200009F2608112233445566778 89F2701809F36020001 9000"}, "sent online"},
		{"wrong PIN", []string{"0020008008241234FFFFFFFFFF", "63C2"}, "tries left: 2"},
		{"blocked PIN", []string{"0020008008241234FFFFFFFFFF", "6983"}, "the PIN is blocked"},
		{"issuer not accepted", []string{"00820000081122334455667788", "6300"}, "issuer authentication failed"},
		{"script", []string{"841E0000041122334400", "9000"}, "the card carried out APPLICATION BLOCK"},
		{"another application", []string{"80A8000002830000", "6985"}, "this one leaves the list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := told(lines(t, c.apdus...).Story()); !strings.Contains(got, c.want) || strings.Contains(got, "241234") {
				t.Errorf("no %q:\n%s", c.want, got)
			}
		})
	}
}

func TestHTML(t *testing.T) {
	file, _ := recorded(t, "default", trace.Options{RevealCardholderData: true})
	write := func(reveal bool) string {
		var b bytes.Buffer
		if err := trace.WriteHTML(&b, []trace.Session{{Name: "<script>alert(1)</script>", Trace: parse(t, file)}}, reveal); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	page := write(false)
	for _, want := range []string{"<!DOCTYPE html>", "GET PROCESSING OPTIONS", "Application Interchange Profile", "476173******0010", "What was decided", "in the end", `type="search"`, "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	for _, f := range append(forms("4761739001010010"), "src=", "http://", "https://", "<script>alert", "@import", "url(") {
		if strings.Contains(page, f) {
			t.Errorf("%q is on the page", f)
		}
	}
	if !strings.Contains(write(true), "4761739001010010") {
		t.Error("nothing is shown that was asked for")
	}
	if err := trace.WriteHTML(refusing{}, nil, false); err == nil {
		t.Error("a full disk is no error")
	}
	var b bytes.Buffer
	pin := lines(t, "0020008008241234FFFFFFFFFF", "9000")
	if err := trace.WriteHTML(&b, []trace.Session{{Trace: pin}}, true); err != nil || strings.Contains(b.String(), "241234") {
		t.Errorf("the PIN is on the page, %v", err)
	}
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, errors.New("full") }

// TestStoryOfMany is bounded by the session's length.
func TestStoryOfMany(t *testing.T) {
	var apdus []string
	for range 5000 {
		apdus = append(apdus, "00B2010C00", "6A83", "80AE800000", fmt.Sprintf("%04X", 0x6985))
	}
	if n := len(lines(t, apdus...).Story()); n != 2*5000+1 {
		t.Errorf("%d decisions", n)
	}
}
