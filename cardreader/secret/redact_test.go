package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

const (
	pan   = "4761739001010010"
	track = "4761739001010010=31122011143804400000"
	key   = "kEyKeYkEyKeY1234"
)

func newPAN(t testing.TB, s string) secret.PAN {
	t.Helper()
	p, err := secret.NewPAN([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newTrack(t testing.TB) secret.Track2 {
	t.Helper()
	b, err := hex.DecodeString("4761739001010010D31122011143804400000F")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := secret.Track2FromTag(b)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// Holder is somebody's struct, with secrets in every way in which one may be
// held.
type Holder struct {
	PAN      secret.PAN
	Track    secret.Track2
	Key      secret.Bytes
	Pointer  *secret.PAN
	Slice    []secret.Bytes
	Array    [1]secret.PAN
	Map      map[string]secret.Bytes
	Any      any
	Nested   struct{ Deep secret.PAN }
	Embedded Inner
}

// Inner embeds a secret, and so has its methods.
type Inner struct {
	secret.Bytes
	unexported secret.PAN
}

// closed is a struct whose fields fmt prints without their methods.
type closed struct {
	pan     secret.PAN
	track   secret.Track2
	key     secret.Bytes
	pointer *secret.Bytes
	slice   []secret.PAN
	inside  struct{ key secret.Bytes }
	any     any
}

func holder(t testing.TB) Holder {
	p, tr, k := newPAN(t, pan), newTrack(t), secret.CopyBytes([]byte(key))
	h := Holder{
		PAN: p, Track: tr, Key: k, Pointer: &p, Slice: []secret.Bytes{k}, Array: [1]secret.PAN{p}, Map: map[string]secret.Bytes{"k": k}, Any: p,
		Embedded: Inner{k, p},
	}
	h.Nested.Deep = p
	return h
}

// leaks returns the form in which a secret is in s, "" when it is not. Bytes may
// be printed as text, hex, or decimal numbers.
func leaks(s string) string {
	for _, v := range []string{pan, track, key, "143804400000"} {
		var decimal []string
		for _, c := range []byte(v) {
			decimal = append(decimal, fmt.Sprint(c))
		}
		for _, form := range []string{
			v, hex.EncodeToString([]byte(v)), strings.Join(decimal, " "), strings.Join(decimal, ","),
			fmt.Sprintf("% x", v), fmt.Sprintf("%#v", []byte(v))[len("[]byte{"):],
		} {
			if strings.Contains(strings.ToLower(s), strings.ToLower(strings.TrimSuffix(form, "}"))) {
				return form
			}
		}
	}
	return ""
}

func TestLeaksFindsLeaks(t *testing.T) {
	for _, f := range []string{"%s", "%x", "%X", "% x", "%v", "%d", "%#v", "%q"} {
		if leaks(fmt.Sprintf(f, []byte(pan))) == "" {
			t.Errorf("%s: the test would not find a leak", f)
		}
	}
}

// values are the secrets and what holds them.
func values(t testing.TB) map[string]any {
	p, tr, k, h := newPAN(t, pan), newTrack(t), secret.CopyBytes([]byte(key)), holder(t)
	return map[string]any{
		"PAN": p, "*PAN": &p, "Track2": tr, "*Track2": &tr, "Bytes": k, "*Bytes": &k,
		"struct": h, "*struct": &h, "slice": []secret.PAN{p}, "map": map[string]secret.Track2{"t": tr}, "any": any(k),
		"error": fmt.Errorf("with %v and %s: %w", p, k, errors.New("cause")), "slice of structs": []Holder{h}, "pointers": []*secret.Bytes{&k},
	}
}

func TestEveryVerb(t *testing.T) {
	for name, v := range values(t) {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw!" {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "20", "-20", ".5", "20.5", "#20.5"} {
				format := "%" + flags + string(verb)
				// vet can't see through a built format, nor should it.
				if got := fmt.Sprintf(format, v); leaks(got) != "" {
					t.Errorf("%s under %s: %q", name, format, got)
				}
			}
		}
		for _, got := range []string{fmt.Sprint(v), fmt.Sprintln(v), fmt.Sprintf("%[1]v %[1]s", v), fmt.Errorf("%v", v).Error()} {
			if leaks(got) != "" {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	p, tr, k := newPAN(t, pan), newTrack(t), secret.CopyBytes([]byte(key))
	for _, got := range []string{fmt.Sprint(p), fmt.Sprintf("%x", tr), fmt.Sprintf("%#v", k), p.String(), tr.GoString(), fmt.Sprintf("%d", &p)} {
		if got != secret.Redacted {
			t.Errorf("%q, want %q", got, secret.Redacted)
		}
	}
}

// TestUnexportedFields: fmt does not call methods there.
func TestUnexportedFields(t *testing.T) {
	p, tr, k := newPAN(t, pan), newTrack(t), secret.CopyBytes([]byte(key))
	c := closed{pan: p, track: tr, key: k, pointer: &k, slice: []secret.PAN{p}, any: tr}
	c.inside.key = k
	for _, v := range []any{c, &c, []closed{c}, map[string]closed{"k": c}, struct{ c *closed }{&c}} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw!" {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", ".5"} {
				format := "%" + flags + string(verb)
				if got := fmt.Sprintf(format, v); leaks(got) != "" {
					t.Errorf("%T under %s: %q", v, format, got)
				}
			}
		}
	}
}

func TestEncoders(t *testing.T) {
	for name, v := range values(t) {
		out, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: JSON: %v", name, err)
		}
		if leaks(string(out)) != "" {
			t.Errorf("%s: JSON: %s", name, out)
		}
	}
	p, tr, k := newPAN(t, pan), newTrack(t), secret.CopyBytes([]byte(key))
	if out, err := json.Marshal(map[string]any{"p": p, "t": &tr, "k": k}); err != nil || string(out) != `{"k":"[redacted]","p":"[redacted]","t":"[redacted]"}` {
		t.Errorf("%s, %v", out, err)
	}
	type document struct {
		PAN   secret.PAN
		Track secret.Track2 `xml:"track,attr"`
		Key   *secret.Bytes
	}
	out, err := xml.Marshal(document{p, tr, &k})
	if err != nil || leaks(string(out)) != "" || strings.Count(string(out), secret.Redacted) != 3 {
		t.Errorf("XML: %s, %v", out, err)
	}
	for name, v := range map[string]any{"PAN": p, "Track2": tr, "Bytes": k, "*Bytes": &k, "struct": document{p, tr, &k}} {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(v); !errors.Is(err, secret.ErrRedacted) {
			t.Errorf("%s: gob: %v, want ErrRedacted", name, err)
		}
		if leaks(b.String()) != "" {
			t.Errorf("%s: gob wrote %x", name, b.Bytes())
		}
	}
	for name, v := range map[string]interface{ MarshalBinary() ([]byte, error) }{"PAN": p, "Track2": tr, "Bytes": k} {
		if b, err := v.MarshalBinary(); !errors.Is(err, secret.ErrRedacted) || b != nil {
			t.Errorf("%s: binary: %x, %v", name, b, err)
		}
	}
	if b, err := p.MarshalText(); err != nil || string(b) != secret.Redacted {
		t.Errorf("text: %s, %v", b, err)
	}
}

func TestLog(t *testing.T) {
	for kind, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		for name, v := range values(t) {
			var b bytes.Buffer
			l := slog.New(handler(&b)).With("with", v).WithGroup("group")
			l.Info("message", "value", v, slog.Any("any", v), slog.Group("g", "inner", v))
			if leaks(b.String()) != "" {
				t.Errorf("%s: %s: %s", kind, name, b.String())
			}
			if b.Len() == 0 {
				t.Errorf("%s: %s: nothing logged", kind, name)
			}
		}
	}
}

// TestPanicValue: a secret in a panic is redacted like one in a print.
func TestPanicValue(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); leaks(got) != "" {
			t.Errorf("%q", got)
		}
	}()
	panic(holder(t))
}

func TestErrorsNameNoDigits(t *testing.T) {
	for _, in := range []string{pan + "A", pan + pan, "476173900101001X", "4761739", ""} {
		_, err := secret.NewPAN([]byte(in))
		if !errors.Is(err, secret.ErrPAN) {
			t.Errorf("%q: %v, want ErrPAN", in, err)
		} else if strings.Contains(err.Error(), "47617") {
			t.Errorf("%q: %v", in, err)
		}
	}
	for _, in := range []string{"47", "4761739001010010", "4761739001010010D3112", "4761739001010010D311220D11", "A761739001010010D31122011", strings.Repeat("11", 20)} {
		if len(in)%2 == 1 {
			in += "F"
		}
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := secret.Track2FromTag(b); !errors.Is(err, secret.ErrTrack2) {
			t.Errorf("%s: %v, want ErrTrack2", in, err)
		} else if strings.Contains(err.Error(), "47617") {
			t.Errorf("%s: %v", in, err)
		}
	}
}
