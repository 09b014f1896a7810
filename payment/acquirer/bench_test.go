package acquirer

import (
	"slices"
	"strings"
	"testing"
	"time"

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

// BenchmarkRatio runs this package and the library alone in turns, on one message
// with the same fields, so that both meet the same machine, and reports what a
// pack, an unpack, and both cost in times of the library's.
func BenchmarkRatio(b *testing.B) {
	d := full(b)[0]
	m := request(b)
	x := newPlainBench(b, d)
	var packed, unpacked, plainPacked, plainUnpacked []time.Duration
	timed := func(took *[]time.Duration, do func()) {
		const turns = 50
		began := time.Now()
		for range turns {
			do()
		}
		*took = append(*took, time.Since(began))
	}
	// The median leaves out what other programs on the machine take.
	median := func(took []time.Duration) float64 {
		slices.Sort(took)
		return float64(took[len(took)/2])
	}
	for b.Loop() {
		timed(&packed, func() {
			if _, err := d.Seal(m, sum); err != nil {
				b.Fatal(err)
			}
		})
		timed(&plainPacked, func() { x.pack(b) })
		timed(&unpacked, func() {
			if _, err := d.Open(x.packed, check); err != nil {
				b.Fatal(err)
			}
		})
		timed(&plainUnpacked, func() { x.unpack(b) })
	}
	ours, theirs := [2]float64{median(packed), median(unpacked)}, [2]float64{median(plainPacked), median(plainUnpacked)}
	b.ReportMetric(ours[0]/theirs[0], "pack/plain")
	b.ReportMetric(ours[1]/theirs[1], "unpack/plain")
	b.ReportMetric((ours[0]+ours[1])/(theirs[0]+theirs[1]), "both/plain")
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

// plainBench does the same with the library alone: strings into fields, and
// back into strings, without checks, types, MAC or masking.
type plainBench struct {
	spec   *iso8583.MessageSpec
	packed []byte
	text   map[int]string
	bin    map[int][]byte
}

func newPlainBench(b *testing.B, d *Dialect) *plainBench {
	p, err := d.Seal(request(b), sum)
	if err != nil {
		b.Fatal(err)
	}
	x := &plainBench{spec: plain(), packed: p, text: map[int]string{}, bin: map[int][]byte{}}
	m := iso8583.NewMessage(x.spec)
	if err := m.Unpack(p); err != nil {
		b.Fatal(err)
	}
	for n, f := range m.GetFields() {
		if n < 2 {
			continue
		}
		if v, ok := f.(*field.Binary); ok {
			x.bin[n] = v.Value()
			continue
		}
		s, err := f.String()
		if err != nil {
			b.Fatal(err)
		}
		x.text[n] = strings.Clone(s)
	}
	return x
}

func (x *plainBench) pack(b *testing.B) {
	m := iso8583.NewMessage(x.spec)
	m.MTI("0200")
	for n, s := range x.text {
		if err := m.Field(n, s); err != nil {
			b.Fatal(err)
		}
	}
	for n, v := range x.bin {
		if err := m.BinaryField(n, v); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := m.Pack(); err != nil {
		b.Fatal(err)
	}
}

func (x *plainBench) unpack(b *testing.B) {
	m := iso8583.NewMessage(x.spec)
	if err := m.Unpack(x.packed); err != nil {
		b.Fatal(err)
	}
	for n := range x.text {
		if _, err := m.GetString(n); err != nil {
			b.Fatal(err)
		}
	}
	for n := range x.bin {
		if _, err := m.GetBytes(n); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlain is the library alone.
func BenchmarkPlain(b *testing.B) {
	x := newPlainBench(b, full(b)[0])
	b.Run("pack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.pack(b)
		}
	})
	b.Run("unpack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.unpack(b)
		}
	})
}
