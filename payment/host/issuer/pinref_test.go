package issuer

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
)

// pinVector is one known answer.
type pinVector struct {
	Algorithm string `json:"algorithm"`
	PVK       string `json:"pvk"`
	CVK       string `json:"cvk"`
	PVKI      string `json:"pvki"`
	Table     string `json:"decimalisation_table"`
	Offset    string `json:"offset"`
	PIN       string `json:"pin"`
	PAN       string `json:"pan"`
	Start     int    `json:"pan_start"`
	Length    int    `json:"pan_len"`
	Pad       string `json:"pad"`
	PVV       string `json:"pvv"`
	Expiry    string `json:"expiry"`
	Service   string `json:"service_code"`
	CVV       string `json:"cvv"`
}

func secretHex(t testing.TB, s string) secret.Bytes {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return secret.NewBytes(b)
}

func number(t testing.TB, s string) secret.PAN {
	t.Helper()
	p, err := secret.NewPAN([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func digitsOf(s string) secret.Bytes { return secret.CopyBytes([]byte(s)) }

func (r pinVector) run(t *testing.T) {
	pan := number(t, r.PAN)
	switch {
	case strings.HasPrefix(r.Algorithm, "IBM3624"):
		m := IBM3624{Key: secretHex(t, r.PVK), Table: r.Table, Start: r.Start, Length: r.Length, Pad: r.Pad[0]}
		pin, err := m.PIN(r.Offset, pan)
		if err != nil || string(pin.Reveal()) != r.PIN {
			t.Errorf("PIN of the offset: %v", err)
		}
		offset, err := m.Offset(digitsOf(r.PIN), pan)
		if err != nil || offset != r.Offset {
			t.Errorf("offset %s, want %s: %v", offset, r.Offset, err)
		}
		natural, err := m.Natural(pan, len(r.PIN))
		if err != nil || strings.Trim(r.Offset, "0") == "" && string(natural.Reveal()) != r.PIN {
			t.Errorf("natural PIN: %v", err)
		}
		if ok, err := m.Verify(digitsOf(r.PIN), pan, r.Offset); !ok || err != nil {
			t.Errorf("does not verify: %v", err)
		}
		if ok, err := m.Verify(digitsOf("9"+r.PIN[:3]), pan, r.Offset); ok || err != nil {
			t.Errorf("another PIN verifies: %v", err)
		}
	case strings.HasPrefix(r.Algorithm, "Visa PVV"):
		got, err := PVV(secretHex(t, r.PVK), r.PVKI[0], digitsOf(r.PIN), pan)
		if err != nil || got != r.PVV {
			t.Errorf("PVV %s, want %s: %v", got, r.PVV, err)
		}
		if ok, err := VerifyPVV(secretHex(t, r.PVK), r.PVKI[0], digitsOf(r.PIN), pan, r.PVV); !ok || err != nil {
			t.Errorf("does not verify: %v", err)
		}
		if ok, err := VerifyPVV(secretHex(t, r.PVK), r.PVKI[0]^1, digitsOf(r.PIN), pan, r.PVV); ok || err != nil {
			t.Errorf("verifies under another key index: %v", err)
		}
	case r.Algorithm == "CVV":
		got, err := CVV(secretHex(t, r.CVK), pan, r.Expiry, r.Service)
		if err != nil || string(got.Reveal()) != r.CVV {
			t.Errorf("CVV: %v", err)
		}
		if ok, err := VerifyCVV(secretHex(t, r.CVK), pan, r.Expiry, r.Service, digitsOf(r.CVV)); !ok || err != nil {
			t.Errorf("does not verify: %v", err)
		}
		if ok, err := VerifyCVV(secretHex(t, r.CVK), pan, r.Expiry, "999", digitsOf(r.CVV)); ok || err != nil {
			t.Errorf("the stripe's value passes for the chip's: %v", err)
		}
	default:
		t.Fatalf("algorithm %s", r.Algorithm)
	}
}

const pair = "0123456789ABCDEFFEDCBA9876543210"

func TestPINReferences(t *testing.T) {
	for i, r := range []pinVector{
		{Algorithm: "IBM3624", PVK: pair, Table: "1234567890123456", Offset: "0000", PIN: "4524", PAN: "1122334455667788", Length: 16, Pad: "F"},
		{Algorithm: "IBM3624", PVK: pair, Table: "1234567890123456", Offset: "7710", PIN: "1234", PAN: "1122334455667788", Length: 16, Pad: "F"},
		{Algorithm: "IBM3624", PVK: pair, Table: "1234567890123456", Offset: "0000", PIN: "5518", PAN: "1122334455667788", Length: 14, Pad: "f"},
		{Algorithm: "IBM3624", PVK: pair, Table: "1234567890123456", Offset: "0000", PIN: "3675", PAN: "1122334455667788", Start: 1, Length: 14, Pad: "1"},
		{Algorithm: "Visa PVV", PVK: pair, PVKI: "1", PIN: "4524", PAN: "1122334455667788", PVV: "8523"},
		{Algorithm: "Visa PVV", PVK: pair, PVKI: "2", PIN: "1912", PAN: "1122334455667788", PVV: "3244"},
		// The second pass over the block is needed for these.
		{Algorithm: "Visa PVV", PVK: pair, PVKI: "1", PIN: "0570", PAN: "1122334455667718", PVV: "3144"},
		{Algorithm: "Visa PVV", PVK: pair, PVKI: "1", PIN: "8299", PAN: "1122334455667708", PVV: "4422"},
		{Algorithm: "CVV", CVK: "99999999999999998888888888888888", PAN: "2222222222222222", Expiry: "3333", Service: "111", CVV: "361"},
		{Algorithm: "CVV", CVK: pair, PAN: "1234567890123456", Expiry: "9912", Service: "220", CVV: "170"},
	} {
		t.Run(fmt.Sprint(i, " ", r.Algorithm), r.run)
	}
}

func TestSharedPINReferences(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "vectors", "pin_verification.json"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("known answers are missing: %v", err)
		}
		t.Skipf("known answers beside the repository are missing: %v", err)
	}
	var f struct{ Vectors []pinVector }
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	for i, r := range f.Vectors {
		t.Run(fmt.Sprint(i+1, " ", r.Algorithm), r.run)
	}
}

// TestVariants: the values of stripe, chip and print differ, and are the common
// function's under their service codes.
func TestVariants(t *testing.T) {
	cvk, pan := secretHex(t, pair), number(t, "4761739001010010")
	chip, err := ICVV(cvk, pan, "3112")
	if err != nil {
		t.Fatal(err)
	}
	printed, err := CVV2(cvk, pan, "3112")
	if err != nil {
		t.Fatal(err)
	}
	for service, got := range map[string]secret.Bytes{"999": chip, "000": printed} {
		if want, err := CVV(cvk, pan, "3112", service); err != nil || !got.Equal(want) || got.Len() != 3 {
			t.Errorf("service code %s: %v", service, err)
		}
	}
	if chip.Equal(printed) {
		t.Error("chip and print have the same value")
	}
	if s := fmt.Sprintf("%v %s %x %#v", chip, chip, chip, printed); strings.Contains(s, string(chip.Reveal())) {
		t.Error("a value was printed")
	}
}

// TestDecimalise: decimal digits first, then the letters, from the left.
func TestDecimalise(t *testing.T) {
	for in, want := range map[string]string{
		"123456789ABCDEF0": "1234", "ABCDEFABCDEF1234": "1234", "ABCDEFABCDEFAB12": "1201", "FEDCBAFEDCBAFEDC": "5432", "A1B2C3D4E5F6A7B8": "1234", "9ABCDEFABCDEFABC": "9012",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := decimalise(b, 4); string(got) != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestNaturalPIN: offsets of every length lead back to the PIN, and the offset of
// the natural PIN is zeros.
func TestNaturalPIN(t *testing.T) {
	m := IBM3624{Key: secretHex(t, pair), Table: "0123456789012345"}
	for _, s := range []string{"47617390", "4761739001010010", "4761739001010010123"} {
		pan := number(t, s)
		for n := 4; n <= 12; n++ {
			natural, err := m.Natural(pan, n)
			if err != nil {
				t.Fatal(err)
			}
			if offset, err := m.Offset(natural, pan); err != nil || offset != strings.Repeat("0", n) {
				t.Errorf("offset %s: %v", offset, err)
			}
			chosen := digitsOf("908172635415"[:n])
			offset, err := m.Offset(chosen, pan)
			if err != nil {
				t.Fatal(err)
			}
			if pin, err := m.PIN(offset, pan); err != nil || !pin.Equal(chosen) {
				t.Errorf("%d digits: %v", n, err)
			}
		}
	}
	whole, last := m, m
	last.Start, last.Length = 3, 16
	pan := number(t, "4761739001010010123")
	a, err := whole.Natural(pan, 6)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := last.Natural(pan, 6); err != nil || !a.Equal(b) {
		t.Errorf("the rightmost 16 digits are not the default: %v", err)
	}
}

func TestRefusedReferences(t *testing.T) {
	pan, pin := number(t, "1122334455667788"), digitsOf("1234")
	key, short, triple := secretHex(t, pair), secret.NewBytes(make([]byte, 8)), secret.NewBytes(make([]byte, 24))
	good := IBM3624{Key: key, Table: "0123456789012345"}
	with := func(alter func(*IBM3624)) error {
		m := good
		alter(&m)
		_, err := m.Offset(pin, pan)
		return err
	}
	for name, err := range map[string]error{
		"PVK of 8":                  second(PVV(short, '1', pin, pan)),
		"PVK of 24":                 second(PVV(triple, '1', pin, pan)),
		"key index":                 second(PVV(key, 'A', pin, pan)),
		"no key index":              second(PVV(key, 0, pin, pan)),
		"PIN of 3":                  second(PVV(key, '1', digitsOf("123"), pan)),
		"PIN of 13":                 second(PVV(key, '1', digitsOf("1234567890123"), pan)),
		"PIN with a letter":         second(PVV(key, '1', digitsOf("12A4"), pan)),
		"PAN of 11":                 second(PVV(key, '1', pin, number(t, "11223344556"))),
		"no PAN":                    second(PVV(key, '1', pin, secret.PAN{})),
		"PIN key of 8":              with(func(m *IBM3624) { m.Key = short }),
		"table of 15":               with(func(m *IBM3624) { m.Table = "123456789012345" }),
		"table of 17":               with(func(m *IBM3624) { m.Table = "12345678901234567" }),
		"table with a letter":       with(func(m *IBM3624) { m.Table = "123456789012345A" }),
		"table of zeros":            with(func(m *IBM3624) { m.Table = "0000000000000000" }),
		"table of one digit more":   with(func(m *IBM3624) { m.Table = "0000012345678912" }),
		"table of seven digits":     with(func(m *IBM3624) { m.Table = "0123456012345601" }),
		"validation data after end": with(func(m *IBM3624) { m.Start, m.Length = 1, 16 }),
		"validation data of 17":     with(func(m *IBM3624) { m.Length = 17 }),
		"validation data before":    with(func(m *IBM3624) { m.Start, m.Length = -1, 4 }),
		"no validation data":        with(func(m *IBM3624) { m.Start = 2 }),
		"padding":                   with(func(m *IBM3624) { m.Pad = 'X' }),
		"offset of 3":               second(good.PIN("000", pan)),
		"offset of 13":              second(good.PIN("0000000000000", pan)),
		"offset with a letter":      second(good.PIN("000A", pan)),
		"natural PIN of 3":          second(good.Natural(pan, 3)),
		"natural PIN of 13":         second(good.Natural(pan, 13)),
		"CVK of 8":                  second(CVV(short, pan, "2012", "220")),
		"CVK of 24":                 second(CVV(triple, pan, "2012", "220")),
		"expiry of 3":               second(CVV(key, pan, "201", "220")),
		"expiry of 5":               second(CVV(key, pan, "20120", "220")),
		"expiry with a letter":      second(CVV(key, pan, "201A", "220")),
		"service code of 4":         second(CVV(key, pan, "2012", "2202")),
		"service code of 2":         second(CVV(key, pan, "2012", "22")),
		"service code, letter":      second(CVV(key, pan, "2012", "22A")),
		"CVV of no PAN":             second(CVV(key, secret.PAN{}, "2012", "220")),
	} {
		if !errors.Is(err, ErrReference) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range []string{"1122334455", "123456789", "12A4", "20120"} {
			if strings.Contains(err.Error(), s) {
				t.Errorf("%s: the error tells its input", name)
			}
		}
	}
	if !bytes.Equal(pin.Reveal(), []byte("1234")) {
		t.Error("the caller's PIN was written to")
	}
}

func second[T any](_ T, err error) error { return err }

// TestCardKnownByPVV: an issuer decides about a PIN that its file does not hold.
func TestCardKnownByPVV(t *testing.T) {
	pvv, err := PVV(secretHex(t, pair), '1', digitsOf("4821"), number(t, "4761739001010010"))
	if err != nil {
		t.Fatal(err)
	}
	by := func(pvk, pvki, pvv string) line {
		return line{more: fmt.Sprintf(`,"pin":"","pvk":%q,"pvki":%q,"pvv":%q`, pvk, pvki, pvv)}
	}
	d := newDesk(t, Config{}, by(pair, "1", pvv))
	d.want("right", d.authorize(d.request(100, "4821")), CodeApproved)
	d.want("wrong", d.authorize(d.request(100, "4822")), CodeWrongPIN)
	d.want("right again", d.authorize(d.request(100, "4821")), CodeApproved)
	d.want("wrong", d.authorize(d.request(100, "1234")), CodeWrongPIN)
	d.want("wrong", d.authorize(d.request(100, "0000")), CodeWrongPIN)
	d.want("last try", d.authorize(d.request(100, "9999")), CodePINTries)
	pvk := d.k.pvk
	d.i.Close()
	if !bytes.Equal(pvk.Reveal(), make([]byte, 16)) {
		t.Error("the PIN verification key is still there")
	}
	for place, l := range map[string]line{
		"cards[0].pvk": by(pair[1:], "1", pvv), "cards[0].pvki": by(pair, "A", pvv), "cards[0].pvv": by(pair, "1", "12a4"),
		"cards[0].pin": {more: fmt.Sprintf(`,"pvk":%q,"pvki":"1","pvv":%q`, pair, pvv)},
	} {
		var e *CardsError
		if _, err := ParseCards(strings.NewReader(file(l))); !errors.As(err, &e) || e.Place != place {
			t.Errorf("%s: %v", place, err)
		}
	}
}
