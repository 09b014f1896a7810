package simcard_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
)

// pinCard is a card with plaintext PIN, ready for VERIFY.
func pinCard(t *testing.T, s simcard.StateStore) *simcard.Card {
	t.Helper()
	c := newCard(t, profile(t, "offline-pin"), simcard.Options{State: s})
	reach(t, c, 3)
	return c
}

func TestPINTriesSurvive(t *testing.T) {
	store := simcard.FileState(filepath.Join(t.TempDir(), "card.json"))
	wrong := apdu.Verify(apdu.VerifyPlaintext, unhex(t, "249999FFFFFFFFFF"))
	right := apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF"))

	expect(t, pinCard(t, store), wrong, 0x63C2)
	c := pinCard(t, store)
	expect(t, c, wrong, 0x63C1)
	if got := must(t, c, apdu.GetData(0x9F17)); string(got) != "\x9F\x17\x01\x01" {
		t.Errorf("tries: % X", got)
	}
	expect(t, pinCard(t, store), right, 0x9000) // gives all tries back
	for _, want := range []apdu.Status{0x63C2, 0x63C1, 0x63C0, 0x6983} {
		expect(t, pinCard(t, store), wrong, want)
	}
	expect(t, pinCard(t, store), right, 0x6983)
}

func TestCounter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "card.json")
	c := newCard(t, profile(t, "default"), simcard.Options{State: simcard.FileState(path)})
	first := simcard.Counter(c)
	if first == 0 || first >= 0x4000 {
		t.Errorf("a fresh card starts at %04X", first)
	}
	reach(t, c, 2)
	if simcard.Counter(c) != first {
		t.Error("SELECT counts")
	}
	reach(t, c, 3)
	if got := simcard.Counter(c); got != first+1 {
		t.Errorf("counter %04X after GET PROCESSING OPTIONS, want %04X", got, first+1)
	}
	c = newCard(t, profile(t, "default"), simcard.Options{State: simcard.FileState(path)})
	if got := simcard.Counter(c); got != first+1 {
		t.Errorf("counter %04X after power-up, want %04X", got, first+1)
	}
	other := newCard(t, profile(t, "default"), simcard.Options{Rand: &stream{99}})
	if simcard.Counter(other) == first {
		t.Error("another fresh card starts at the same counter")
	}

	// At the end of the counter the application is at its end.
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	m["applications"].([]any)[0].(map[string]any)["atc"] = 0xFFFE
	if b, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c = newCard(t, profile(t, "default"), simcard.Options{State: simcard.FileState(path)})
	reach(t, c, 3)
	for range 2 {
		reach(t, c, 2)
		expect(t, c, apdu.GetProcessingOptions([]byte{0x83, 0x00}), 0x6985)
	}
	if got := simcard.Counter(c); got != 0xFFFF {
		t.Errorf("counter %04X, want FFFF", got)
	}
}

// failing is a store whose memory wears out.
type failing struct{ left int }

func (f *failing) Load() ([]byte, error) { return nil, nil }

func (f *failing) Save([]byte) error {
	if f.left--; f.left < 0 {
		return errors.New("worn out")
	}
	return nil
}

// What can't be kept is not done: 6581, and the terminal learns no cryptogram
// and no answer about a PIN.
func TestWornMemory(t *testing.T) {
	p := profile(t, "offline-pin")
	c := newCard(t, p, simcard.Options{State: &failing{0}})
	reach(t, c, 2)
	before := simcard.Counter(c)
	expect(t, c, apdu.GetProcessingOptions([]byte{0x83, 0x00}), 0x6581)
	if simcard.Counter(c) != before {
		t.Error("the counter went on")
	}
	c = newCard(t, p, simcard.Options{State: &failing{1}})
	reach(t, c, 3)
	expect(t, c, apdu.Verify(apdu.VerifyPlaintext, unhex(t, "241234FFFFFFFFFF")), 0x6581)
	c = newCard(t, p, simcard.Options{State: &failing{1}})
	reach(t, c, 3)
	expect(t, c, apdu.GenerateAC(apdu.RefARQC, sale().fill(t, p.Applications[0].CDOL1)), 0x6581)
}

func TestStateRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "card.json")
	reach(t, newCard(t, profile(t, "default"), simcard.Options{State: simcard.FileState(path)}), 3)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, from, to string }{
		{"no JSON", "{", "["},
		{"another version", `"simcard_state":1`, `"simcard_state":2`},
		{"another profile", `"profile":"default"`, `"profile":"sda"`},
		{"tries above the limit", `"pin_tries":3`, `"pin_tries":4`},
		{"negative tries", `"pin_tries":3`, `"pin_tries":-1`},
		{"PIN", `"pin":"1234"`, `"pin":"12x4"`},
		{"no application", `"applications":[{`, `"applications":[],"x":[{`},
	} {
		bad := strings.Replace(string(good), tt.from, tt.to, 1)
		if bad == string(good) {
			t.Fatalf("%s: the state has no %s", tt.name, tt.from)
		}
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := simcard.New(profile(t, "default"), simcard.Options{PKI: pki, State: simcard.FileState(path)}); !errors.Is(err, simcard.ErrState) {
			t.Errorf("%s: %v, want ErrState", tt.name, err)
		}
	}
	if _, err := simcard.New(profile(t, "default"), simcard.Options{PKI: pki, State: simcard.FileState(dir)}); err == nil {
		t.Error("a directory passed for a state file")
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 {
		t.Errorf("%d files beside the state", len(left)-1)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := simcard.New(profile(t, "default"), simcard.Options{}); !errors.Is(err, simcard.ErrOptions) {
		t.Errorf("no PKI: %v", err)
	}
	if _, err := simcard.LookupProfile("golden"); !errors.Is(err, simcard.ErrProfile) {
		t.Errorf("unknown profile: %v", err)
	}
	for name, alter := range map[string]func(*simcard.Profile){
		"PIN":         func(p *simcard.Profile) { p.PIN = "123" },
		"tries":       func(p *simcard.Profile) { p.PINTries = 4 },
		"none":        func(p *simcard.Profile) { p.Applications = nil },
		"AID":         func(p *simcard.Profile) { p.Applications[0].AID = []byte{1, 2, 3, 4} },
		"label":       func(p *simcard.Profile) { p.Applications[0].Label = "" },
		"PAN":         func(p *simcard.Profile) { p.Applications[0].PAN = "47617390010100x0" },
		"PSN":         func(p *simcard.Profile) { p.Applications[0].PSN = 100 },
		"expiry":      func(p *simcard.Profile) { p.Applications[0].Expiry = "3112" },
		"CVM list":    func(p *simcard.Profile) { p.Applications[0].CVMList = []byte{0x1F, 0x00} },
		"format":      func(p *simcard.Profile) { p.Applications[0].Format = 3 },
		"protocol":    func(p *simcard.Profile) { p.Protocol = 9 },
		"CDOL1":       func(p *simcard.Profile) { p.Applications[0].CDOL1 = []byte{0x9F} },
		"CDOL1 parts": func(p *simcard.Profile) { p.Applications[0].CDOL1 = unhex(t, "9F0206") },
		"CDOL2 parts": func(p *simcard.Profile) { p.Applications[0].CDOL2 = unhex(t, "9F0206") },
		"session":     func(p *simcard.Profile) { p.Applications[0].Session = "secret" },
		"derivation":  func(p *simcard.Profile) { p.Applications[0].Derivation = "C" },
		"CVN":         func(p *simcard.Profile) { p.Applications[0].CVN = 0xEE },
	} {
		p := profile(t, "default")
		alter(&p)
		if _, err := simcard.New(p, simcard.Options{PKI: pki}); !errors.Is(err, simcard.ErrProfile) {
			t.Errorf("%s: %v, want ErrProfile", name, err)
		}
	}
	p := profile(t, "default")
	p.Applications[0].CAIndex = 0x01
	if _, err := simcard.New(p, simcard.Options{PKI: pki}); !errors.Is(err, simcard.ErrOptions) {
		t.Errorf("CA key that the PKI has not: %v", err)
	}
}
