package tlv_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// line is an object of a tree as a test writes it: depth, tag, value in hex for
// a primitive one.
type line struct {
	Depth int
	Tag   string
	Value string
}

func walk(t testing.TB, b []byte, depth int) []line {
	t.Helper()
	var out []line
	for o, err := range tlv.All(b) {
		if err != nil {
			t.Fatal(err)
		}
		if o.Tag.Constructed() {
			out = append(out, line{depth, o.Tag.String(), ""})
			out = append(out, walk(t, o.Value, depth+1)...)
			continue
		}
		out = append(out, line{depth, o.Tag.String(), strings.ToUpper(hex.EncodeToString(o.Value))})
	}
	return out
}

func TestTree(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []line
	}{
		{"nothing", "", nil},
		{"short length", "9C 01 FF", []line{{0, "9C", "FF"}}},
		{"empty value", "9F04 00", []line{{0, "9F04", ""}}},
		{"length 81 longer than needed", "9C 8101 FF", []line{{0, "9C", "FF"}}},
		{"length 82", "9C 820001 FF", []line{{0, "9C", "FF"}}},
		{"length 83", "9C 83000001 FF", []line{{0, "9C", "FF"}}},
		{"length 84", "9C 8400000001 FF", []line{{0, "9C", "FF"}}},
		{"template", "9F0201FF E003 9F0300 9F0400", []line{{0, "9F02", "FF"}, {0, "E0", ""}, {1, "9F03", ""}, {0, "9F04", ""}}},
		{"empty template", "70 00", []line{{0, "70", ""}}},
		{"two templates of one kind", "70 0A 6103 4F0101 6103 4F0102", []line{{0, "70", ""}, {1, "61", ""}, {2, "4F", "01"}, {1, "61", ""}, {2, "4F", "02"}}},
		{"zeros between, before and after", "00 9A0101 0000 9C0102 00", []line{{0, "9A", "01"}, {0, "9C", "02"}}},
		{"FF between", "FFFF 9A0101 FF 9C0102 FF", []line{{0, "9A", "01"}, {0, "9C", "02"}}},
		{"padding inside a template", "70 05 0000 9A0101", []line{{0, "70", ""}, {1, "9A", "01"}}},
		{"padding only", "0000FFFF", nil},
		{"three-byte tag", "9F816E 01 00", []line{{0, "9F816E", "00"}}},
		{"four-byte tag", "9F81820A 01 00", []line{{0, "9F81820A", "00"}}},
		{"template whose tag begins with FF", "FF FF8106 03 9A0101 FF", []line{{0, "FF8106", ""}, {1, "9A", "01"}}},
		{"FF before tag 82 is padding", "FF 8202 1980", []line{{0, "82", "1980"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := unhex(t, tt.in)
			if err := tlv.Validate(in); err != nil {
				t.Fatalf("Validate: %v", err)
			}
			if d := cmp.Diff(tt.want, walk(t, in, 0)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		offset   int
		tag      tlv.Tag
		reason   string
	}{
		{"tag cut off", "9F", 0, 0, "tag cut off"},
		{"long tag cut off", "9F81", 0, 0, "tag cut off"},
		{"tag of five bytes", "9F8182838401 00", 0, 0, "more than 4 bytes"},
		{"tag number with leading zeros", "9F8001 00", 0, 0, "leading zeros"},
		{"no length", "9C", 1, 0x9C, "length is missing"},
		{"length cut off", "9C81", 1, 0x9C, "length cut off"},
		{"length of three bytes cut off", "9C83 0000", 1, 0x9C, "length cut off"},
		{"indefinite length", "70 80 9A0101 0000", 1, 0x70, "indefinite"},
		{"length of length 5", "9C 85 0000000001 FF", 1, 0x9C, "length of length 5"},
		{"reserved length FF", "9C FF", 1, 0x9C, "length of length 127"},
		{"value too short", "9C 02 00", 1, 0x9C, "length 2, and 1 bytes follow"},
		{"huge length", "9C 84 FFFFFFFF", 1, 0x9C, "over 2^30"},
		{"large length", "9C 84 40000000", 1, 0x9C, "bytes follow"},
		{"after a good object", "9C01FF AA", 4, 0xAA, "length is missing"},
		{"tag cut off in a template", "E001 9F 0001FF", 2, 0, "tag cut off"},
		{"no length in a template", "E001 9C 01FF", 3, 0x9C, "length is missing"},
		{"value beyond its template", "E004 9C810200 C001FF", 3, 0x9C, "length 2, and 1 bytes follow"},
		{"second template", "7003 9A0101 7003 9A0301", 8, 0x9A, "length 3, and 1 bytes follow"},
		{"three levels", "6F05 A503 BF0C01", 6, 0xBF0C, "length 1, and 0 bytes follow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tlv.Validate(unhex(t, tt.in))
			if !errors.Is(err, tlv.ErrMalformed) {
				t.Fatalf("Validate: %v, want ErrMalformed", err)
			}
			var e *tlv.Error
			if !errors.As(err, &e) {
				t.Fatalf("error is a %T", err)
			}
			if e.Offset != tt.offset || e.Tag != tt.tag || !strings.Contains(e.Reason, tt.reason) {
				t.Errorf("offset %d, tag %v, %q; want %d, %v, %q", e.Offset, e.Tag, e.Reason, tt.offset, tt.tag, tt.reason)
			}
		})
	}
}

// TestTooDeep nests templates without end: the parser must not follow.
func TestTooDeep(t *testing.T) {
	b := []byte{0x9A, 0x01, 0x01}
	for range 16 {
		b = tlv.Append(nil, 0x70, b)
	}
	if err := tlv.Validate(b); err != nil {
		t.Fatalf("16 levels: %v", err)
	}
	if _, ok := tlv.Find(b, 0x9A); !ok {
		t.Error("not found 16 levels down")
	}
	b = tlv.Append(nil, 0x70, b)
	if err := tlv.Validate(b); !errors.Is(err, tlv.ErrMalformed) {
		t.Errorf("17 levels: %v, want ErrMalformed", err)
	}
	if _, ok := tlv.Find(b, 0x9A); ok {
		t.Error("found 17 levels down")
	}
}

// TestEveryCut cuts a real FCI at each byte: each cut is malformed, or holds
// fewer objects, and an offset never lies outside.
func TestEveryCut(t *testing.T) {
	fci := unhex(t, "6F39 8407AFFFFFFFFF1234 A52E 500D5645534120454C454354524F4E 5F2D02656E 870101 9F1210 56455341202020202020202020202020 9F110101")
	if err := tlv.Validate(fci); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(fci); n++ {
		err := tlv.Validate(fci[:n])
		var e *tlv.Error
		if !errors.As(err, &e) {
			t.Fatalf("cut after %d bytes: %v, want *tlv.Error", n, err)
		}
		if e.Offset < 0 || e.Offset > n {
			t.Errorf("cut after %d bytes: offset %d", n, e.Offset)
		}
	}
}

func TestOffsets(t *testing.T) {
	in := unhex(t, "00 9F0206000000001234 FF 7082 0003 9A0101")
	got, err := tlv.Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	want := []tlv.Object{
		{Tag: 0x9F02, Value: unhex(t, "000000001234"), Offset: 1, HeaderLen: 3},
		{Tag: 0x70, Value: unhex(t, "9A0101"), Offset: 11, HeaderLen: 4},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// TestValueCapacity: an append to a value must not write over the next object.
func TestValueCapacity(t *testing.T) {
	in := unhex(t, "9A0101 9C0102")
	got, err := tlv.Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(got[0].Value, 0xEE)
	if d := cmp.Diff(unhex(t, "9A0101 9C0102"), in); d != "" {
		t.Errorf("input changed\n%s", d)
	}
}

func TestFindAndChild(t *testing.T) {
	fci := unhex(t, "6F1A 840E315041592E5359532E4444463031 A508 880101 5F2D02656E")
	if v, ok := tlv.Find(fci, 0x88); !ok || v[0] != 1 {
		t.Errorf("Find 88: %X, %v", v, ok)
	}
	if v, ok := tlv.Find(fci, 0x9F38); ok {
		t.Errorf("Find 9F38: %X", v)
	}
	if v, ok, err := tlv.Child(fci, 0x6F, 0xA5, 0x5F2D); err != nil || !ok || string(v) != "en" {
		t.Errorf("Child: %X, %v, %v", v, ok, err)
	}
	if _, ok, err := tlv.Child(fci, 0x6F, 0x88); ok || err != nil {
		t.Errorf("Child on another level: %v, %v", ok, err)
	}
	if _, ok, err := tlv.Child(fci[:20], 0x6F, 0xA5); ok || !errors.Is(err, tlv.ErrMalformed) {
		t.Errorf("Child of a cut template: %v, %v", ok, err)
	}
	if v, ok, err := tlv.Child(fci); err != nil || !ok || len(v) != len(fci) {
		t.Errorf("Child without a path: %d bytes, %v, %v", len(v), ok, err)
	}
	// A broken inner template hides neither what precedes it nor its siblings.
	broken := unhex(t, "7006 9A0101 9C0501 9F360100")
	if _, ok := tlv.Find(broken, 0x9A); !ok {
		t.Error("Find before the malformation")
	}
	if _, ok := tlv.Find(broken, 0x9C); ok {
		t.Error("Find at the malformation")
	}
}

func TestTag(t *testing.T) {
	for _, tt := range []struct {
		tag         tlv.Tag
		text        string
		constructed bool
	}{
		{0x82, "82", false}, {0x6F, "6F", true}, {0x9F02, "9F02", false}, {0xBF0C, "BF0C", true},
		{0x5F2A, "5F2A", false}, {0x7F49, "7F49", true}, {0xDF8101, "DF8101", false}, {0xFF8106, "FF8106", true},
		{0x06, "06", false}, {0x9F81820A, "9F81820A", false},
	} {
		if got := tt.tag.String(); got != tt.text {
			t.Errorf("String: %s, want %s", got, tt.text)
		}
		if got := tt.tag.Constructed(); got != tt.constructed {
			t.Errorf("%s: Constructed %v", tt.tag, got)
		}
		enc := tt.tag.Append(nil)
		if got := strings.ToUpper(hex.EncodeToString(enc)); got != tt.text {
			t.Errorf("Append: %s, want %s", got, tt.text)
		}
		got, n, err := tlv.ParseTag(append(enc, 0x55))
		if err != nil || got != tt.tag || n != len(enc) || n != tt.tag.Len() {
			t.Errorf("ParseTag(%X): %v, %d, %v", enc, got, n, err)
		}
	}
	if _, _, err := tlv.ParseTag(nil); !errors.Is(err, tlv.ErrMalformed) {
		t.Errorf("ParseTag of nothing: %v", err)
	}
}

func TestTagList(t *testing.T) {
	got, err := tlv.ParseTagList(unhex(t, "82 9F02 DF8101"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]tlv.Tag{0x82, 0x9F02, 0xDF8101}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	var e *tlv.Error
	if _, err := tlv.ParseTagList(unhex(t, "82 9F")); !errors.As(err, &e) || e.Offset != 1 {
		t.Errorf("cut list: %v", err)
	}
}

func TestAppendLength(t *testing.T) {
	for n, want := range map[int]string{
		0: "00", 1: "01", 127: "7F", 128: "8180", 255: "81FF", 256: "820100", 65535: "82FFFF",
		65536: "83010000", 1<<24 - 1: "83FFFFFF", 1 << 24: "8401000000",
	} {
		if got := strings.ToUpper(hex.EncodeToString(tlv.AppendLength(nil, n))); got != want {
			t.Errorf("AppendLength(%d): %s, want %s", n, got, want)
		}
	}
	for _, n := range []int{0, 127, 128, 255, 256, 65535, 65536} {
		b := tlv.Append([]byte{0x9A, 0x00}, 0x9F10, make([]byte, n))
		got, err := tlv.Parse(b)
		if err != nil || len(got) != 2 || len(got[1].Value) != n {
			t.Errorf("value of %d bytes: %d objects, %v", n, len(got), err)
		}
	}
}

func TestNumeric(t *testing.T) {
	for _, tt := range []struct {
		v     uint64
		bytes int
		want  string
	}{
		{1234, 6, "000000001234"}, {978, 2, "0978"}, {0, 1, "00"}, {999999999999, 6, "999999999999"},
		{12345, 2, "2345"}, {7, 0, ""},
	} {
		if got := hex.EncodeToString(tlv.AppendN(nil, tt.v, tt.bytes)); got != tt.want {
			t.Errorf("AppendN(%d, %d): %s, want %s", tt.v, tt.bytes, got, tt.want)
		}
	}
	for in, want := range map[string]uint64{"": 0, "00": 0, "0978": 978, "000000001234": 1234, "999999999999999999": 999999999999999999} {
		if got, err := tlv.ParseN(unhex(t, in)); err != nil || got != want {
			t.Errorf("ParseN(%s): %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"0A", "A0", "12F4", "00000000000000000001"} {
		if got, err := tlv.ParseN(unhex(t, in)); !errors.Is(err, tlv.ErrMalformed) {
			t.Errorf("ParseN(%s): %d, %v, want ErrMalformed", in, got, err)
		}
	}
}

// TestAllDoesNotAllocate: the kernel goes over each record with All.
func TestAllDoesNotAllocate(t *testing.T) {
	rec := unhex(t, "5A0847613400000000505F24031712319F0702FF809F0802008C9F0D050000000000")
	n := testing.AllocsPerRun(100, func() {
		for o, err := range tlv.All(rec) {
			if err != nil || o.Tag == 0 {
				t.Fail()
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestErrorText(t *testing.T) {
	err := tlv.Validate(unhex(t, "7003 9F0205"))
	if got, want := err.Error(), "tlv: tag 9F02 at offset 4: length 5, and 0 bytes follow"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
