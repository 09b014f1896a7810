package oda_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/emv/oda"
)

// Mastercard's published test key F1 (github.com/openemv/emv-utils).
const f1Modulus = "A0DCF4BDE19C3546B4B6F0414D174DDE294AABBB828C5A834D73AAE27C99B0B053A90278007239B6459FF0BBCD7B4B9C6C50AC02CE91368DA1BD21AAEADBC65347337D89B68F5C99A09D05BE02DD1F8C5BA20E2F13FB2A27C41D3F85CAD5CF6668E75851EC66EDBF98851FD4E42C44C1D59F5984703B27D5B9F21B8FA0D93279FBBF69E090642909C9EA27F898959541AA6757F5F624104F6E1D3A9532F2A6E51515AEAD1B43B3D7835088A2FAFA7BE7"

const f1 = `{"rid":"A000000004","index":"F1","modulus":"` + f1Modulus + `","exponent":"03","expiry":"2031-12-31","sha1":"D8E68DA167AB5A85D8C3D55ECB9B0517A1A5B4BB"}`

func TestParseCAPK(t *testing.T) {
	s, err := oda.ParseCAPK(strings.NewReader(`{"capk":[` + f1 + `],"revoked":[{"rid":"A000000004","index":"F1","serial":"000102"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	k, ok := s.CAKey(rid(), 0xF1)
	if !ok || hex.EncodeToString(k.Modulus) != strings.ToLower(f1Modulus) || k.RID != rid() || k.Index != 0xF1 || string(k.Exponent) != "\x03" {
		t.Errorf("%v %+v", ok, k)
	}
	if s.Len() != 1 || !k.Expiry.Equal(time.Date(2031, 12, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%d keys, expiry %v", s.Len(), k.Expiry)
	}
	if k.Expired(time.Date(2031, 12, 31, 23, 59, 0, 0, time.UTC)) || !k.Expired(time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Error("it does not expire after its last day")
	}
	if _, ok := s.CAKey(rid(), 0xF2); ok {
		t.Error("another index finds it")
	}
	if _, ok := s.CAKey(oda.RID{0xA0, 0, 0, 0, 3}, 0xF1); ok {
		t.Error("another RID finds it")
	}
	if !s.Revoked(rid(), 0xF1, [3]byte{0, 1, 2}) || s.Revoked(rid(), 0xF1, [3]byte{0, 1, 3}) || s.Revoked(rid(), 0xF2, [3]byte{0, 1, 2}) {
		t.Error("the revocation list")
	}
	var none *oda.Store
	if _, ok := none.CAKey(rid(), 0xF1); ok || none.Revoked(rid(), 0xF1, [3]byte{}) || none.Len() != 0 {
		t.Error("a nil store knows something")
	}
	if empty, err := oda.ParseCAPK(strings.NewReader(`{}`)); err != nil || empty.Len() != 0 {
		t.Errorf("no keys: %v", err)
	}
}

func TestParseCAPKRefuses(t *testing.T) {
	with := func(old, new string) string {
		if !strings.Contains(f1, old) {
			t.Fatalf("no %q", old)
		}
		return `{"capk":[` + strings.Replace(f1, old, new, 1) + `]}`
	}
	const entry = "capk entry 1"
	for _, c := range []struct{ name, file, want string }{
		{"empty", ``, "EOF"},
		{"a list", `[]`, "at byte"},
		{"cut off", `{"capk":[`, "at byte"},
		{"a second object", `{}{}`, "after the object"},
		{"an unknown member", `{"capks":[]}`, "unknown field"},
		{"an unknown member of a key", with(`"exponent"`, `"exponents"`), "unknown field"},
		{"RID of 4 bytes", with("A000000004", "A0000000"), "rid is not"},
		{"RID no hex", with("A000000004", "A00000000G"), "rid is not"},
		{"index of 2 bytes", with(`"F1"`, `"00F1"`), "index is not"},
		{"index empty", with(`"F1"`, `""`), "index is not"},
		{"modulus no hex", with("A0DCF4BD", "A0DCF4BX"), "modulus is not"},
		{"modulus short", with(f1Modulus, f1Modulus[:126]), "modulus is not"},
		{"modulus long", with(f1Modulus, strings.Repeat("AB", 257)), "modulus is not"},
		{"exponent empty", with(`"03"`, `""`), "exponent is not"},
		{"exponent of 4 bytes", with(`"03"`, `"00000003"`), "exponent is not"},
		{"expiry no date", with("2031-12-31", "31.12.2031"), "expiry"},
		{"expiry no day of the year", with("2031-12-31", "2031-02-30"), "expiry"},
		{"wrong sum", with("D8E68DA1", "D8E68DA0"), "sha1 is not"},
		{"no sum", with("D8E68DA167AB5A85D8C3D55ECB9B0517A1A5B4BB", ""), "sha1 is not"},
		{"another modulus", with("A0DCF4BD", "A1DCF4BD"), "sha1 is not"},
		{"another index", with(`"F1"`, `"F2"`), "sha1 is not"},
		{"another exponent", with(`"03"`, `"010001"`), "sha1 is not"},
		{"given twice", `{"capk":[` + f1 + `,` + f1 + `]}`, `capk entry 2 (RID "A000000004" index "F1"): given twice`},
		{"revoked, serial of 2 bytes", `{"revoked":[{"rid":"A000000004","index":"F1","serial":"0001"}]}`, `revoked entry 1 (RID "A000000004" index "F1"): serial`},
		{"revoked, no RID", `{"revoked":[{"index":"F1","serial":"000102"}]}`, "revoked entry 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := oda.ParseCAPK(strings.NewReader(c.file))
			if s != nil || !errors.Is(err, oda.ErrCAPK) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want an error about %s", err, c.want)
			}
			if strings.Contains(c.want, "is not") && !strings.Contains(c.want, "revoked") && !strings.Contains(fmt.Sprint(err), entry) {
				t.Errorf("%v does not name the entry", err)
			}
		})
	}
	if _, err := oda.ParseCAPK(strings.NewReader(strings.Repeat(" ", 9<<20))); !errors.Is(err, oda.ErrCAPK) {
		t.Errorf("9 MB: %v", err)
	}
}

// TestVectorsCAPK takes all 157 public keys, each from a file of its own because
// live and test keys share indexes.
func TestVectorsCAPK(t *testing.T) {
	var items []struct{ RID, Index, Exp, Mod, SHA1 string }
	var raw []map[string]any
	vectors(t, "emv/capk.json", &items)
	vectors(t, "emv/capk.json", &raw)
	if len(items) != 157 {
		t.Fatalf("%d keys", len(items))
	}
	for i, v := range items {
		sum, _ := raw[i]["sha1_check"].(string)
		entry := map[string]string{"rid": v.RID, "index": v.Index, "modulus": v.Mod, "exponent": v.Exp, "sha1": sum}
		b, err := json.Marshal(map[string]any{"capk": []any{entry}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := oda.ParseCAPK(strings.NewReader(string(b)))
		if err != nil {
			t.Errorf("%s %s: %v", v.RID, v.Index, err)
			continue
		}
		if k, ok := s.CAKey(oda.RID(unhex(t, v.RID)), unhex(t, v.Index)[0]); !ok || !strings.EqualFold(hex.EncodeToString(k.Modulus), v.Mod) {
			t.Errorf("%s %s: not there", v.RID, v.Index)
		}
	}
}

func FuzzParseCAPK(f *testing.F) {
	f.Add(`{"capk":[` + f1 + `],"revoked":[{"rid":"A000000004","index":"F1","serial":"000102"}]}`)
	f.Add(`{"capk":[{"rid":"A000000004"}]}`)
	f.Add(`{"capk":null,"revoked":[{}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		store, err := oda.ParseCAPK(strings.NewReader(s))
		if (store == nil) != (err != nil) || err != nil && !errors.Is(err, oda.ErrCAPK) {
			t.Errorf("%v, %v", store, err)
		}
	})
}
