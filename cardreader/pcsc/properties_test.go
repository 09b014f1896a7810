package pcsc

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
)

// TestExtendedLength: a reader that says it has none is not given a command of
// extended length; one that has it, or does not say, is.
func TestExtendedLength(t *testing.T) {
	list := unhex("06 04 42330006" + "12 04 42330012")
	for _, c := range []struct {
		name     string
		features []byte
		property []byte
		sent     bool
	}{
		{"extended", list, unhex("0A 04 00000100"), true},
		{"short only", list, unhex("01 02 0000" + "0A 04 00000000"), false},
		{"256 bytes", list, unhex("0A 04 00010000"), false},
		{"no such property", list, unhex("01 02 0000"), true},
		{"a cut property", list, unhex("0A 04 0000"), true},
		{"no such feature", list[:6], nil, true},
		{"no features", nil, nil, true},
		{"a cut feature", list[:4], nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := t1()
			p.controls = map[uint32][]byte{}
			if c.features != nil {
				p.controls[featureRequest] = c.features
			}
			if c.property != nil {
				p.controls[0x42330012] = c.property
			}
			card := connected(t, newFake("A"), Config{}, p)
			extended := append(unhex("00D6 0000 00 0101"), make([]byte, 257)...)
			for range 2 {
				_, err := card.Transmit(t.Context(), extended)
				if c.sent != (err == nil) || !c.sent && !errors.Is(err, cardreader.ErrProtocol) {
					t.Errorf("%v", err)
				}
			}
			asked := p.asked
			for _, short := range []string{"00A40400", "00B0000000", "00A4040002 3F00", "00A4040002 3F00 00"} {
				if _, err := card.Transmit(t.Context(), unhex(short)); err != nil {
					t.Errorf("%s: %v", short, err)
				}
			}
			if err := card.Close(); err != nil || p.resets != 1 {
				t.Errorf("Close: %v, %d resets", err, p.resets)
			}
			if asked > 2 || p.asked != asked {
				t.Errorf("the reader was asked %d times, and %d by short commands", asked, p.asked-asked)
			}
		})
	}
}

func TestUID(t *testing.T) {
	for _, c := range []struct {
		name, atr, answer, want string
	}{
		{"type A", "3B8F8001804F0CA0000003060300030000000068", "04A1B2C3D4E5F6 9000", "04A1B2C3D4E5F6"},
		{"not told", "3B8F8001804F0CA0000003060300030000000068", "6A81", ""},
		{"contact", "3BE000008131FE45EB", "04A1B2C3 9000", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &plastic{atr: unhex(c.atr), protocol: protocolT1}
			p.answer = func([]byte) ([]byte, error) { return unhex(c.answer), nil }
			card := connected(t, newFake("A"), Config{}, p).(*Card)
			got, err := card.UID(t.Context())
			if c.want == "" {
				if !errors.Is(err, cardreader.ErrProtocol) {
					t.Errorf("%X, %v", got, err)
				}
				return
			}
			if d := cmp.Diff(unhex(c.want), got); d != "" || err != nil {
				t.Error(d, err)
			}
			if d := cmp.Diff([][]byte{unhex("FFCA000000")}, p.seen); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzProperties(f *testing.F) {
	f.Add(unhex("120442330012"), unhex("0A0400000100"))
	f.Fuzz(func(t *testing.T, list, properties []byte) {
		for tag := range features(list) {
			if !strings.Contains(string(list), string(rune(tag))) && tag < 0x80 {
				t.Errorf("feature %02X is not in the list", tag)
			}
		}
		if v := property(properties, propertyMaxAPDUData); len(v) > len(properties) {
			t.Error("a property longer than its list")
		}
	})
}
