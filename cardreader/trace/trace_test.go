package trace_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/cardreader/trace"
)

const small = `{"trace":1,"interface":"contact","protocol":"T=0","atr":"3B6500002063CB6800","terminal":{"9F37":"12345678","9A":"261124"}}
{"us":1500,"cmd":"00A404000E315041592E5359532E444446303100","resp":"6A82"}
{"us":90,"cmd":"80CA9F1700","resp":"9F1701039000"}
`

func TestParse(t *testing.T) {
	got := parse(t, small)
	want := &trace.Trace{
		Interface: cardreader.Contact, Protocol: cardreader.T0, ATR: unhex(t, "3B6500002063CB6800"),
		Terminal: map[tlv.Tag][]byte{0x9F37: unhex(t, "12345678"), 0x9A: unhex(t, "261124")},
		Exchanges: []trace.Exchange{
			{Took: 1500 * time.Microsecond, Command: unhex(t, "00A404000E315041592E5359532E444446303100"), Response: unhex(t, "6A82")},
			{Took: 90 * time.Microsecond, Command: unhex(t, "80CA9F1700"), Response: unhex(t, "9F1701039000")},
		},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	var b bytes.Buffer
	n, err := got.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	// encoding/json sorts the tags.
	if want := strings.Replace(small, `"9F37":"12345678","9A":"261124"`, `"9A":"261124","9F37":"12345678"`, 1); b.String() != want {
		t.Errorf("written: %s\nwant: %s", b.String(), want)
	}
}

func TestParseForms(t *testing.T) {
	for name, s := range map[string]string{
		"header alone":       `{"trace":1,"interface":"contact","atr":""}`,
		"contactless":        `{"trace":1,"interface":"contactless","protocol":"T=CL","atr":"3B8180018080","match":"header","masked":true}` + "\n",
		"lower case":         "{\"trace\":1,\"interface\":\"contact\",\"protocol\":\"T=1\",\"atr\":\"3b00\"}\n{\"us\":0,\"cmd\":\"00a40400\",\"resp\":\"6a82\"}",
		"empty lines, CR LF": "{\"trace\":1,\"interface\":\"contact\",\"atr\":\"\"}\r\n\r\n{\"us\":0,\"cmd\":\"00A40400\",\"resp\":\"6A82\"}\r\n\n",
	} {
		if _, err := trace.Parse(strings.NewReader(s)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseMalformed(t *testing.T) {
	const head = `{"trace":1,"interface":"contact","atr":""}` + "\n"
	for _, tt := range []struct {
		name, in string
		line     int
		reason   string
	}{
		{"empty", "", 1, "the file is empty"},
		{"blank", "\n\n", 1, "the file is empty"},
		{"no JSON", "trace", 1, "not an object"},
		{"an array", "[]", 1, "not an object"},
		{"another edition", `{"trace":2,"interface":"contact","atr":""}`, 1, "edition 2"},
		{"no edition", `{"interface":"contact","atr":""}`, 1, "edition 0"},
		{"interface", `{"trace":1,"interface":"usb","atr":""}`, 1, "interface"},
		{"protocol", `{"trace":1,"interface":"contact","protocol":"T=2","atr":""}`, 1, "protocol"},
		{"match", `{"trace":1,"interface":"contact","atr":"","match":"all"}`, 1, "match"},
		{"atr", `{"trace":1,"interface":"contact","atr":"3"}`, 1, "atr"},
		{"unknown member", `{"trace":1,"interface":"contact","atr":"","pan":"1"}`, 1, "member that the format lacks"},
		{"two objects", `{"trace":1,"interface":"contact","atr":""} {}`, 1, "more than one object"},
		{"terminal tag", `{"trace":1,"interface":"contact","atr":"","terminal":{"9F":"00"}}`, 1, "9F is no tag"},
		{"terminal tag, no hex", `{"trace":1,"interface":"contact","atr":"","terminal":{"x":"00"}}`, 1, "not hexadecimal"},
		{"terminal value", `{"trace":1,"interface":"contact","atr":"","terminal":{"9A":"0"}}`, 1, "9A is not hexadecimal"},
		{"terminal twice", `{"trace":1,"interface":"contact","atr":"","terminal":{"9a":"00","9A":"01"}}`, 1, "9A is there twice"},
		{"no command", head + `{"us":1,"resp":"9000"}`, 2, "missing"},
		{"no response", head + `{"us":1,"cmd":"00A40400"}`, 2, "missing"},
		{"short command", head + `{"us":1,"cmd":"00A404","resp":"9000"}`, 2, "3 bytes"},
		{"short response", head + `{"us":1,"cmd":"00A40400","resp":"90"}`, 2, "no status word"},
		{"no hex", head + `{"us":1,"cmd":"00A4040","resp":"9000"}`, 2, "cmd is not"},
		{"no hex in the response", head + `{"us":1,"cmd":"00A40400","resp":"900"}`, 2, "resp is not"},
		{"negative time", head + `{"us":-1,"cmd":"00A40400","resp":"9000"}`, 2, "out of range"},
		{"time of a day", head + `{"us":99999999999999,"cmd":"00A40400","resp":"9000"}`, 2, "out of range"},
		{"after a blank line", head + "\n" + `{"us":1,"cmd":"","resp":"9000"}`, 3, "0 bytes"},
		{"line too long", head + strings.Repeat(" ", 1<<22), 2, "too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := trace.Parse(strings.NewReader(tt.in))
			var e *trace.Error
			if !errors.As(err, &e) || !errors.Is(err, trace.ErrFormat) || e.Line != tt.line || !strings.Contains(e.Reason, tt.reason) {
				t.Errorf("%v, want line %d: %s", err, tt.line, tt.reason)
			}
		})
	}
}

// TestErrorsShowNoData: an error of a file must not show what was in the line.
func TestErrorsShowNoData(t *testing.T) {
	for _, in := range []string{
		`{"trace":1,"interface":"4761739001010010","atr":""}`,
		`{"trace":1,"interface":"contact","atr":"","4761739001010010":1}`,
		`{"trace":"4761739001010010"}`,
		`{"trace":1,"interface":"contact","atr":"4761739001010010F"}`,
		small + `{"us":1,"cmd":"4761739001010010F","resp":"9000"}`,
		small + `{"us":1,"cmd":"4761739001010010","resp":"4761739001010010F"}`,
		small + `{"us":"4761739001010010","cmd":"","resp":""}`,
	} {
		_, err := trace.Parse(strings.NewReader(in))
		if err == nil || strings.Contains(err.Error(), "4761739001010010") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// broken is a reader and writer that fails.
type broken struct{}

var errBroken = errors.New("broken")

func (broken) Read([]byte) (int, error)  { return 0, errBroken }
func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestStreamErrors(t *testing.T) {
	if _, err := trace.Parse(broken{}); !errors.Is(err, errBroken) || errors.Is(err, trace.ErrFormat) {
		t.Errorf("Parse: %v", err)
	}
	if _, err := parse(t, small).WriteTo(broken{}); !errors.Is(err, errBroken) {
		t.Errorf("WriteTo: %v", err)
	}
}

func FuzzTrace(f *testing.F) {
	f.Add(small)
	f.Add(`{"trace":1,"interface":"contactless","protocol":"T=CL","atr":"3B8180018080","match":"header","masked":true}` + "\n")
	f.Add(`{"trace":1,"interface":"contact","atr":""}` + "\n" + `{"us":1,"cmd":"00B2010C00","resp":"70 0A"}`)
	f.Add(`{"trace":1,"interface":"contact","atr":""}` + "\n" + `{"us":1,"cmd":"00B2010C00","resp":"700A5A08476173900101001090006105"}` + "\n" + `{"us":1,"cmd":"00C0000005","resp":"5A0547617390019000"}`)
	f.Add(`{"trace":1,"interface":"contact","atr":""}` + "\n" + `{"us":1,"cmd":"0020008008241234FFFFFFFFFF","resp":"6C01"}` + "\n" + `{"us":1,"cmd":"80AE800000","resp":"80019000"}`)
	f.Fuzz(func(t *testing.T, in string) {
		tr, err := trace.Parse(strings.NewReader(in))
		if err != nil {
			if !errors.Is(err, trace.ErrFormat) {
				t.Fatalf("error %v", err)
			}
			return
		}
		var one, two bytes.Buffer
		if _, err := tr.WriteTo(&one); err != nil {
			t.Fatal(err)
		}
		again, err := trace.Parse(bytes.NewReader(one.Bytes()))
		if err != nil {
			t.Fatalf("written and not read: %v\n%s", err, one.String())
		}
		if d := cmp.Diff(tr, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("-want +got\n%s", d)
		}
		masked := tr.Mask()
		if d := cmp.Diff(tr, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("Mask changed what it was given: -want +got\n%s", d)
		}
		for i, e := range masked.Exchanges {
			if len(e.Command) != len(tr.Exchanges[i].Command) || len(e.Response) != len(tr.Exchanges[i].Response) {
				t.Fatalf("exchange %d changed its length", i+1)
			}
		}
		// Masking what is masked changes nothing.
		if d := cmp.Diff(masked, masked.Mask(), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("masked twice: -once +twice\n%s", d)
		}
		if _, err := masked.WriteTo(&two); err != nil {
			t.Fatal(err)
		}
		for _, reveal := range []bool{false, true} {
			for _, s := range tr.Explain(reveal) {
				_ = s.String()
			}
		}
		tr.CheckODA(nokeys{}, today())
		tr.Date()
	})
}
