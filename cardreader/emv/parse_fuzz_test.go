package emv

import (
	"bytes"
	"errors"
	"testing"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// breaks reports whether an error is one of the kernel's about card data.
func breaks(err error) bool {
	var c *CardError
	return errors.As(err, &c)
}

func seeds(f *testing.F, list ...[]byte) {
	for _, b := range list {
		f.Add(b)
	}
}

func FuzzFCI(f *testing.F) {
	aid := []byte{0xA0, 0, 0, 0, 3, 0x10, 0x10}
	name := tlv.Append(nil, tags.DFName, aid)
	a5 := tlv.Append(nil, tags.FCIProprietaryTemplate, tlv.Append(nil, tags.ApplicationLabel, []byte("CARD")))
	seeds(f, nil, tlv.Append(nil, tags.FCITemplate, append(bytes.Clone(name), a5...)), tlv.Append(nil, tags.FCITemplate, name), []byte{0x6F, 0x82})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, why := checkFCI(b, aid)
		if why != "" && got != nil {
			t.Fatalf("template %X and reason %q", got, why)
		}
		if why == "" && !bytes.Contains(b, aid) {
			t.Fatal("an FCI that lacks the name is taken")
		}
		s := &Session{k: &Kernel{}}
		if c, ok := s.named(b); ok && (len(c.AID) < 5 || len(c.AID) > 16 || c.Priority < 0 || c.Priority > 15 || len(c.Languages) > 4) {
			t.Fatalf("candidate %+v", c)
		}
	})
}

func FuzzAFL(f *testing.F) {
	seeds(f, nil, []byte{0x08, 1, 2, 0, 0x10, 1, 2, 1}, []byte{0xF8, 1, 0xFF, 0xFF}, []byte{0x08, 2, 1, 0}, []byte{0x09, 1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := locate(b)
		if err != nil {
			if !breaks(err) {
				t.Fatalf("error %v", err)
			}
			return
		}
		total := 0
		for _, x := range files {
			total += x.count
			if x.sfi < 1 || x.sfi > 30 || x.first == 0 || x.count < 1 || x.signed > x.count || int(x.first)+x.count-1 > 255 {
				t.Fatalf("file %+v", x)
			}
		}
		if total > maxRecords || len(files) != len(b)/4 {
			t.Fatalf("%d records in %d files of %d bytes", total, len(files), len(b))
		}
	})
}

func FuzzProcessingOptions(f *testing.F) {
	seeds(f, nil, []byte{0x80, 6, 0x3C, 0, 8, 1, 2, 0}, []byte{0x77, 10, 0x82, 2, 0x3C, 0, 0x94, 4, 8, 1, 2, 0}, []byte{0x80, 1, 0}, []byte{0x77, 4, 0x82, 2, 0, 0, 0x82})
	f.Fuzz(func(t *testing.T, b []byte) {
		aip, afl, err := options(b)
		if err != nil {
			if !breaks(err) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if !bytes.Contains(b, aip) || !bytes.Contains(b, afl) {
			t.Fatalf("AIP %X, AFL %X are not in %X", aip, afl, b)
		}
	})
}

func FuzzGenerateAC(f *testing.F) {
	seeds(f, nil,
		[]byte{0x80, 11, 0x80, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8},
		[]byte{0x77, 18, 0x9F, 0x27, 1, 0x80, 0x9F, 0x36, 2, 0, 1, 0x9F, 0x26, 8, 1, 2, 3, 4, 5, 6, 7, 8},
		[]byte{0x77, 14, 0x9F, 0x27, 1, 0x40, 0x9F, 0x4B, 3, 1, 2, 3, 0x9F, 0x36, 2, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		objects, response, err := cryptogramResponse(StepGenerate, b)
		if err != nil {
			if !breaks(err) {
				t.Fatalf("error %v", err)
			}
			return
		}
		// What a combined signature hashes is the answer without it, as it came.
		size := len(response)
		if v, ok := objects[tags.SignedDynamicData]; ok {
			size += len(tlv.Append(nil, tags.SignedDynamicData, nil)) + len(v)
		}
		if response != nil && size > len(b) {
			t.Fatalf("%d bytes to hash in a response of %d", size, len(b))
		}
		for tag, v := range objects {
			if !bytes.Contains(b, v) {
				t.Fatalf("value of %s is not in the response", tag)
			}
		}
	})
}
