package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/trace"
	"github.com/payunit/payunit/examples/internal/sealed"
)

func explain(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, diag bytes.Buffer
	code = run(args, strings.NewReader(stdin), &out, &diag)
	return code, out.String(), diag.String()
}

func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		out  []string // what is said
		diag string
	}{
		{"tlv 6F168407A0000000031010A50B5009564953412054455354", 0, []string{"6F     File Control Information Template", "    50     Application Label: 564953412054455354", "VISA TEST"}, ""},
		{"tlv 9A 03 26 11 24", 0, []string{"2026-11-24"}, ""},
		{"tlv 0x9A03261124", 0, []string{"2026-11-24"}, ""},
		{"tlv 9A:03:26:11:24", 0, []string{"2026-11-24"}, ""},
		{"tlv 9A0326112484", 1, []string{"2026-11-24"}, "tag 84 at offset 6: length is missing"},
		{"tlv 5A084761739001010010", 0, []string{"476173******0010"}, ""},
		{"tlv -show-pan 5A084761739001010010", 0, []string{"4761739001010010"}, ""},
		{"tlv zz", 2, nil, "not hexadecimal"},
		{"tlv 9", 2, nil, "odd number"},
		{"tlv", 2, nil, "the HEX is missing"},
		{"tag 95 0000048000", 0, []string{"Terminal Verification Results", "Online PIN entered", "Transaction exceeds floor limit"}, ""},
		{"tag 9F37", 0, []string{"from the terminal, format b, 4 bytes, public"}, ""},
		{"tag DF79", 0, []string{"not in the dictionary"}, ""},
		{"tag 99 1234", 0, []string{"[2 bytes, hidden]"}, ""},
		{"tag 99 1234 -show-pan", 0, []string{"[2 bytes, hidden]"}, ""},
		{"tag 70 9A0326112400", 0, []string{"2026-11-24"}, ""},
		{"tag 70 9A03", 1, nil, "length 3, and 0 bytes follow"},
		{"tag 9F", 2, nil, "9F is no tag"},
		{"tag 9F0200", 2, nil, "is no tag"},
		{"tag x", 2, nil, "not hexadecimal"},
		{"tag", 2, nil, "the TAG is missing"},
		{"dol 9F02069F3704DF7901", 0, []string{"9F02 Amount, Authorised (Numeric), 6 bytes", "DF79 unknown to the dictionary, 1 byte", "11 bytes together"}, ""},
		{"dol 9F02", 1, nil, "offset 2: length is missing"},
		{"dol 9F0206 9F02", 1, []string{"9F02 Amount, Authorised (Numeric), 6 bytes"}, "offset 5: length is missing"},
		{"atr 3B6000 00", 0, []string{"direct convention", "an EMV terminal accepts it"}, ""},
		{"atr 3B8180018080", 0, []string{"a contactless reader's answer"}, ""},
		{"atr 3B4000", 0, []string{"rejects it at a cold reset"}, ""},
		{"atr 3B80018", 2, nil, "odd number"},
		{"atr 3B800182", 1, nil, "TCK"},
		{"apdu 00A4040007A000000003101000", 0, []string{"SELECT, by name", "Visa"}, ""},
		{"apdu 80CA9F1700", 0, []string{"GET DATA, tag 9F17"}, ""},
		{"apdu 9F1701039000", 0, []string{"9000 done", "3 tries"}, ""},
		{"apdu 6A83", 0, []string{"record not found"}, ""},
		{"apdu 01020304 9000", 0, []string{"response 010203049000", "9000 done"}, ""},
		{"apdu 00A404", 1, nil, "command of 3 bytes"},
		{"iso8583 30383030", 1, nil, "malformed"},
		{"iso8583 30383030 -show-pan", 2, nil, "masked only"},
		{"iso8583 30383030 -dialect none", 2, nil, "there is no"},
		{"trace /nonexistent/file", 1, nil, "no such file"},
		{"trace", 2, nil, "one FILE is wanted"},
		{"oda file", 2, nil, "-capk FILE is missing"},
		{"what 00", 2, nil, `there is no "what"`},
		{"", 2, nil, "Usage: explain COMMAND"},
		{"-nope", 2, nil, "flag provided but not defined"},
		{"-help", 0, nil, "Usage: explain COMMAND"},
		{"tlv -h", 0, nil, "Usage: explain COMMAND"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, out, diag := explain(t, "", strings.Fields(tt.args)...)
			if code != tt.code {
				t.Errorf("exit %d, want %d: %s", code, tt.code, diag)
			}
			for _, want := range tt.out {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not said:\n%s", want, out)
				}
			}
			if !strings.Contains(diag, tt.diag) || tt.diag == "" && diag != "" {
				t.Errorf("diagnostics %q, want %q", diag, tt.diag)
			}
			if code == 2 && out != "" {
				t.Errorf("output of a wrong command line: %s", out)
			}
		})
	}
}

