package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/money"
)

// keeping is an input that keeps hold of what it was read into.
type keeping struct {
	r    *strings.Reader
	into [][]byte
}

func (k *keeping) Read(b []byte) (int, error) {
	k.into = append(k.into, b)
	return k.r.Read(b)
}

// TestScriptKeepsNoPIN: a PIN stays in no buffer that it was read into, and what
// follows it is not read.
func TestScriptKeepsNoPIN(t *testing.T) {
	in := &keeping{r: strings.NewReader(" 864209 \r\nrest")}
	l := lines{in}
	pin, err := readPIN(l)
	if err != nil || string(pin.Reveal()) != "864209" {
		t.Fatalf("read a PIN of %d digits, %v", pin.Len(), err)
	}
	for _, b := range in.into {
		if bytes.ContainsAny(b, "864209") {
			t.Error("digits of the PIN are left behind")
		}
	}
	if got, err := line(l); got != "rest" || err != nil {
		t.Errorf("then %q, %v", got, err)
	}
	in = &keeping{r: strings.NewReader("864209")}
	if _, err := readPIN(lines{in}); err != nil || len(in.into) == 0 || bytes.ContainsAny(in.into[0], "864209") {
		t.Errorf("a last line: the last digit is left behind, or %v", err)
	}
	for name, s := range map[string]string{"nothing": "", "spaces": "  \n", "too long": strings.Repeat("1", maxLine+1)} {
		if _, err := readPIN(lines{strings.NewReader(s)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestScript gives a card commands while a bank serves from the same store, and
// finds neither number nor PIN in what is said or kept.
func TestScript(t *testing.T) {
	store := filepath.Join(t.TempDir(), "bank.db")
	keys, err := demo.Default()
	if err != nil {
		t.Fatal(err)
	}
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	serving, err := bank.New(t.Context(), bank.Config{Store: store, Keys: keys, Currency: eur, Balance: demoBalance})
	if err != nil {
		t.Fatal(err)
	}
	defer serving.Close()
	said := ""
	try := func(code int, stdin string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		args = append([]string{"-store", store}, args...)
		if got := script(t.Context(), args, strings.NewReader(stdin), &out, &errs); got != code {
			t.Errorf("%v: exit %d, want %d: %s%s", args, got, code, out.String(), errs.String())
		}
		said += out.String() + errs.String()
		return out.String() + errs.String()
	}
	const masked = "476173******0267"
	if got := try(0, "", "-card", masked, "pin-unblock"); got != "script 1, pin-unblock, goes to "+masked+" with the answer to its next payment\n" {
		t.Errorf("said %q", got)
	}
	try(0, "4761739001010267\n864209\n", "-card", "-", "pin-change")
	try(0, "", "-card", masked, "-lower", "2", "-upper", "4", "-amount", "50.00", "-before", "limits")
	try(0, "", "-card", masked, "-content", "7001FF", "record")
	try(0, "", "-card", "476173******0010", "block")
	var list struct{ Scripts []listed }
	if err := json.Unmarshal([]byte(try(0, "", "-json", "-card", masked, "list")), &list); err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, s := range list.Scripts {
		commands = append(commands, s.Command+" "+s.State+" "+s.Card)
	}
	want := []string{"pin-unblock owed " + masked, "pin-change owed " + masked, "limits owed " + masked, "record owed " + masked}
	if d := cmp.Diff(want, commands); d != "" {
		t.Error(d)
	}
	if all := try(0, "", "list"); strings.Count(all, "\n") != 5 || !strings.Contains(all, "block") {
		t.Errorf("all: %s", all)
	}
	for _, bad := range [][]string{
		{"pin-unblock"}, {"-card", masked}, {"-card", "4761739001010267", "pin-unblock"}, {"-card", "-", "pin-unblock"},
		{"-card", masked, "pin-change"}, {"-card", masked, "limits"}, {"-card", masked, "-lower", "256", "limits"},
		{"-card", masked, "-amount", "x", "limits"}, {"-card", masked, "-content", "7", "record"}, {"-currency", "XYZ", "list"},
	} {
		try(2, "", bad...)
	}
	for _, bad := range [][]string{{"-card", "476173******9999", "block"}, {"-card", masked, "dance"}, {"-card", masked, "record"}, {"-cards", store + ".none", "list"}} {
		try(1, "", bad...)
	}
	try(1, "123\n", "-card", masked, "pin-change")
	files, err := filepath.Glob(store + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		said += string(b)
	}
	for _, secret := range []string{"4761739001010267", "864209"} {
		if strings.Contains(said, secret) {
			t.Errorf("%s is said or kept", secret)
		}
	}
	if list.Scripts[0].Ref == "" || strings.Contains(said, "9001010267") {
		t.Error("the reference is missing, or the number's middle is shown")
	}
}
