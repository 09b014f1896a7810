package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vectors is the folder of known answers beside the repository.
func vectors(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(dir, "..", "shared", "vectors")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the known answers are missing: %v", err)
		}
		t.Skipf("the known answers are missing: %v", err)
	}
	return dir
}

// TestSharedMessages explains every message, up to its end or with the reason
// and what remains.
func TestSharedMessages(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors(t), "iso8583", "msg-*.json"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var v struct {
				Hex, Text string
				Expected  map[string]any
			}
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			if v.Text != "" {
				v.Hex = hex.EncodeToString([]byte(v.Text))
				if code, out, diag := explain(t, "", "iso8583", v.Text); code != 0 || !strings.HasPrefix(out, v.Text[:4]+" ") {
					t.Errorf("as text: exit %d, %s%s", code, out, diag)
				}
			}
			code, out, diag := explain(t, "", "iso8583", v.Hex)
			if mti, ok := v.Expected["mti"].(string); ok && !strings.HasPrefix(out, mti+" ") {
				t.Errorf("message type %s: %s", mti, out)
			}
			switch {
			case v.Expected["must_error"] == true:
				if code != 1 || !strings.Contains(out, "not read, from byte") || !strings.Contains(out, "because") {
					t.Errorf("exit %d, %s", code, out)
				}
			case v.Expected["len_prefix"] != nil && v.Expected["len_prefix"] != v.Expected["actual_after_prefix"]:
				if code != 1 || !strings.Contains(diag, "length 479, and 477 bytes follow") || strings.Contains(out, "not read") || !strings.Contains(out, "\n   63 ") {
					t.Errorf("exit %d, %s%s", code, out, diag)
				}
			case code != 0:
				t.Errorf("exit %d, %s%s", code, out, diag)
			}
			if icc, ok := v.Expected["55"].(string); ok && len(icc) > 20 && !strings.Contains(out, "ICC data") {
				t.Errorf("no field 55: %s", out)
			}
		})
	}
}

// TestFormsOfField55: the same objects, packed in the ways that hosts have.
func TestFormsOfField55(t *testing.T) {
	objects, err := hex.DecodeString("9F26081122334455667788" + "9F270180" + "95050000008000" + "9A03261124")
	if err != nil {
		t.Fatal(err)
	}
	n := len(objects)
	text := func(s string) []byte { return []byte(s) }
	head := "0200" + "0020000000000201" + "000001" // 11, 55, 64
	mac := "\x01\x02\x03\x04\x05\x06\x07\x08"
	for _, c := range []struct {
		name string
		msg  []byte
		says string
	}{
		{"as the dialect has it", join(text(head), text(fmt.Sprintf("%03d", n)), objects, text(mac)), ""},
		{"two bytes of BCD", join(text(head), []byte{0, byte(n/10<<4 | n%10)}, objects, text(mac)), "length written as two bytes of BCD"},
		{"two binary bytes", join(text(head), []byte{0, byte(n)}, objects, text(mac)), "length written as two"},
		{"one binary byte", join(text(head), []byte{byte(n)}, objects, text(mac)), "length written as one binary byte"},
		{"hexadecimal", join(text(head), text(fmt.Sprintf("%03d%X", 2*n, objects)), text(mac)), "written in hexadecimal"},
		{"data set", join(text(head), text(fmt.Sprintf("%03d", n+3)), []byte{1, 0, byte(n)}, objects, text(mac)), "data set 01"},
		{"length of its own", join(text(head), text(fmt.Sprintf("%03d", n+2)), []byte{0, byte(n)}, objects, text(mac)), "with a length of its own"},
		{"padding", join(text(head), text(fmt.Sprintf("%03d", n+2)), objects, []byte{0, 0}, text(mac)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, diag := explain(t, "", "iso8583", hex.EncodeToString(c.msg))
			for _, want := range []string{"0200 financial request", "9F26   Application Cryptogram", "Transaction exceeds floor limit", "2026-11-24", "\n   64 ", c.says} {
				if code != 0 || !strings.Contains(out, want) {
					t.Errorf("exit %d, no %q: %s%s", code, want, out, diag)
				}
			}
		})
	}
	t.Run("cut off", func(t *testing.T) {
		code, out, diag := explain(t, "", "iso8583", hex.EncodeToString(join(text(head), text(fmt.Sprintf("%03d", n)), objects[:n-2])))
		if code != 1 || !strings.Contains(out, "not read, from byte 26") || !strings.Contains(out, "9F26   Application Cryptogram") || !strings.Contains(diag, "says 27 bytes, and 25 are there") {
			t.Errorf("exit %d, %s%s", code, out, diag)
		}
	})
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// TestNumbersAreHidden: a card number in a field of the host's own, in what could
// not be read, and where nobody expects it.
func TestNumbersAreHidden(t *testing.T) {
	const pan = "4761739001010010"
	packed, err := hex.DecodeString(pan)
	if err != nil {
		t.Fatal(err)
	}
	for name, msg := range map[string][]byte{
		"text":        join([]byte("0200"+"0020000000000010"+"000001"+"019"), []byte("x "+pan+"y")),
		"bytes":       join([]byte("0200"+"0020000000000100"+"000001"+"010"), packed, []byte{0, 0xFF}),
		"behind":      join([]byte("0200"+"0020000000000100"+"000001"+"002ab"), []byte(pan), packed),
		"no field 52": join([]byte("0200"+"0020000020001000"+"000001"+"99"), []byte(pan+"=31122010000000000")),
	} {
		t.Run(name, func(t *testing.T) {
			for _, more := range []string{"-json", "-dialect=iso87-hex"} {
				_, out, diag := explain(t, "", "iso8583", hex.EncodeToString(msg), more)
				if all := out + diag; strings.Contains(all, pan) || strings.Contains(all, hex.EncodeToString([]byte(pan))) || strings.Contains(all, "3112201") {
					t.Errorf("%s%s", out, diag)
				}
			}
		})
	}
}

func TestLooseDialects(t *testing.T) {
	if n := len(loose()); n != 5 {
		t.Errorf("%d dialects, want 5", n)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("0200" + "0020000000000201" + "000001" + "0049A03261124" + "0123456789ABCDEF"))
	f.Add([]byte("\x60\x00\x00\x00\x00\x02\x00\x00\x20\x00\x00\x00\x00\x02\x01\x00\x00\x01\x00\x05\x9A\x03\x26\x11\x24"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := readMessage(nil, b)
		if s := m.answer(); s.text == "" {
			t.Error("nothing is said")
		}
	})
}
