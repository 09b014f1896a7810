package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/trace"
)

func cardinfo(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

// TestProfiles reads every software card, and says nothing of its number.
func TestProfiles(t *testing.T) {
	for _, p := range simcard.AllProfiles() {
		t.Run(p.Name, func(t *testing.T) {
			code, out, errs := cardinfo(t, "-card", p.Name)
			want := exitDone
			if p.Name == "blocked-card" {
				want = exitError
			}
			if code != want {
				t.Fatalf("exit %d, want %d\n%s%s", code, want, out, errs)
			}
			for _, a := range p.Applications {
				if a.PAN != "" && strings.Contains(out+errs, a.PAN) {
					t.Error("the card number is shown")
				}
			}
		})
	}
}

func TestSays(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{"", exitDone, []string{
			"direct convention", "1PAY.SYS.DDF01", "A0000000031010 PAYUNIT TEST", "476173******0010", "2031-12-31", "file 2, record 1, signed",
			"Enciphered PIN verified online", "verified  ICC certificate", "verified  signed dynamic data: DDA", "Transaction exceeds floor limit",
		}},
		{"-show-pan", exitDone, []string{"4761739001010010"}},
		{"-card sda", exitDone, []string{"verified  signed static data"}},
		{"-card wrong-dda", exitDone, []string{"failed    signed dynamic data"}},
		{"-card revoked", exitDone, []string{"failed    issuer certificate", "revoked"}},
		{"-card unknown-ca", exitDone, []string{"skipped   CA key"}},
		{"-card offline-pin", exitDone, []string{"PIN tries left   3", "Plaintext PIN verification performed by ICC"}},
		{"-card multi-app", exitDone, []string{"application A0000000031010", "application A0000000041010"}},
		{"-card multi-app -aid A0000000041010", exitDone, []string{"application A0000000041010"}},
		{"-card t0", exitDone, []string{"contact card, T=0", "verified  ICC certificate"}},
		{"-card refused-app", exitDone, []string{"GET PROCESSING OPTIONS: 6985"}},
		{"-card blocked-app", exitDone, []string{"6283"}},
		{"-card blocked-card", exitError, []string{"no application"}},
		{"-aid A0000000041010", exitError, []string{"no application"}},
		{"-aid A0", exitUsage, []string{"-aid"}},
		{"-aid xyz", exitUsage, []string{"-aid"}},
		{"-date tomorrow", exitUsage, []string{"-date"}},
		{"-date 2033-01-01", exitDone, []string{"failed    issuer certificate"}},
		{"-reader replay:", exitUsage, []string{"FILE"}},
		{"-reader replay:no-such-file", exitError, []string{"no-such-file"}},
		{"-reader usb", exitError, []string{"there are sim"}},
		{"-capk no-such-file", exitError, []string{"-capk"}},
		{"-card no-such-card", exitError, []string{"no-such-card"}},
		{"stray", exitUsage, []string{"stray"}},
		{"-no-such-flag", exitUsage, []string{"not defined"}},
		{"-help", exitDone, []string{"offline-pin"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errs := cardinfo(t, strings.Fields(c.args)...)
			if code != c.code {
				t.Errorf("exit %d, want %d\n%s%s", code, c.code, out, errs)
			}
			for _, s := range c.says {
				if !strings.Contains(out+errs, s) {
					t.Errorf("does not say %q\n%s%s", s, out, errs)
				}
			}
			if code == exitUsage && out != "" {
				t.Errorf("usage on stdout: %s", out)
			}
		})
	}
	if _, out, _ := cardinfo(t, "-card", "multi-app", "-aid", "A0000000041010"); strings.Contains(out, "application A0000000031010") {
		t.Error("-aid reads other applications too")
	}
}

func TestJSON(t *testing.T) {
	code, out, errs := cardinfo(t, "-json", "-card", "offline-pin")
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || errs != "" {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	if len(r.Applications) != 1 || r.Directory == nil || len(r.Directory.Records) != 1 {
		t.Fatalf("report %+v", r)
	}
	a := r.Applications[0]
	if a.AID != "A0000000031010" || a.Label != "PAYUNIT TEST" || a.PINTries == nil || *a.PINTries != 3 || !a.ODA.Verified() || len(a.CVM) < 2 {
		t.Errorf("application %+v", a)
	}
	if strings.Contains(out, "null") {
		t.Error("a list is null")
	}
	if code, out, _ = cardinfo(t, "-json", "-card", "no-such-card"); code != exitError || !strings.Contains(out, `"error"`) {
		t.Errorf("error as JSON: exit %d %s", code, out)
	}
}

// TestReplay reads a recorded session as it reads a card: what was recorded whole
// verifies, what was masked says so.
func TestReplay(t *testing.T) {
	r, err := open(options{reader: "sim", card: "t0"})
	if err != nil {
		t.Fatal(err)
	}
	card, err := r.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tp := newTape(card)
	if err := tour(context.Background(), tp, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, says string
		t          *trace.Trace
	}{{"whole", "verified  ICC certificate", &tp.t}, {"masked", "skipped   ICC certificate", tp.t.Mask()}} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if _, err := c.t.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "session.jsonl")
			if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := cardinfo(t, "-reader", "replay:"+file)
			if code != exitDone || !strings.Contains(out, c.says) || !strings.Contains(out, "recording session.jsonl: contact card, T=0") {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
	}
}

// TestCancelled stops at once.
func TestCancelled(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var o, e bytes.Buffer
	if code := run(ctx, nil, &o, &e); code != exitError || !strings.Contains(e.String(), "canceled") {
		t.Errorf("exit %d: %s", code, e.String())
	}
}

// TestForeignRecording reads what other programs recorded.
func TestForeignRecording(t *testing.T) {
	const select6F = "6F098407A00000000310109000"
	dir := t.TempDir()
	list, several := filepath.Join(dir, "list.txt"), filepath.Join(dir, "several.json")
	for file, text := range map[string]string{
		list:    "> 00A4040007A000000003101000\n< " + select6F + "\n",
		several: `[{"id":"one","steps":[{"cmd":"00A4040007A000000003101000","resp":"` + select6F + `"}]},{"id":"two","steps":[{"cmd":"00A40400","resp":"6A82"}]}]`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-reader", "replay:" + list}, exitDone, "application A0000000031010"},
		{[]string{"-reader", "replay:" + several}, exitError, "one, two"},
		{[]string{"-reader", "replay:" + several, "-session", "one"}, exitDone, "several.json, one"},
		{[]string{"-reader", "replay:" + several, "-session", "three"}, exitError, "one, two"},
	} {
		if code, out, errs := cardinfo(t, c.args...); code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%q: exit %d\n%s%s", c.args, code, out, errs)
		}
	}
}