// TestJSON: one object, whatever is asked for, and also of what is malformed.
func TestJSON(t *testing.T) {
	for args, want := range map[string]map[string]any{
		"tlv 9A03261124":          {"length": 5.0},
		"tlv 9A0326112484":        {"error": "tlv: tag 84 at offset 6: length is missing"},
		"tag 9F37 01020304":       {"tag": "9F37", "value": "01020304", "known": true, "secrecy": "public", "source": "terminal"},
		"tag 5A 4761739001010010": {"hidden": true, "value": "476173******0010", "secrecy": "sensitive"},
		"tag DF79":                {"known": false},
		"dol 9F3704":              {"length": 4.0},
		"dol 9F":                  {"error": "tlv: offset 0: tag cut off"},
		"atr 3B600000":            {"emv": true, "convention": "direct"},
		"atr 3F600000":            {"convention": "inverse"},
		"atr 3B8180018080":        {"contactless_reader": true, "tck": "80"},
		"atr 3B":                  {"error": "atr: malformed: T0 at offset 1: is missing"},
		"apdu 80CA9F1700":         {"kind": "command", "name": "GET DATA", "ne": 256.0},
		"apdu 6A83":               {"kind": "response", "sw": "6A83", "status": "record not found"},
		"apdu 00":                 {"error": "apdu: malformed: command of 1 bytes"},
	} {
		t.Run(args, func(t *testing.T) {
			code, out, _ := explain(t, "", append([]string{"-json"}, strings.Fields(args)...)...)
			d := json.NewDecoder(strings.NewReader(out))
			var got map[string]any
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := d.Decode(&struct{}{}); err != io.EOF {
				t.Errorf("more than one object: %s", out)
			}
			for k, v := range want {
				if diff := cmp.Diff(v, got[k]); diff != "" {
					t.Errorf("%s: -want +got\n%s", k, diff)
				}
			}
			if _, bad := got["error"]; bad != (code == 1) {
				t.Errorf("exit %d with %s", code, out)
			}
			// The flag may stand last.
			if code2, out2, _ := explain(t, "", append(strings.Fields(args), "-json")...); code2 != code || out2 != out {
				t.Errorf("-json at the end: exit %d, %s", code2, out2)
			}
		})
	}
}

func TestStandardInput(t *testing.T) {
	code, out, diag := explain(t, "9A 03\n26 11 24\n", "tlv", "-")
	if code != 0 || !strings.Contains(out, "2026-11-24") {
		t.Errorf("exit %d, %s%s", code, out, diag)
	}
	if code, _, diag := explain(t, strings.Repeat("0", 1<<20+1), "tlv", "-"); code != 1 || !strings.Contains(diag, "longer than") {
		t.Errorf("exit %d, %s", code, diag)
	}
}

// TestMessage explains a message of the acquirer's own making.
func TestMessage(t *testing.T) {
	// 0800 with fields 7, 11 and 70, as the 1987 edition in ASCII has it.
	in := hex.EncodeToString([]byte("0800" + "82200000000000000400000000000000" + "1124101112" + "000001" + "301"))
	code, out, diag := explain(t, "", "iso8583", in)
	if code != 0 || !strings.Contains(out, "0800") || !strings.Contains(out, "000001") || !strings.Contains(out, "301") {
		t.Errorf("exit %d: %s%s", code, out, diag)
	}
	code, out, _ = explain(t, "", "iso8583", in, "-json")
	var got struct {
		MTI    string
		Fields []struct{ Number int }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.MTI != "0800" || len(got.Fields) != 3 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}

// session records a software card that is selected, read and asked to sign, and
// returns the trace's file and that of the CA keys.
func session(t *testing.T, o trace.Options) (file, capk string) {
	t.Helper()
	dir := t.TempDir()
	file, capk = filepath.Join(dir, "session.jsonl"), filepath.Join(dir, "capk.json")
	keys, err := os.Create(capk)
	if err != nil {
		t.Fatal(err)
	}
	if err := simcard.WriteCAPK(keys, testkeys.PKI(), simcard.AllProfiles()); err != nil {
		t.Fatal(err)
	}
	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := simcard.LookupProfile("default")
	if err != nil {
		t.Fatal(err)
	}
	sim, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI()})
	if err != nil {
		t.Fatal(err)
	}
	r := trace.RecordReader(sim.Reader("software card"), func() (io.WriteCloser, error) { return os.Create(file) }, o)
	c, err := r.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, apdu.Select(p.Applications[0].AID, false))
	afl := send(t, c, apdu.GetProcessingOptions([]byte{0x83, 0})).Data[4:]
	for ; len(afl) >= 4; afl = afl[4:] {
		for n := afl[1]; n <= afl[2]; n++ {
			send(t, c, apdu.ReadRecord(afl[0]>>3, n))
		}
	}
	send(t, c, apdu.InternalAuthenticate([]byte{1, 2, 3, 4}))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return file, capk
}

