package config

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/channel"
)

var (
	day0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	year = 365 * 24 * time.Hour
)

func signer(fill byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{fill}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func statement(version uint64) Statement {
	return Statement{
		Version: version, Issued: day0, Expires: day0.Add(year), Purposes: allPurposes, Suites: []Suite{SuiteX25519}, Name: "bank.test",
		Keys: []Key{{Suite: SuiteX25519, Public: bytes.Repeat([]byte{0xA1}, 32), From: day0, Until: day0.Add(year)}},
	}
}

func sign(t testing.TB, s Statement, k ed25519.PrivateKey) []byte {
	t.Helper()
	b, err := Sign(s, k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func reason(err error) Reason {
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrRefused) {
		return ""
	}
	return e.Reason
}

// TestEncoding compares an encoding with the byte table, field by field.
func TestEncoding(t *testing.T) {
	s := statement(7)
	s.Suites = []Suite{SuiteX25519, SuiteP256}
	s.Purposes = Allow(channel.PurposePay, channel.PurposeResume)
	s.Keys = append(s.Keys, Key{Suite: SuiteP256, Public: bytes.Repeat([]byte{0xB2}, 65), From: day0, Until: day0.Add(time.Second)})
	b := sign(t, s, signer(1))
	want := strings.Join([]string{
		hex.EncodeToString([]byte("PUCONF01")),
		"0000000000000007",
		"000000006955b900", // 2026-01-01
		"000000006b36ec80", // 2027-01-01
		"05", "02", "0102",
		"09", hex.EncodeToString([]byte("bank.test")),
		"02",
		"01", strings.Repeat("a1", 32), "000000006955b900", "000000006b36ec80",
		"02", strings.Repeat("b2", 65), "000000006955b900", "000000006955b901",
	}, "")
	if d := cmp.Diff(want, hex.EncodeToString(b[:len(b)-64])); d != "" {
		t.Fatal(d)
	}
	if !ed25519.Verify(public(signer(1)), append([]byte("payunit server configuration 1"), b[:len(b)-64]...), b[len(b)-64:]) {
		t.Error("the signature is of something else")
	}
	got, err := Verify(b, public(signer(1)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, got); d != "" {
		t.Error(d)
	}
}

// TestEveryByte alters each byte of a signed configuration, in each bit, and cuts
// and lengthens it.
func TestEveryByte(t *testing.T) {
	b := sign(t, statement(1), signer(1))
	for i := range b {
		for bit := range 8 {
			x := slices.Clone(b)
			x[i] ^= 1 << bit
			if _, err := Verify(x, public(signer(1))); reason(err) != ReasonSignature {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
		if _, err := Verify(b[:i], public(signer(1))); reason(err) == "" {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := Verify(append(slices.Clone(b), 0), public(signer(1))); reason(err) != ReasonSignature {
		t.Errorf("longer: %v", err)
	}
	if _, err := Verify(b, public(signer(2))); reason(err) != ReasonSignature {
		t.Errorf("another signer: %v", err)
	}
	if _, err := Verify(b, nil); err == nil {
		t.Error("verified without a key")
	}
}

// TestForms: what can't be said in the one form is not signed, and not read from
// whoever signs it all the same.
func TestForms(t *testing.T) {
	for name, change := range map[string]func(s *Statement){
		"version 0":             func(s *Statement) { s.Version = 0 },
		"expires at issue":      func(s *Statement) { s.Expires = s.Issued },
		"before 1970":           func(s *Statement) { s.Issued = time.Unix(-1, 0) },
		"after 9999":            func(s *Statement) { s.Expires = time.Unix(maxTime+1, 0) },
		"no purpose":            func(s *Statement) { s.Purposes = 0 },
		"unknown purpose":       func(s *Statement) { s.Purposes |= 8 },
		"no suite":              func(s *Statement) { s.Suites = nil },
		"unknown suite":         func(s *Statement) { s.Suites = []Suite{1, 4} },
		"a suite twice":         func(s *Statement) { s.Suites = []Suite{1, 1} },
		"many suites":           func(s *Statement) { s.Suites = slices.Repeat([]Suite{1}, 257) },
		"no name":               func(s *Statement) { s.Name = "" },
		"long name":             func(s *Statement) { s.Name = strings.Repeat("n", 65) },
		"name of another table": func(s *Statement) { s.Name = "bänk" },
		"no key":                func(s *Statement) { s.Keys = nil },
		"nine keys":             func(s *Statement) { s.Keys = slices.Repeat(s.Keys, 9) },
		"a key twice":           func(s *Statement) { s.Keys = slices.Repeat(s.Keys, 2) },
		"short key":             func(s *Statement) { s.Keys[0].Public = s.Keys[0].Public[1:] },
		"long key":              func(s *Statement) { s.Keys[0].Public = append(s.Keys[0].Public, 1) },
		"key of no suite":       func(s *Statement) { s.Keys[0].Suite = 0 },
		"suite not offered":     func(s *Statement) { s.Keys[0].Suite = SuiteTLS },
		"key good for no time":  func(s *Statement) { s.Keys[0].Until = s.Keys[0].From },
	} {
		s := statement(1)
		change(&s)
		if _, err := Sign(s, signer(1)); reason(err) != ReasonFormat {
			t.Errorf("%s: %v", name, err)
		}
	}
	body := sign(t, statement(1), signer(1))
	body = body[:len(body)-64]
	for name, b := range map[string][]byte{"a byte left over": append(slices.Clone(body), 0), "other magic": append([]byte("PUCONF02"), body[8:]...), "cut": body[:len(body)-1]} {
		b = append(b, ed25519.Sign(signer(1), signed(b))...)
		if _, err := Verify(b, public(signer(1))); reason(err) != ReasonFormat {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Sign(statement(1), nil); err == nil {
		t.Error("signed without a key")
	}
}

func TestUse(t *testing.T) {
	s := statement(1)
	s.Purposes = Allow(channel.PurposePay)
	next := Key{Suite: SuiteX25519, Public: bytes.Repeat([]byte{0xC3}, 32), From: day0.Add(time.Hour), Until: day0.Add(year)}
	s.Keys[0].Until = day0.Add(2 * time.Hour)
	s.Keys = []Key{next, s.Keys[0]}
	old := s.Keys[1].Public
	for _, c := range []struct {
		name    string
		suite   Suite
		purpose channel.Purpose
		at      time.Time
		want    [][]byte
		reason  Reason
	}{
		{"before the issue", 1, channel.PurposePay, day0.Add(-time.Second), nil, ReasonEarly},
		{"the old key", 1, channel.PurposePay, day0, [][]byte{old}, ""},
		{"both", 1, channel.PurposePay, day0.Add(time.Hour), [][]byte{next.Public, old}, ""},
		{"the new key", 1, channel.PurposePay, day0.Add(2 * time.Hour), [][]byte{next.Public}, ""},
		{"its last second", 1, channel.PurposePay, day0.Add(year - time.Second), [][]byte{next.Public}, ""},
		{"expired", 1, channel.PurposePay, day0.Add(year), nil, ReasonExpired},
		{"another purpose", 1, channel.PurposeEnrol, day0, nil, ReasonPurpose},
		{"no purpose", 1, channel.PurposeNone, day0, nil, ReasonPurpose},
		{"another suite", 3, channel.PurposePay, day0, nil, ReasonKey},
	} {
		got, err := s.Use(c.suite, c.purpose, c.at)
		if reason(err) != c.reason || (err == nil) != (c.reason == "") {
			t.Errorf("%s: %v", c.name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// FuzzVerify: what is read is encoded to the same bytes.
func FuzzVerify(f *testing.F) {
	key := signer(1)
	body := func(s Statement) []byte { b := sign(f, s, key); return b[:len(b)-64] }
	f.Add(body(statement(1)))
	s := statement(1 << 40)
	s.Suites = []Suite{3, 2, 1}
	s.Keys = append(s.Keys, Key{Suite: SuiteTLS, Public: make([]byte, 32), From: day0, Until: day0.Add(1 * time.Second)}, Key{Suite: SuiteP256, Public: make([]byte, 65), From: day0, Until: day0.Add(time.Hour)})
	f.Add(body(s))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Verify(append(slices.Clone(b), ed25519.Sign(key, signed(b))...), public(key))
		if err != nil {
			if reason(err) != ReasonFormat {
				t.Fatalf("signed rightly: %v", err)
			}
			return
		}
		if again := sign(t, s, key); !bytes.Equal(again[:len(again)-64], b) {
			t.Fatalf("%x\nbecame\n%x", b, again)
		}
	})
}

// TestSignMisfits: two keys whose lengths are each wrong and right together are not
// signed as two others.
func TestSignMisfits(t *testing.T) {
	s := statement(1)
	k := s.Keys[0]
	// So that what is read shifted by a byte makes sense: times that end in 0 and
	// in the suite's number.
	k.From, k.Until = time.Unix(0x6A000000, 0), time.Unix(0x6B000001, 0)
	k.Public = append(bytes.Repeat([]byte{0xB1}, 32), 0)
	l := s.Keys[0]
	l.Public = l.Public[:31]
	s.Keys = []Key{k, l}
	if _, err := Sign(s, signer(1)); reason(err) != ReasonFormat {
		t.Errorf("signed: %v", err)
	}
}
