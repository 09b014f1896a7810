package tlv_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/payunit/payunit/cardreader/tlv"
)

// encode writes objects back; a longer length field than needed is kept, as it
// was, by copying the header.
func encode(in []byte, objects []tlv.Object) []byte {
	var out []byte
	for _, o := range objects {
		out = append(out, in[o.Offset:o.Offset+o.HeaderLen]...)
		out = append(out, o.Value...)
	}
	return out
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "9C01FF", "9C8101FF", "9C8400000001FF", "9F0201FFE0039F03009F0400", "9F", "9C", "9C81", "9C0200",
		"E0019F0001FF", "E0049C810200C001FF", "70809A01010000", "7000", "9F816E0100", "9F8182838401",
		"6F1A840E315041592E5359532E4444463031A5088801025F2D02656E00", "FFFF9A0101", "FF8106039A0101",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		kept := bytes.Clone(in)
		objects, err := tlv.Parse(in)
		if err != nil {
			var e *tlv.Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(in) {
				t.Fatalf("error %v", err)
			}
			return
		}
		// Encoding the objects anew and reading them gives the same objects.
		var short []byte
		end := 0
		for _, o := range objects {
			if o.Offset < end {
				t.Fatalf("object at %d overlaps the one before", o.Offset)
			}
			for _, b := range in[end:o.Offset] {
				if b != 0x00 && b != 0xFF {
					t.Fatalf("byte %02X before offset %d was skipped", b, o.Offset)
				}
			}
			end = o.Offset + o.HeaderLen + len(o.Value)
			short = tlv.Append(short, o.Tag, o.Value)
		}
		again, err := tlv.Parse(short)
		if err != nil || len(again) != len(objects) {
			t.Fatalf("read again: %d objects, %v; want %d", len(again), err, len(objects))
		}
		for i := range again {
			if again[i].Tag != objects[i].Tag || !bytes.Equal(again[i].Value, objects[i].Value) {
				t.Fatalf("object %d: %v, want %v", i, again[i], objects[i])
			}
		}
		// Nothing but padding is lost, and an input without any comes back as it was.
		if flat := encode(in, objects); len(flat) == len(in) && !bytes.Equal(flat, in) {
			t.Fatalf("% X became % X", in, flat)
		}
		_ = tlv.Validate(in)
		_, _ = tlv.Find(in, 0x9F02)
		_, _, _ = tlv.Child(in, 0x70, 0x9A)
		if !bytes.Equal(in, kept) {
			t.Fatal("the input was changed")
		}
	})
}

func FuzzParseDOL(f *testing.F) {
	for _, s := range []string{"", "9F3704", "9F02069F03069F1A0295055F2A029A039C019F3704", "9F02", "9F", "9A80", "9A82019C", "BF0C03", "5A0A"} {
		f.Add(unhex(f, s), []byte{0x12, 0x34, 0x56}, byte(tlv.FormatN))
	}
	f.Fuzz(func(t *testing.T, in, value []byte, format byte) {
		d, err := tlv.ParseDOL(in)
		if err != nil {
			if !errors.Is(err, tlv.ErrMalformed) {
				t.Fatalf("error %v", err)
			}
			return
		}
		got, err := d.Append(nil, func(tlv.Tag) ([]byte, tlv.Format, bool) { return value, tlv.Format(format), true })
		if err == nil && len(got) != d.Len() {
			t.Fatalf("%d bytes, the list asks for %d", len(got), d.Len())
		}
		if err != nil && d.Len() <= 0xFF {
			t.Fatalf("a list of %d bytes: %v", d.Len(), err)
		}
		var enc []byte
		for _, e := range d {
			enc = append(e.Tag.Append(enc), byte(e.Len))
		}
		again, err := tlv.ParseDOL(enc)
		if err != nil || len(again) != len(d) {
			t.Fatalf("read again: %v, %v", again, err)
		}
	})
}