func send(t *testing.T, c cardreader.Card, cmd apdu.Command) apdu.Response {
	t.Helper()
	r, err := apdu.Send(context.Background(), c, cmd)
	if err != nil || !r.SW.OK() {
		t.Fatalf("%s: %v, %v", cmd.Name(), r.SW, err)
	}
	return r
}

func TestTraceAndODA(t *testing.T) {
	file, capk := session(t, trace.Options{RevealCardholderData: true})
	code, out, diag := explain(t, "", "trace", file)
	for _, want := range []string{"contact card, T=1", "1. SELECT, by name", "GET PROCESSING OPTIONS", "READ RECORD, file 1, record 1", "INTERNAL AUTHENTICATE", "Application Interchange Profile", "476173******0010"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, %q is not said: %s", code, want, diag)
		}
	}
	if strings.Contains(out, "4761739001010010") {
		t.Error("the PAN is shown")
	}
	if _, out, _ := explain(t, "", "trace", file, "-show-pan"); !strings.Contains(out, "4761739001010010") {
		t.Error("the PAN is not shown with -show-pan")
	}
	code, out, _ = explain(t, "", "trace", file, "-json")
	var tr struct {
		Interface, ATR string
		Exchanges      []struct{ Command struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(out), &tr); err != nil || code != 0 || tr.Interface != "contact" || len(tr.Exchanges) < 5 || tr.Exchanges[0].Command.Name != "SELECT" {
		t.Errorf("exit %d, %v: %+v", code, err, tr)
	}

	code, out, diag = explain(t, "", "oda", file, "-capk", capk, "-date", "2026-11-24")
	for _, want := range []string{"verified  issuer certificate", "verified  ICC certificate", "verified  signed dynamic data: DDA"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, %q is not said: %s%s", code, want, out, diag)
		}
	}
	// On a day on which the certificates are over.
	code, out, diag = explain(t, "", "oda", file, "-capk", capk, "-date", "2099-01-01", "-json")
	var oda struct {
		Date         string
		Verified     bool
		Applications []trace.ODAReport
	}
	if err := json.Unmarshal([]byte(out), &oda); err != nil || code != 1 || oda.Verified || oda.Date != "2099-01-01" || len(oda.Applications) != 1 || diag == "" {
		t.Errorf("exit %d, %v: %s%s", code, err, out, diag)
	}
	for _, args := range [][]string{{"oda", file, "-capk", capk, "-date", "yesterday"}} {
		if code, _, _ := explain(t, "", args...); code != 2 {
			t.Errorf("%q: exit %d, want 2", args, code)
		}
	}
	for _, args := range [][]string{{"oda", file, "-capk", file}, {"oda", capk, "-capk", capk}, {"oda", file, "-capk", file + "x"}, {"trace", capk}} {
		if code, out, diag := explain(t, "", args...); code != 1 || out != "" || diag == "" {
			t.Errorf("%q: exit %d, %s%s", args, code, out, diag)
		}
	}
}

