package acquirer

import (
	"strings"
	"testing"

	"github.com/moov-io/iso8583"
	"github.com/moov-io/iso8583/encoding"
	"github.com/moov-io/iso8583/field"
	"github.com/moov-io/iso8583/prefix"
)

func BenchmarkPack(b *testing.B) {
	for _, d := range full(b) {
		m := request(b)
		b.Run(d.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Seal(m, sum); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUnpack(b *testing.B) {
	for _, d := range full(b) {
		p, err := d.Seal(request(b), sum)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(d.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Open(p, check); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// plain is the specification of the default dialect in the library's own terms,
// for comparison.
func plain() *iso8583.MessageSpec {
	spec := &iso8583.MessageSpec{Fields: map[int]field.Field{
		0: field.NewString(field.NewSpec(4, "", encoding.ASCII, prefix.ASCII.Fixed)),
		1: field.NewBitmap(&field.Spec{Length: 8, Enc: encoding.BytesToASCIIHex, Pref: prefix.Hex.Fixed}),
	}}
	for _, e := range ASCII87().Elements {
		pref := map[int]prefix.Prefixer{0: prefix.ASCII.Fixed, 2: prefix.ASCII.LL, 3: prefix.ASCII.LLL}[e.Prefix]
		if e.Class == B {
			pref = map[int]prefix.Prefixer{0: prefix.Binary.Fixed, 2: prefix.ASCII.LL, 3: prefix.ASCII.LLL}[e.Prefix]
			spec.Fields[e.Number] = field.NewBinary(field.NewSpec(e.Length, "", encoding.Binary, pref))
			continue
		}
		spec.Fields[e.Number] = field.NewString(field.NewSpec(e.Length, "", encoding.ASCII, pref))
	}
	return spec
}

// BenchmarkPlain does the same with the library alone: strings into fields, and
// back into strings, without checks, types, MAC or masking.
func BenchmarkPlain(b *testing.B) {
	spec := plain()
	d := full(b)[0]
	p, err := d.Seal(request(b), sum)
	if err != nil {
		b.Fatal(err)
	}
	x := iso8583.NewMessage(spec)
	if err := x.Unpack(p); err != nil {
		b.Fatal(err)
	}
	text, bin := map[int]string{}, map[int][]byte{}
	for n, f := range x.GetFields() {
		if n < 2 {
			continue
		}
		if v, ok := f.(*field.Binary); ok {
			bin[n] = v.Value()
			continue
		}
		s, err := f.String()
		if err != nil {
			b.Fatal(err)
		}
		text[n] = strings.Clone(s)
	}
	b.Run("pack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m := iso8583.NewMessage(spec)
			m.MTI("0200")
			for n, s := range text {
				if err := m.Field(n, s); err != nil {
					b.Fatal(err)
				}
			}
			for n, v := range bin {
				if err := m.BinaryField(n, v); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := m.Pack(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unpack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m := iso8583.NewMessage(spec)
			if err := m.Unpack(p); err != nil {
				b.Fatal(err)
			}
			for n := range text {
				if _, err := m.GetString(n); err != nil {
					b.Fatal(err)
				}
			}
			for n := range bin {
				if _, err := m.GetBytes(n); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
