package simcard_test

import (
	"testing"

	"github.com/payunit/payunit/cardreader/simcard"
)

// Any bytes, after any beginning of a session, under either protocol: at least
// two bytes come back, and nothing panics.
func FuzzProcess(f *testing.F) {
	for _, s := range []string{
		"", "00", "00A40400", "00A404000E315041592E5359532E444446303100", "00B2010C00", "80A8000002830000", "00C0000000",
		"80AE80001D", "0020008008241234FFFFFFFFFF", "0088000004A1B2C3D400", "0082000008000000000000000000", "841E0000080000000000000000",
		"04DA9F140901FFFFFFFFFFFFFFFF", "8424000208", "80CA9F3600", "0084000000", "00A40400000007A00000000310100000",
	} {
		for phase := range phases {
			f.Add(unhex(f, s), byte(phase), s == "00")
		}
	}
	every, t0 := everything(f), everything(f)
	t0.Protocol = profile(f, "t0").Protocol
	f.Fuzz(func(t *testing.T, command []byte, phase byte, asT0 bool) {
		p := every
		if asT0 {
			p = t0
		}
		c := newCard(t, p, simcard.Options{})
		reach(t, c, int(phase)%len(phases))
		for range 2 {
			if r := c.Process(command); len(r) < 2 || len(r) > 258 {
				t.Fatalf("%d bytes", len(r))
			}
		}
	})
}

// Any text is a list of faults or an error, and a list comes back the same.
func FuzzParseFaults(f *testing.F) {
	for _, s := range []string{"", "remove@gpo", "sw=6985@gpo:3,short=0@select", "delay=1h@command", "corrupt=@gpo"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := simcard.ParseFaults(s)
		if err != nil {
			return
		}
		again, err := simcard.ParseFaults(list.String())
		if err != nil || again.String() != list.String() {
			t.Errorf("%q: %q, then %q, %v", s, list.String(), again.String(), err)
		}
	})
}

// Any state that is taken leaves the card usable.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"simcard_state":1,"profile":"default","pin":"1234","pin_tries":3,"applications":[{"atc":1,"log":["00"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := simcard.New(profile(t, "default"), simcard.Options{PKI: pki, Rand: &stream{1}, State: &fixedState{b}})
		if err != nil {
			return
		}
		for _, cmd := range []string{"00A4040007A000000003101000", "80A8000002830000", "00B2015C00", "80CA9F1700"} {
			if r := c.Process(unhex(t, cmd)); len(r) < 2 {
				t.Errorf("%d bytes", len(r))
			}
		}
	})
}

type fixedState struct{ b []byte }

func (f *fixedState) Load() ([]byte, error) { return f.b, nil }
func (f *fixedState) Save([]byte) error     { return nil }