func TestMaskedODA(t *testing.T) {
	file, capk := session(t, trace.Options{})
	code, out, diag := explain(t, "", "oda", file, "-capk", capk, "-date", "2026-11-24")
	if code != 1 || !strings.Contains(out, "skipped   ICC certificate: the trace is masked") || !strings.Contains(diag, "not everything verified") {
		t.Errorf("exit %d, %s%s", code, out, diag)
	}
	empty := filepath.Join(t.TempDir(), "empty.jsonl")
	if err := os.WriteFile(empty, []byte(`{"trace":1,"interface":"contact","atr":""}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, diag := explain(t, "", "oda", empty, "-capk", capk); code != 1 || !strings.Contains(diag, "no application data") {
		t.Errorf("exit %d, %s", code, diag)
	}
}

// full is an output that takes nothing more.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestFullDisk(t *testing.T) {
	var diag bytes.Buffer
	for _, args := range [][]string{{"dol", "9F3704"}, {"dol", "9F3704", "-json"}} {
		if code := run(args, strings.NewReader(""), full{}, &diag); code != exitError {
			t.Errorf("%q: exit %d, want 1", args, code)
		}
	}
}

func TestDateOfToday(t *testing.T) {
	r := &request{now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }}
	a := report(nil, r.now())
	if a.err == nil || !strings.Contains(a.err.Error(), "no application data") {
		t.Errorf("%v", a.err)
	}
}

// TestForeignTraces explains what other programs recorded, and the page of it.
func TestForeignTraces(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	list := write("list.txt", "ATR: 3B600000\n> 00A4040007A000000003101000\n< 6F098407A00000000310109000\n> 0020008008241234FFFFFFFFFF\n< 63C2\n")
	page := filepath.Join(dir, "page.html")
	code, out, diag := explain(t, "", "trace", list, "-html", page, "-show-pan")
	for _, want := range []string{"1. SELECT, by name", "direct convention", "VERIFY, plaintext PIN", "what was decided", "the PIN is wrong, tries left: 2"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q: %s%s", code, want, out, diag)
		}
	}
	b, err := os.ReadFile(page)
	if err != nil || !bytes.Contains(b, []byte("SELECT")) {
		t.Errorf("the page: %v, %.200s", err, b)
	}
	if strings.Contains(out+string(b), "241234") {
		t.Error("the PIN is shown")
	}
	several := write("several.json", `[{"id":"one","steps":[{"cmd":"00A40400","resp":"6A82"}]},{"id":"two","steps":[{"cmd":"00B2010C00","resp":"6A83"},{"cmd":"","resp":"9000"}]}]`)
	code, out, _ = explain(t, "", "trace", several)
	if code != 0 || !strings.Contains(out, "== one") || !strings.Contains(out, "== two") || !strings.Contains(out, "no exchange of APDUs: 1") {
		t.Errorf("exit %d, %s", code, out)
	}
	code, out, _ = explain(t, "", "trace", several, "-session", "two", "-json")
	var x struct {
		Name    string
		Skipped int
		Story   []trace.Decision
	}
	if err := json.Unmarshal([]byte(out), &x); err != nil || code != 0 || x.Name != "two" || x.Skipped != 1 || x.Story == nil {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	code, out, _ = explain(t, "", "trace", several, "-json")
	var all struct{ Sessions []struct{ Name string } }
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || len(all.Sessions) != 2 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	for _, args := range [][]string{{"trace", several, "-session", "three"}} {
		if code, _, diag := explain(t, "", args...); code != exitUsage || !strings.Contains(diag, `"one", "two"`) {
			t.Errorf("%q: exit %d, %s", args, code, diag)
		}
	}
	if code, _, diag := explain(t, "", "trace", list, "-html", filepath.Join(dir, "none", "x")); code != exitError || !strings.Contains(diag, "-html") {
		t.Errorf("exit %d, %s", code, diag)
	}
}

// TestSealedTrace: a sealed cassette is explained to who has its passphrase.
func TestSealedTrace(t *testing.T) {
	dir := t.TempDir()
	file, pass := filepath.Join(dir, "sealed"), filepath.Join(dir, "passphrase")
	var b bytes.Buffer
	w, err := sealed.Writer(&b, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	const cassette = `{"trace":1,"cassette":1,"interface":"contact","atr":"","began":"2026-11-24T10:00:00Z","setup":{}}
{"port":"card","op":"connect","at":1,"answer":{"atr":"3b600000","protocol":"T=0","interface":"contact"}}
{"us":5,"cmd":"00A404000E315041592E5359532E444446303100","resp":"6A82","at":2}
{"port":"ui","op":"confirm","at":3,"ask":{}}
`
	if _, err := w.Write([]byte(cassette)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{file: b.Bytes(), pass: []byte("correct horse\n")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"trace", file}, nil, &out, &errs); code != exitError || !strings.Contains(errs.String(), "-passphrase-file") {
		t.Errorf("without: exit %d, %s", code, errs.String())
	}
	if code := run([]string{"trace", file, "-passphrase-file", pass}, nil, &out, &errs); code != exitDone ||
		!strings.Contains(out.String(), "contact card, T=0") || !strings.Contains(out.String(), "1PAY.SYS.DDF01") {
		t.Errorf("exit %d\n%s%s", code, out.String(), errs.String())
	}
}
