package dukpt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
)

// memory is a Store whose n-th Save can be made to fail, before or after it
// took effect.
type memory struct {
	b      []byte
	saves  int
	failAt int
	after  bool
}

var errDead = errors.New("the device lost its power")

func (m *memory) Load(context.Context) ([]byte, error) { return bytes.Clone(m.b), nil }

func (m *memory) Save(_ context.Context, b []byte) error {
	m.saves++
	if m.saves == m.failAt && !m.after {
		return errDead
	}
	m.b = bytes.Clone(b)
	if m.saves == m.failAt {
		return errDead
	}
	return nil
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pan(t testing.TB, s string) secret.PAN {
	t.Helper()
	p, err := secret.NewPAN([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func device(t testing.TB, alg Algorithm, store Store) (*Device, *Host) {
	t.Helper()
	h, err := NewHost(alg, secret.NewBytes(bytes.Repeat([]byte{0x1F}, alg.keyLen())))
	if err != nil {
		t.Fatal(err)
	}
	id := bytes.Repeat([]byte{0x20}, 8)
	if alg == TDES {
		id = unhex(t, "FFFF9876543210E00000")
	}
	ik, err := h.InitialKey(id)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDevice(t.Context(), alg, ik, id, store)
	if err != nil {
		t.Fatal(err)
	}
	return d, h
}

// TestDeviceAndHostAgree walks some thousand counters, in which every register
// is used.
func TestDeviceAndHostAgree(t *testing.T) {
	for _, alg := range []Algorithm{TDES, AES128, AES192, AES256} {
		t.Run(alg.String(), func(t *testing.T) {
			m := &memory{}
			d, h := device(t, alg, m)
			for n := range 3000 {
				if n%500 == 0 {
					var err error
					if d, err = OpenDevice(t.Context(), m); err != nil {
						t.Fatal(err)
					}
				}
				x, err := d.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				y, err := h.Transaction(x.KSN())
				if err != nil {
					t.Fatal(err)
				}
				if !x.key.Equal(y.key) {
					t.Fatalf("counter %X: keys differ", x.counter)
				}
				if bytes.Contains(m.b, x.key.Reveal()) {
					t.Fatalf("counter %X: the key that was handed out is still stored", x.counter)
				}
			}
		})
	}
}

// TestWholeTDESLife uses a device up: 1,048,575 keys (X9.24-1, 6.2).
func TestWholeTDESLife(t *testing.T) {
	n, c := 0, uint32(0)
	for {
		next, ok := TDES.after(c)
		if !ok {
			break
		}
		if next <= c || bits.OnesCount32(next) > 10 {
			t.Fatalf("counter %X after %X", next, c)
		}
		c = next
		n++
	}
	if n != 1048575 || c != 0x1FF800 {
		t.Errorf("%d keys, the last counter %X", n, c)
	}
}

func TestExhausted(t *testing.T) {
	for alg, last := range map[Algorithm]uint32{TDES: 0x1FF800, AES128: 0xFFFF0000} {
		m := &memory{}
		d, _ := device(t, alg, m)
		d.s.counter = last
		if _, err := d.Next(t.Context()); !errors.Is(err, ErrExhausted) {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// TestPowerLostAtEverySave: no key serial number is handed out twice.
func TestPowerLostAtEverySave(t *testing.T) {
	for _, after := range []bool{false, true} {
		m := &memory{after: after}
		d, _ := device(t, AES128, m)
		seen := map[string]bool{}
		for n := range 40 {
			m.failAt = m.saves + 1 + n%3
			for range 3 {
				x, err := d.Next(t.Context())
				if err != nil {
					if !errors.Is(err, errDead) {
						t.Fatal(err)
					}
					continue
				}
				if k := string(x.KSN()); seen[k] {
					t.Fatalf("KSN %X came twice", k)
				} else {
					seen[k] = true
				}
			}
			var err error
			if d, err = OpenDevice(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) < 40 {
			t.Fatalf("%d keys", len(seen))
		}
	}
}

func TestPINAndMACRoundTrip(t *testing.T) {
	for _, alg := range []Algorithm{TDES, AES128, AES192, AES256} {
		t.Run(alg.String(), func(t *testing.T) {
			d, h := device(t, alg, &memory{})
			x, err := d.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			y, err := h.Transaction(x.KSN())
			if err != nil {
				t.Fatal(err)
			}
			card := pan(t, "4761739001010010")
			block, format, err := x.EncryptPIN(secret.CopyBytes([]byte("123456")), card, bytes.NewReader(make([]byte, 64)))
			if err != nil || format != alg.Format() {
				t.Fatalf("format %d: %v", format, err)
			}
			pin, err := y.DecryptPIN(block, card)
			if err != nil || string(pin.Reveal()) != "123456" {
				t.Fatalf("PIN: %v", err)
			}
			if _, err := y.DecryptPIN(block, pan(t, "4761739001010028")); err == nil {
				t.Error("the block opens for another PAN")
			}
			data := []byte("a message of some length")
			code, err := x.MACRequest(data)
			if err != nil || len(code) != 8 {
				t.Fatalf("%X %v", code, err)
			}
			if err := y.VerifyMACRequest(data, code); err != nil {
				t.Error(err)
			}
			if err := x.VerifyMACResponse(data, code); !errors.Is(err, mac.ErrMAC) {
				t.Errorf("a request's MAC passes for an answer's: %v", err)
			}
			answer, err := y.MACResponse(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.VerifyMACResponse(data, answer); err != nil {
				t.Error(err)
			}
			for i := range answer {
				bad := bytes.Clone(answer)
				bad[i] ^= 1
				if err := x.VerifyMACResponse(data, bad); !errors.Is(err, mac.ErrMAC) {
					t.Errorf("byte %d: %v", i, err)
				}
			}
			x.Wipe()
			if _, err := x.MACRequest(data); !errors.Is(err, ErrWiped) {
				t.Errorf("after Wipe: %v", err)
			}
		})
	}
}

func TestRefusedInput(t *testing.T) {
	h, err := NewHost(AES128, secret.NewBytes(make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	for name, ksn := range map[string]string{
		"short": "1234567890123456000000", "long": "12345678901234560000000100", "counter zero": "123456789012345600000000",
		"17 bits": "12345678901234560001FFFF",
	} {
		if _, err := h.Transaction(unhex(t, ksn)); !errors.Is(err, ErrKSN) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		alg  Algorithm
		n    int
		says string
	}{
		{TDES, 8, "filled up on the left with FF"}, {TDES, 9, "filled up on the left with FF"}, {TDES, 12, "of AES DUKPT"},
		{TDES, 20, "hexadecimal digits"}, {AES128, 24, "hexadecimal digits"}, {AES256, 10, "of TDES DUKPT"},
		{TDES, 11, "11 bytes, TDES takes 10"}, {TDES, 0, "0 bytes, TDES takes 10"}, {AES128, 8, "8 bytes, AES-128 takes 12"},
	} {
		if _, _, err := c.alg.SplitKSN(make([]byte, c.n)); !errors.Is(err, ErrKSN) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s, %d bytes: %v", c.alg, c.n, err)
		}
	}
	if _, err := NewHost(AES128, secret.NewBytes(make([]byte, 24))); !errors.Is(err, ErrKey) {
		t.Errorf("key length: %v", err)
	}
	if _, err := NewDevice(t.Context(), TDES, secret.NewBytes(make([]byte, 16)), unhex(t, "FFFF9876543210E00001"), &memory{}); !errors.Is(err, ErrKey) {
		t.Errorf("KSN with a counter: %v", err)
	}
}

// TestNothingPrints looks for the keys in everything that fmt, JSON and slog make
// of whatever holds them, also of somebody else's struct.
func TestNothingPrints(t *testing.T) {
	d, h := device(t, AES128, &memory{})
	x, err := d.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y, err := h.Transaction(x.KSN())
	if err != nil {
		t.Fatal(err)
	}
	var forms []string
	for _, k := range []secret.Bytes{x.key, h.bdk, d.s.registers[5], d.s.update} {
		decimal := strings.Trim(fmt.Sprint(k.Reveal()), "[]")
		// An AES cipher begins with the key as words.
		for _, order := range []binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
			forms = append(forms, fmt.Sprint(order.Uint32(k.Reveal())), fmt.Sprintf("%x", order.Uint32(k.Reveal())))
		}
		forms = append(forms, hex.EncodeToString(k.Reveal()), decimal, strings.ReplaceAll(decimal, " ", ","), string(k.Reveal()), fmt.Sprintf("% x", k.Reveal()), base64.StdEncoding.EncodeToString(k.Reveal()))
	}
	leaks := func(how, s string) {
		for _, f := range forms {
			if strings.Contains(s, f) || strings.Contains(strings.ToLower(s), f) {
				t.Errorf("%s prints a key: %s", how, s)
			}
		}
	}
	type holder struct {
		X *Transaction
		y *HostTransaction
		H Host
		s []*state
	}
	for name, v := range map[string]any{
		"Transaction": x, "a Transaction's value": x.keys, "HostTransaction": y, "Host": h, "state": &d.s, "a state's value": d.s,
		"somebody's struct": holder{x, y, *h, []*state{&d.s}}, "a map": map[string]*Host{"h": h},
	} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flags := range []string{"", "+", "#", " ", "20", ".3"} {
				leaks(name+" under %"+flags+string(verb), fmt.Sprintf("%"+flags+string(verb), v))
			}
		}
		if b, err := json.Marshal(v); err == nil {
			leaks(name+" as JSON", string(b))
		}
		for kind, handler := range map[string]func(io.Writer) slog.Handler{
			"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }, "JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("message", "value", v)
			leaks(name+" in a log of "+kind, b.String())
		}
	}
}

func FuzzState(f *testing.F) {
	m := &memory{}
	device(f, AES128, m)
	f.Add(m.b)
	device(f, TDES, m)
	f.Add(m.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatal(err)
			}
			return
		}
		if d := cmp.Diff(b, s.append(nil)); d != "" {
			t.Fatal(d)
		}
		d := &Device{store: &memory{}, s: s}
		if _, err := d.Next(t.Context()); err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrExhausted) {
			t.Fatal(err)
		}
	})
}
