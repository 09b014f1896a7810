package tlv_test

import (
	"testing"

	"github.com/moov-io/bertlv"

	"github.com/payunit/payunit/cardreader/tlv"
)

// record is a card's FCI and one of its records, as real ones are.
const record = "6F338407A0000000031010A5285010446562697420202020202020202020208701015F2D02656E9F38039F1A02BF0C059F4D020B0A" +
	"70818D5A0847617390010100105F3401005F24033112315F25032401015F280202765F300202019F0702FFC09F080200968E0C000000000000000002031F039F0D05FC68FCA8009F0E0500100000009F0F05FCE8FCF8009F420209788C159F02069F03069F1A0295055F2A029A039C019F37048D178A029F02069F03069F1A0295055F2A029A039C019F37049F4A0182"

// visit goes to every object of a tree, as bertlv.Decode does, and counts them.
func visit(b []byte) (n int, err error) {
	for o, err := range tlv.All(b) {
		if err != nil {
			return n, err
		}
		n++
		if o.Tag.Constructed() {
			m, err := visit(o.Value)
			if err != nil {
				return n, err
			}
			n += m
		}
	}
	return n, nil
}

func count(list []bertlv.TLV) int {
	n := len(list)
	for _, o := range list {
		n += count(o.TLVs)
	}
	return n
}

// TestBenchmarkReads: both read the same objects.
func TestBenchmarkReads(t *testing.T) {
	b := unhex(t, record)
	ours, err := visit(b)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := bertlv.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if ours != count(theirs) || ours < 20 {
		t.Errorf("%d objects, bertlv reads %d", ours, count(theirs))
	}
}

// TestNoAllocations: reading a tree, and looking an object up in it.
func TestNoAllocations(t *testing.T) {
	b := unhex(t, record)
	for name, f := range map[string]func(){
		"visit":    func() { _, _ = visit(b) },
		"validate": func() { _ = tlv.Validate(b) },
		"find":     func() { _, _ = tlv.Find(b, 0x9F4A) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %.0f allocations", name, n)
		}
	}
}

// BenchmarkParse reads a tree of a card's data, here and with moov-io/bertlv.
func BenchmarkParse(b *testing.B) {
	in := unhex(b, record)
	b.Run("payunit", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			if _, err := visit(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("moov-io_bertlv", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			if _, err := bertlv.Decode(in); err != nil {
				b.Fatal(err)
			}
		}
	})
}
