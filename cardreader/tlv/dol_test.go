package tlv_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/tlv"
)

func TestParseDOL(t *testing.T) {
	// The list of emv-utils' emv_dol_test, 29 bytes of data.
	d, err := tlv.ParseDOL(unhex(t, "9F02069F03069F1A0295055F2A029A039C019F3704"))
	if err != nil {
		t.Fatal(err)
	}
	want := tlv.DOL{{0x9F02, 6}, {0x9F03, 6}, {0x9F1A, 2}, {0x95, 5}, {0x5F2A, 2}, {0x9A, 3}, {0x9C, 1}, {0x9F37, 4}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if d.Len() != 29 || !d.Contains(0x9C) || d.Contains(0x82) {
		t.Errorf("Len %d, Contains 9C %v, 82 %v", d.Len(), d.Contains(0x9C), d.Contains(0x82))
	}
	// A real card asks for 9A twice; both count.
	d, err = tlv.ParseDOL(unhex(t, "9F66049F02069F03069F1A0295055F2A029A039C019F37049A03"))
	if err != nil || d.Len() != 36 || d[6] != (tlv.DOLEntry{Tag: 0x9A, Len: 3}) || d[9] != d[6] {
		t.Errorf("%d bytes, %v, %v", d.Len(), d, err)
	}
	// A length is one byte (EMV 4.4 Book 3, 5.4), not that of BER-TLV.
	d, err = tlv.ParseDOL(unhex(t, "9A80 9F0281 9C82 9F37FF"))
	if diff := cmp.Diff(tlv.DOL{{0x9A, 0x80}, {0x9F02, 0x81}, {0x9C, 0x82}, {0x9F37, 0xFF}}, d); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if d, err := tlv.ParseDOL(nil); err != nil || d.Len() != 0 {
		t.Errorf("empty list: %v, %v", d, err)
	}
}

func TestParseDOLMalformed(t *testing.T) {
	for _, tt := range []struct {
		in     string
		offset int
		reason string
	}{
		{"9F", 0, "tag cut off"},
		{"9F02", 2, "length is missing"},
		{"9A03 9F37", 4, "length is missing"},
		{"9A81 9F37", 4, "length is missing"},
	} {
		_, err := tlv.ParseDOL(unhex(t, tt.in))
		var e *tlv.Error
		if !errors.As(err, &e) || !errors.Is(err, tlv.ErrMalformed) || e.Offset != tt.offset || !strings.Contains(e.Reason, tt.reason) {
			t.Errorf("%s: %v, want offset %d, %q", tt.in, err, tt.offset, tt.reason)
		}
	}
}

// TestDOLAppend is EMV 4.4 Book 3, 5.4, rule by rule.
func TestDOLAppend(t *testing.T) {
	type datum struct {
		value string
		f     tlv.Format
	}
	values := map[tlv.Tag]datum{
		0x9F02: {"000000001234", tlv.FormatN},
		0x5A:   {"4761739001010010", tlv.FormatCN},
		0x9F1E: {"3132333435363738", tlv.FormatAN},
		0x95:   {"8040201008", tlv.FormatB},
		0x50:   {"56495341", tlv.FormatANS},
		0x5F55: {"4445", tlv.FormatA},
		0x9F38: {"9F3704", tlv.FormatVar},
		0x9F34: {"", tlv.FormatB},
		0x9F20: {"", tlv.FormatCN},
		0xBF0C: {"9A0101", tlv.FormatVar},
	}
	lookup := func(tag tlv.Tag) ([]byte, tlv.Format, bool) {
		d, ok := values[tag]
		b, _ := hex.DecodeString(d.value)
		return b, d.f, ok
	}
	for _, tt := range []struct{ name, dol, want string }{
		{"as long as asked for", "9F0206", "000000001234"},
		{"n loses its left", "9F0203", "001234"},
		{"n gets zeros on its left", "9F0208", "0000000000001234"},
		{"cn loses its right", "5A03", "476173"},
		{"cn gets FF on its right", "5A0A", "4761739001010010FFFF"},
		{"an loses its right", "9F1E04", "31323334"},
		{"an gets zeros on its right", "9F1E0A", "31323334353637380000"},
		{"b loses its right", "9502", "8040"},
		{"b gets zeros on its right", "9507", "80402010080000"},
		{"ans gets zeros on its right", "5006", "564953410000"},
		{"a gets zeros on its right", "5F5503", "444500"},
		{"var loses its right", "9F3801", "9F"},
		{"unknown tag is zeros", "9F7C04", "00000000"},
		{"template is zeros", "BF0C03", "000000"},
		{"known and empty is zeros", "9F3403", "000000"},
		{"empty cn is zeros", "9F2002", "0000"},
		{"nothing asked for", "9F0200", ""},
		{"repeated", "9F0201 95 01 9F0201", "348034"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := tlv.ParseDOL(unhex(t, tt.dol))
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Append([]byte{0xAA}, lookup)
			if err != nil {
				t.Fatal(err)
			}
			if g := strings.ToUpper(hex.EncodeToString(got[1:])); g != tt.want || got[0] != 0xAA {
				t.Errorf("%s, want %s", g, tt.want)
			}
			if len(got)-1 != d.Len() {
				t.Errorf("%d bytes, Len says %d", len(got)-1, d.Len())
			}
		})
	}
}

// TestDOLKnown is the known answer of emv-utils' emv_dol_test: values of the
// transaction come before those of the terminal.
func TestDOLKnown(t *testing.T) {
	txn := map[tlv.Tag]string{0x9C: "09", 0x9A: "240217", 0x5F2A: "0978", 0x9F02: "000123456789", 0x9F03: "000987654321", 0x9F37: "DEADBEEF"}
	terminal := map[tlv.Tag]string{0x9F1A: "0528", 0x9F37: "DEADCAFE", 0x95: "1234554321"}
	d, err := tlv.ParseDOL(unhex(t, "9F02069F03069F1A0295055F2A029A039C019F3704"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Append(nil, func(tag tlv.Tag) ([]byte, tlv.Format, bool) {
		v, ok := txn[tag]
		if !ok {
			v, ok = terminal[tag]
		}
		return unhex(t, v), tlv.FormatB, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	if g, want := strings.ToUpper(hex.EncodeToString(got)), "00012345678900098765432105281234554321097824021709DEADBEEF"; g != want {
		t.Errorf("%s, want %s", g, want)
	}
}

func TestDOLTooLong(t *testing.T) {
	d, err := tlv.ParseDOL(unhex(t, "9F02FF 9A01"))
	if err != nil {
		t.Fatal(err)
	}
	dst, err := d.Append([]byte{1}, func(tlv.Tag) ([]byte, tlv.Format, bool) { return nil, 0, false })
	if !errors.Is(err, tlv.ErrMalformed) || len(dst) != 1 {
		t.Errorf("%d bytes, %v", len(dst), err)
	}
}

func TestFormatString(t *testing.T) {
	for f, want := range map[tlv.Format]string{
		tlv.FormatB: "b", tlv.FormatN: "n", tlv.FormatCN: "cn", tlv.FormatA: "a", tlv.FormatAN: "an", tlv.FormatANS: "ans", tlv.FormatVar: "var", 99: "b",
	} {
		if got := f.String(); got != want {
			t.Errorf("format %d: %q, want %q", f, got, want)
		}
	}
}
