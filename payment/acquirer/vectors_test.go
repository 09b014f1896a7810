package acquirer

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/tlv"
)

// vectors returns the folder of shared known answers. It is no part of the
// module; where it is missing, CI fails.
func vectors(t *testing.T, kind string) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the package")
		}
		dir = up
	}
	files, err := filepath.Glob(filepath.Join(dir, "..", "shared", "vectors", "iso8583", kind))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("the shared vectors are missing")
		}
		t.Skip("the shared vectors are not here")
	}
	return files
}

type messageVector struct {
	Name     string
	Source   string
	Hex      string
	Text     string
	Expected map[string]json.RawMessage
}

// TestVectorMessages decodes published messages and compares every field with
// what their authors say.
func TestVectorMessages(t *testing.T) {
	for _, f := range vectors(t, "msg-*.json") {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var v messageVector
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			b := []byte(v.Text)
			if v.Hex != "" {
				if b, err = hex.DecodeString(v.Hex); err != nil {
					t.Fatal(err)
				}
			}
			x, err := ExplainAny(b)
			if string(v.Expected["must_error"]) == "true" || v.Expected["len_prefix"] != nil {
				if err == nil {
					t.Fatal("a truncated message was taken")
				}
			} else if err != nil {
				t.Fatal(err)
			}
			want := expected(t, v)
			got := map[string]string{"mti": x.MTI}
			if x.TPDU != "" {
				got["tpdu"] = x.TPDU
			}
			d, _ := LookupDialect(x.Dialect)
			body := b[len(x.TPDU)/2:]
			if x.Length > 0 {
				body = body[2:]
			}
			space := d.space()
			defer space.release()
			els, _ := space.split(body)
			for _, e := range els[1:] {
				value := string(e.Value())
				if e.def.Class == B && !(e.def.Number == 55 && !looksTLV(e.Value())) {
					value = strings.ToUpper(hex.EncodeToString(e.Value()))
				}
				n := strconv.Itoa(e.def.Number)
				got[n] = value
				if e.def.Number != 55 {
					continue
				}
				for o, err := range tlv.All(e.Value()) {
					if err == nil {
						got[n+"."+o.Tag.String()] = strings.ToUpper(hex.EncodeToString(o.Value))
					}
				}
			}
			for k, w := range want {
				if k == "35" {
					w = strings.ReplaceAll(w, "D", "=")
				}
				if got[k] != w {
					t.Errorf("field %s: got %q, want %q", k, got[k], w)
				}
			}
			if err == nil {
				if diff := cmp.Diff(body, repack(t, d, els), cmp.Comparer(bytes.Equal)); diff != "" {
					t.Errorf("packed again (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// expected flattens the shapes in which the vectors say their answers.
func expected(t *testing.T, v messageVector) map[string]string {
	t.Helper()
	out := map[string]string{}
	for k, raw := range v.Expected {
		switch k {
		case "must_error", "len_prefix", "actual_after_prefix":
		case "fields", "binary_fields":
			var m map[string]string
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			for n, s := range m {
				out[n] = s
			}
		default:
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			if k == "0" {
				k = "mti"
			}
			out[k] = s
		}
	}
	return out
}

// repack writes elements again, as Pack does with those of a message.
func repack(t *testing.T, d *Dialect, els []*element) []byte {
	t.Helper()
	size := d.bitmapSize(128)
	var bits [16]byte
	second := d.t.BothBitmaps
	for _, e := range els {
		size += d.t.size(e.def, len(e.Value()))
		if n := e.def.Number; n > 0 {
			bits[(n-1)/8] |= 0x80 >> ((n - 1) % 8)
			if n > 64 && !second {
				second = true
				bits[0] |= 0x80
			}
		}
	}
	out := make([]byte, size)
	at := 0
	for i, e := range els {
		n := d.t.size(e.def, len(e.Value()))
		d.t.encode(out[at:at+n], e.def, e.Value())
		at += n
		if i == 0 {
			used := bits[:8]
			if second {
				used = bits[:]
			}
			b, _, err := []byte(nil), 0, error(nil)
			if b, err = bitmapCoder(d.t.Bitmap).Encode(used); err != nil {
				t.Fatal(err)
			}
			at += copy(out[at:], b)
		}
	}
	return out[:at]
}

// TestVectorField55 carries published field-55 blobs through a message of each
// dialect and expects the same bytes.
func TestVectorField55(t *testing.T) {
	for _, f := range vectors(t, "tlv-*.json") {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var v struct {
				Hex          string
				ParsesStrict bool `json:"parses_strict"`
				Tags         []struct{ T, V string }
			}
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			b, err := hex.DecodeString(v.Hex)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range full(t) {
				m := request(t)
				m.ICC = b
				p, err := d.Pack(m)
				if !v.ParsesStrict {
					if err == nil {
						t.Errorf("%s: malformed TLV was packed", d.Name())
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", d.Name(), err)
				}
				got, err := d.Unpack(p)
				if err != nil {
					t.Fatalf("%s: %v", d.Name(), err)
				}
				if !bytes.Equal(got.ICC, b) {
					t.Errorf("%s: field 55 changed:\n%X\n%X", d.Name(), got.ICC, b)
				}
				var tags []struct{ T, V string }
				for o, err := range tlv.All(got.ICC) {
					if err != nil {
						t.Fatal(err)
					}
					tags = append(tags, struct{ T, V string }{o.Tag.String(), strings.ToUpper(hex.EncodeToString(o.Value))})
				}
				if diff := cmp.Diff(v.Tags, tags); diff != "" {
					t.Errorf("%s: tags (-want +got):\n%s", d.Name(), diff)
				}
			}
		})
	}
}
