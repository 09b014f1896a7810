package acquirer

import (
	"bytes"
	"sync"
	"testing"
)

// TestWorkspaceForgets: what a message was taken apart in holds nothing of it
// when the next message gets it.
func TestWorkspaceForgets(t *testing.T) {
	for _, d := range full(t) {
		p, err := d.Seal(request(t), sum)
		if err != nil {
			t.Fatal(err)
		}
		w := d.space()
		els, err := w.split(p)
		if err != nil || len(els) < 20 {
			t.Fatalf("%s: %d elements, %v", d.Name(), len(els), err)
		}
		var copies [][]byte
		for _, e := range els {
			if e.owned() {
				copies = append(copies, e.Value())
			}
		}
		w.release()
		for _, c := range copies {
			if !bytes.Equal(c, make([]byte, len(c))) {
				t.Errorf("%s: %q is left of a decoded value", d.Name(), c)
			}
		}
		for i := range w.slab {
			if e := &w.slab[i]; e.Value() != nil || e.size != 0 || e.reason != "" || e.decoded {
				t.Errorf("%s: element %d of the slab is not empty", d.Name(), i)
			}
		}
		if d.Name() == "iso87-bcd" && len(copies) == 0 {
			t.Error("nothing was decoded")
		}
	}
}

// TestDialectByMany: any number of goroutines may use a dialect; no message
// meets another's elements.
func TestDialectByMany(t *testing.T) {
	d := full(t)[1]
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			m := request(t)
			m.STAN = string([]byte{'0', '0', '0', '0', '1', '0' + byte(i)})
			for range 50 {
				p, err := d.Seal(m, sum)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := d.Unpack(p[:len(p)/2]); err == nil {
					t.Error("half a message was taken")
				}
				got, err := d.Open(p, check)
				if err != nil || got.STAN != m.STAN || !got.PAN.Equal(m.PAN) {
					t.Errorf("%v, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzExplainAny: whatever comes, an explanation or a *FieldError.
func FuzzExplainAny(f *testing.F) {
	for _, d := range full(f) {
		p, err := d.Seal(request(f), sum)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
		f.Add(append([]byte{0, byte(len(p) + 5), 0x60, 0, 1, 0, 2}, p...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ExplainAny(b)
		if err == nil && (x.MTI == "" || x.Dialect == "") {
			t.Errorf("no error and no message: %+v", x)
		}
		if x.String() == "" {
			t.Error("nothing to say")
		}
	})
}
