package acquirer

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
)

// TestEntryModes: how the card was read, in each dialect's field 22, and what
// such a request has and lacks.
func TestEntryModes(t *testing.T) {
	for _, c := range []struct {
		name, mode, words string
		// wire is field 22 by the edition.
		wire map[string]string
	}{
		{"chip", EntryChip, "chip", map[string]string{"iso87-ascii": "051", "iso87-bcd": "0051", "iso93-ascii": "51010150034C"}},
		{"contactless", EntryContactless, "contactless chip", map[string]string{"iso87-ascii": "071", "iso87-bcd": "0071", "iso93-ascii": "51010170034C"}},
		{"stripe", EntryTrack, "magnetic stripe", map[string]string{"iso87-ascii": "901", "iso87-bcd": "0901", "iso93-ascii": "51010190034C"}},
		{"fallback", EntryFallback, "magnetic stripe after the chip failed", map[string]string{"iso87-ascii": "801", "iso87-bcd": "0801", "iso93-ascii": "51010180034C"}},
		{"manual", EntryManual, "keyed", map[string]string{"iso87-ascii": "011", "iso87-bcd": "0011", "iso93-ascii": "51010160034C"}},
	} {
		for _, d := range full(t) {
			t.Run(c.name+"/"+d.Name(), func(t *testing.T) {
				m := request(t)
				m.EntryMode = c.mode + "1"
				if c.mode != EntryChip && c.mode != EntryContactless {
					m.ICC, m.PSN = nil, ""
				}
				if c.mode == EntryManual {
					m.Track2, m.CVV2 = secret.Track2{}, secret.CopyBytes([]byte("738"))
				}
				b, err := d.Seal(m, sum)
				if err != nil {
					t.Fatal(err)
				}
				got, err := d.Open(b, check)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(m, got, secrets); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				x, err := d.Explain(b)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range x.Fields {
					if f.Number != 22 {
						continue
					}
					value := f.Value
					if d.Name() == "iso87-bcd" {
						value = "0" + value
						if raw, err := hex.DecodeString(value); err != nil || !bytes.Contains(b, raw) {
							t.Errorf("no %s in the message", value)
						}
					}
					if value != c.wire[d.Name()] {
						t.Errorf("field 22 is %s, want %s", value, c.wire[d.Name()])
					}
					if d.Name() != "iso93-ascii" && f.Meaning != c.words {
						t.Errorf("field 22 means %q, want %q", f.Meaning, c.words)
					}
				}
			})
		}
	}
}

// TestCVV2IsNeverShown: not in a print, not in an explanation, not after Wipe.
func TestCVV2IsNeverShown(t *testing.T) {
	for _, d := range full(t) {
		m := request(t)
		m.EntryMode, m.ICC, m.Track2, m.CVV2 = "011", nil, secret.Track2{}, secret.CopyBytes([]byte("7384"))
		b, err := d.Seal(m, sum)
		if err != nil {
			t.Fatal(err)
		}
		x, err := d.Explain(b)
		if err != nil {
			t.Fatal(err)
		}
		clone := m.Clone()
		shown := fmt.Sprint(m) + fmt.Sprintf("%+v %#v", *m, x) + x.String() + m.Describe()
		for _, n := range []string{"7384", "37333834", "55 51 56 52", "0x37, 0x33"} {
			if strings.Contains(shown, n) {
				t.Errorf("%s: %q is in %s", d.Name(), n, shown)
			}
		}
		if !strings.Contains(shown, "C504********") || !strings.Contains(m.Describe(), "CVV2") {
			t.Errorf("%s: the field is not shown at all: %s", d.Name(), shown)
		}
		bytesOf := m.CVV2.Reveal()
		m.Wipe()
		if !bytes.Equal(bytesOf, make([]byte, 4)) || m.CVV2.Len() != 0 {
			t.Errorf("%s: not wiped", d.Name())
		}
		if string(clone.CVV2.Reveal()) != "7384" {
			t.Errorf("%s: the clone was wiped with it", d.Name())
		}
	}
	std := StandardHex87()
	d, err := NewDialect(std)
	if err != nil {
		t.Fatal(err)
	}
	m := request(t)
	m.MACKSN, m.Order, m.PINBlock, m.PINFormat, m.PINKSN, m.ConditionCode = nil, "", nil, 0, nil, ""
	if _, err := d.Pack(m); err != nil {
		t.Fatal(err)
	}
	m.CVV2 = secret.CopyBytes([]byte("738"))
	if _, err := d.Pack(m); err == nil {
		t.Error("a dialect without a private field dropped the CVV2")
	}
}
