package atr_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/cardreader/atr"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answers are well-formed answers to reset.
func answers() map[string]string {
	return map[string]string{
		"minimal":              "3B00",
		"EMV basic T=0":        "3B6000 00",
		"EMV basic T=1":        "3BE00000 81 31 20 41 31",
		"inverse convention":   "3F650000 2063CB6800",
		"EMV T=1, specific":    "3BF41300FF9101717C4100DEADBEEFE6",
		"T=1 with T=15":        "3BDA18FF81B1FE751F030031F573C78A40009000B0",
		"contactless reader":   "3B8F8001804F0CA000000306030001000000006A",
		"contactless, no name": "3B8180018080",
	}
}

func TestParse(t *testing.T) {
	for name, s := range answers() {
		t.Run(name, func(t *testing.T) {
			b := unhex(t, s)
			a, err := atr.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.HasPrefix(name, "contactless"); a.Pseudo() != want {
				t.Errorf("Pseudo: %v", a.Pseudo())
			}
			if !bytes.Equal(a.Bytes(), b) {
				t.Errorf("Bytes: % X", a.Bytes())
			}
			if len(a.Describe()) < 2+len(a.Characters()) {
				t.Errorf("Describe: %q", a.Describe())
			}
		})
	}
}

func TestFields(t *testing.T) {
	a, err := atr.Parse(unhex(t, "3BDA18FF81B1FE751F030031F573C78A40009000B0"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range a.Characters() {
		got = append(got, c.Name()+"="+hex.EncodeToString([]byte{c.Value}))
	}
	if d := cmp.Diff([]string{"TA1=18", "TC1=ff", "TD1=81", "TD2=b1", "TA3=fe", "TB3=75", "TD3=1f", "TA4=03"}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if d := cmp.Diff([]int{1}, a.Protocols()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	f, d, khz, ok := a.Speed()
	if f != 372 || d != 12 || khz != 5000 || !ok {
		t.Errorf("Speed: %d, %d, %d, %v", f, d, khz, ok)
	}
	if a.GuardTime() != 255 || a.InformationFieldSize() != 254 || a.CRC() || a.WaitingTime() != 10 {
		t.Errorf("N %d, IFS %d, CRC %v, WI %d", a.GuardTime(), a.InformationFieldSize(), a.CRC(), a.WaitingTime())
	}
	if bwi, cwi := a.WaitingIntegers(); bwi != 7 || cwi != 5 {
		t.Errorf("BWI %d, CWI %d", bwi, cwi)
	}
	if _, ok := a.Specific(); ok {
		t.Error("specific mode without TA2")
	}
	if got := hex.EncodeToString(a.Historical()); got != "0031f573c78a40009000" {
		t.Errorf("historical bytes %s", got)
	}
	if v, ok := a.TCK(); !ok || v != 0xB0 {
		t.Errorf("TCK %02X, %v", v, ok)
	}
	want := []string{
		"TS  3B  direct convention",
		"T0  DA  10 historical bytes; TA1 TC1 TD1 follow",
		"TA1 18  Fi 372, Di 12: 31 cycles a bit, 161290 bit/s at most, clock up to 5 MHz",
		"TC1 FF  no extra guard time",
		"TD1 81  T=1 is offered; TD2 follow",
		"TD2 B1  T=1 is offered; TA3 TB3 TD3 follow",
		"TA3 FE  information field of at most 254 bytes",
		"TB3 75  block waiting integer 7, character waiting integer 5",
		"TD3 1F  global interface bytes follow; TA4 follow",
		"TA4 03  clock must not be stopped, 5 V or 3 V",
		"historical bytes 0031F573C78A40009000",
		"  card service data: F5",
		"  card capabilities: C78A40",
		"  life cycle status 00",
		"  status word 9000",
		"TCK B0  correct",
	}
	if d := cmp.Diff(want, a.Describe()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestDefaults(t *testing.T) {
	a, err := atr.Parse(unhex(t, "3B6000 00"))
	if err != nil {
		t.Fatal(err)
	}
	f, d, khz, ok := a.Speed()
	if f != 372 || d != 1 || khz != 5000 || !ok || a.GuardTime() != 0 || a.InformationFieldSize() != 32 || a.WaitingTime() != 10 {
		t.Errorf("F %d, D %d, %d kHz, %v, N %d, IFS %d, WI %d", f, d, khz, ok, a.GuardTime(), a.InformationFieldSize(), a.WaitingTime())
	}
	if bwi, cwi := a.WaitingIntegers(); bwi != 4 || cwi != 13 {
		t.Errorf("BWI %d, CWI %d", bwi, cwi)
	}
	if d := cmp.Diff([]int{0}, a.Protocols()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if _, ok := a.TCK(); ok {
		t.Error("TCK of a T=0 card")
	}
	if len(a.HistoricalWords()) != 0 || a.Inverse() {
		t.Errorf("%q, inverse %v", a.HistoricalWords(), a.Inverse())
	}
}

func TestMalformed(t *testing.T) {
	for _, tt := range []struct {
		name, in, char, reason string
		offset                 int
	}{
		{"nothing", "", "", "is empty", 0},
		{"34 bytes", "3B00" + strings.Repeat("00", 32), "", "at most 33", 0},
		{"TS", "3C00", "TS", "3C, want 3B or 3F", 0},
		{"inverse convention left undecoded", "0300", "TS", "03", 0},
		{"no T0", "3B", "T0", "is missing", 1},
		{"TA1 missing", "3B10", "TA1", "is missing", 2},
		{"TD1 missing", "3B9011", "TD1", "is missing", 3},
		{"TC2 missing", "3B8040", "TC2", "is missing", 3},
		{"historical bytes missing", "3B02AA", "T2", "2 historical bytes announced, 1 follow", 3},
		{"T=15 first", "3B800F", "TD1", "T=15", 2},
		{"bytes after T=0", "3B00AA", "", "1 bytes follow", 2},
		{"TCK missing", "3B8001", "TCK", "is missing", 3},
		{"TCK wrong", "3B800182", "TCK", "82, want 81", 3},
		{"bytes after TCK", "3B80018100", "", "1 bytes follow TCK", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := atr.Parse(unhex(t, tt.in))
			var e *atr.Error
			if !errors.As(err, &e) || !errors.Is(err, atr.ErrMalformed) || errors.Is(err, atr.ErrNotEMV) {
				t.Fatalf("%v, want *atr.Error", err)
			}
			if e.Byte != tt.char || e.Offset != tt.offset || !strings.Contains(e.Reason, tt.reason) {
				t.Errorf("%q at %d: %q; want %q at %d: %q", e.Byte, e.Offset, e.Reason, tt.char, tt.offset, tt.reason)
			}
		})
	}
}

// TestEveryBitFlip: TCK catches each single flipped bit from T0 on, or the
// structure does.
func TestEveryBitFlip(t *testing.T) {
	good := unhex(t, "3BF41300FF9101717C4100DEADBEEFE6")
	for i := 1; i < len(good); i++ {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			if _, err := atr.Parse(b); !errors.Is(err, atr.ErrMalformed) {
				t.Errorf("byte %d, bit %d: %v, want ErrMalformed", i, bit, err)
			}
		}
	}
	for n := range good {
		if _, err := atr.Parse(good[:n]); !errors.Is(err, atr.ErrMalformed) {
			t.Errorf("cut after %d bytes: %v, want ErrMalformed", n, err)
		}
	}
}

// sum appends the check character.
func sum(b []byte) []byte {
	var x byte
	for _, c := range b[1:] {
		x ^= c
	}
	return append(b, x)
}

func TestEMV(t *testing.T) {
	for _, tt := range []struct {
		name, in string // without TCK
		t0       bool   // no TCK
		warm     bool
		char     string // what is against the rules, "" for nothing
	}{
		{name: "basic T=0", in: "3B6000 00", t0: true},
		{name: "basic T=1", in: "3BE00000 81 31 20 41"},
		{name: "T=1 in specific mode", in: "3BF41300FF9101 71 7C 41 00 DEADBEEF"},
		{name: "TB1 missing", in: "3B4000", t0: true, char: "TB1"},
		{name: "TB1 missing, warm", in: "3B4000", t0: true, warm: true},
		{name: "TB1 not 00", in: "3B602500", t0: true, char: "TB1"},
		{name: "TB1 not 00, warm", in: "3B602500", t0: true, warm: true},
		{name: "negotiable speed counts not", in: "3B709600 00", t0: true},
		{name: "TA1 14 in specific mode", in: "3BF41400FFD0000A3F0300DEADBEEF", char: "TA1"},
		{name: "TA1 23 in specific mode", in: "3BF42300FF9101717C4100DEADBEEF", char: "TA1"},
		{name: "TA2 names another protocol", in: "3BF41300FF9100717C4100DEADBEEF", char: "TA2"},
		{name: "TA2 without TA1's parameters", in: "3BF41300FF9111717C4100DEADBEEF", char: "TA2"},
		{name: "T=2 first", in: "3BF41300FF9201717C4100DEADBEEF", char: "TD1"},
		{name: "TB2", in: "3BE00000 A0 00 01", char: "TB2"},
		{name: "TC2 00", in: "3BF41300FFD000003F0300DEADBEEF", char: "TC2"},
		{name: "TC2 0A", in: "3BE00000 40 0A", t0: true},
		{name: "TC2 before T=1", in: "3BE00000 C1 0A 31 20 41", char: "TC2"},
		{name: "T=15 behind T=0", in: "3BF41300FFD0000A3F0300DEADBEEF"},
		{name: "T=14 behind T=0", in: "3BE00000 80 0E"},
		{name: "T=1 behind T=0", in: "3BE00000 80 31 20 41"},
		{name: "T=0 behind T=0", in: "3BE00000 80 00", t0: true, char: "TD2"},
		{name: "T=2 behind T=0", in: "3BE00000 80 02", char: "TD2"},
		{name: "T=0 behind T=1", in: "3BF41300FF9101707C4100DEADBEEF", char: "TD2"},
		{name: "T=15 behind T=1", in: "3BE00000 81 1F 01", char: "TD2"},
		{name: "IFS 0F", in: "3BE00000 81 31 0F 41", char: "TA3"},
		{name: "IFS FF", in: "3BE00000 81 31 FF 41", char: "TA3"},
		{name: "TB3 missing", in: "3BE00000 81 11 20", char: "TB3"},
		{name: "CWI 6", in: "3BF41300FF9101717C4600DEADBEEF", char: "TB3"},
		{name: "BWI 5", in: "3BE00000 81 31 20 51", char: "TB3"},
		{name: "guard time longer than the character waiting time", in: "3BE00001 81 31 20 41", char: "TB3"},
		{name: "guard time just shorter", in: "3BE00001 81 31 20 42"},
		{name: "CRC", in: "3BE00000 81 71 20 41 01", char: "TC3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.in)
			if !tt.t0 {
				b = sum(b)
			}
			a, err := atr.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			err = a.EMV(tt.warm)
			if tt.char == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *atr.Error
			if !errors.As(err, &e) || !errors.Is(err, atr.ErrNotEMV) || e.Byte != tt.char {
				t.Errorf("%v, want %s rejected", err, tt.char)
			}
		})
	}
}

func TestHistoricalWords(t *testing.T) {
	for _, tt := range []struct {
		in   string // T0's low nibble and what follows it
		want []string
	}{
		{"3B02 1005", []string{"reference to a DIR file 05"}},
		{"3B03 80 8105", []string{"life cycle status 05"}},
		{"3B04 80 829000", []string{"status word 9000"}},
		{"3B05 80 83059000", []string{"life cycle status 05", "status word 9000"}},
		{"3B04 80 31C0 65", []string{"card service data: C0", "object 6 is cut off"}},
		{"3B03 80 91AA", []string{"object 9: AA"}},
		{"3B03 80 11AA", []string{"country code and data: AA"}},
		{"3B04 41 424344", []string{"category indicator 41: coding of the card's own"}},
		{"3B04 00 000000", []string{"life cycle status 00", "status word 0000"}},
	} {
		a, err := atr.Parse(unhex(t, tt.in))
		if err != nil {
			t.Fatalf("%s: %v", tt.in, err)
		}
		if d := cmp.Diff(tt.want, a.HistoricalWords()); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.in, d)
		}
	}
	a, err := atr.Parse(unhex(t, "3B8F8001804F0CA000000306030001000000006A"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"contactless memory card, standard 03, card name 0001"}, a.HistoricalWords()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// TestSharedATR runs the answers of the folder of known answers.
func TestSharedATR(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "vectors", "emv", "decode.json"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the known answers are missing: %v", err)
		}
		t.Skipf("the known answers are missing: %v", err)
	}
	var items []struct {
		ID, Kind string
		Input    struct{ ATR string }
		Expected struct{ Result string }
	}
	var all []json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, raw := range all {
		var kind struct{ Kind string }
		if err := json.Unmarshal(raw, &kind); err != nil || kind.Kind != "ATR" {
			continue
		}
		items = append(items, struct {
			ID, Kind string
			Input    struct{ ATR string }
			Expected struct{ Result string }
		}{})
		if err := json.Unmarshal(raw, &items[len(items)-1]); err != nil {
			t.Fatal(err)
		}
	}
	if len(items) == 0 {
		t.Fatal("no items")
	}
	for _, it := range items {
		t.Run(it.ID, func(t *testing.T) {
			in := unhex(t, it.Input.ATR)
			reject := strings.HasPrefix(it.Expected.Result, "reject")
			a, err := atr.Parse(in)
			if err == nil {
				err = a.EMV(false)
			}
			if (err != nil) != reject {
				t.Fatalf("%v, want rejected %v", err, reject)
			}
			if !reject {
				return
			}
			// Not for its check character alone: with a right one too.
			a, err = atr.Parse(sum(in[:len(in)-1]))
			if err != nil {
				t.Fatal(err)
			}
			if err := a.EMV(false); !errors.Is(err, atr.ErrNotEMV) {
				t.Errorf("with a right TCK: %v, want ErrNotEMV", err)
			}
		})
	}
}

func FuzzATR(f *testing.F) {
	for _, s := range answers() {
		f.Add(unhex(f, s))
	}
	f.Add([]byte{0x3B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := atr.Parse(in)
		if err != nil {
			if !errors.Is(err, atr.ErrMalformed) {
				t.Fatalf("error %v", err)
			}
			return
		}
		// Put together from its parts it is the same again.
		out := []byte{in[0], in[1]}
		for _, c := range a.Characters() {
			if c.Offset != len(out) {
				t.Fatalf("%s at %d, want %d", c.Name(), c.Offset, len(out))
			}
			out = append(out, c.Value)
		}
		out = append(out, a.Historical()...)
		if v, ok := a.TCK(); ok {
			out = append(out, v)
		}
		if !bytes.Equal(out, in) || !bytes.Equal(a.Bytes(), in) {
			t.Fatalf("% X became % X", in, out)
		}
		_ = a.Describe()
		for _, warm := range []bool{false, true} {
			if err := a.EMV(warm); err != nil && !errors.Is(err, atr.ErrNotEMV) {
				t.Fatalf("EMV: %v", err)
			}
		}
		a.Speed()
		a.Specific()
	})
}
