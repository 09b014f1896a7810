package keyblock

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/mac"
	"github.com/payunit/payunit/pinpad/pinblock"
)

func key(t testing.TB, usage string, algorithm, mode byte, n int, optional ...Block) *Key {
	t.Helper()
	k, err := NewKey(Header{Version: 'D', Usage: usage, Algorithm: algorithm, Mode: mode, KeyVersion: "00", Exportability: 'E', Optional: optional},
		secret.CopyBytes([]byte("0123456789abcdefFEDCBA9876543210"[:n])))
	if err != nil {
		t.Fatalf("%s %c %c: %v", usage, algorithm, mode, err)
	}
	return k
}

// TestUsageIsEnforced tries every operation with keys of every usage, algorithm
// and mode, and compares with what each may.
func TestUsageIsEnforced(t *testing.T) {
	encrypts, macs := "EDB", "GVC"
	may := map[Operation]struct{ usages, modes string }{
		EncryptPIN: {"P0", "EB"}, DecryptPIN: {"P0", "DB"}, GenerateMAC: {"M0 M1 M3 M6 M7", "GC"}, VerifyMAC: {"M0 M1 M3 M6 M7", "VC"},
		EncryptData: {"D0", "EB"}, DecryptData: {"D0", "DB"}, WrapKey: {"K0 K1 K4", "EB"}, UnwrapKey: {"K0 K1 K4", "DB"},
		DeriveInitialKey: {"B0", "X"}, LoadInitialKey: {"B1", "X"}, DeriveCardKey: {"E0 E1 E2 E3 E4 E5 E6", "X"},
		GeneratePINReference: {"V0 V1 V2", "GC"}, VerifyPINReference: {"V0 V1 V2", "VC"}, GenerateCVV: {"C0", "GC"}, VerifyCVV: {"C0", "VC"},
		Sign: {"S0", "ST"}, VerifySignature: {"S0", "V"},
	}
	algorithmsOf := map[string]string{"M0": "DT", "M1": "DT", "M3": "DT", "M7": "H", "C0": "DTA", "D0": "DTA", "V0": "DTA", "V1": "DTA", "V2": "DTA", "S0": "RES"}
	allowed := 0
	for _, usage := range strings.Fields("B0 B1 B2 B3 C0 D0 D1 E0 E6 I0 K0 K1 K2 K4 M0 M1 M3 M6 M7 M8 P0 S0 V0 V2 V4 ZZ 10") {
		for _, algorithm := range []byte("ADEHRST0") {
			for _, mode := range []byte(encrypts + macs + "XNSTY1") {
				h := Header{Version: 'D', Usage: usage, Algorithm: algorithm, Mode: mode, KeyVersion: "00", Exportability: 'N'}
				for o := range operations + 1 {
					m := may[o]
					algs, ok := algorithmsOf[usage]
					if !ok {
						algs = "TA"
					}
					want := m.usages != "" && slices.Contains(strings.Fields(m.usages), usage) && strings.IndexByte(algs, algorithm) >= 0 &&
						(mode == 'N' || strings.IndexByte(m.modes, mode) >= 0)
					err := h.Allows(o)
					if (err == nil) != want || err != nil && !errors.Is(err, ErrUsage) {
						t.Errorf("%s, %c, %c to %s: %v, want allowed %v", usage, algorithm, mode, o, err, want)
					}
					if err == nil {
						allowed++
						if err := h.Coherent(); err != nil {
							t.Errorf("allowed, and yet: %v", err)
						}
					}
				}
			}
		}
	}
	if allowed < 100 {
		t.Errorf("only %d combinations are allowed", allowed)
	}
}

// TestZeroHeader: a header of nothing allows nothing.
func TestZeroHeader(t *testing.T) {
	var h Header
	if err := h.Coherent(); !errors.Is(err, ErrUsage) {
		t.Errorf("coherent: %v", err)
	}
	for o := range operations + 2 {
		if err := h.Allows(o); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v", o, err)
		}
	}
	if _, err := NewKey(h, secret.NewBytes(make([]byte, 16))); !errors.Is(err, ErrVersion) {
		t.Errorf("a key: %v", err)
	}
	if _, err := Wrap(secret.NewBytes(make([]byte, 16)), h, secret.NewBytes(make([]byte, 16)), nil); !errors.Is(err, ErrVersion) {
		t.Errorf("a block: %v", err)
	}
}

// TestKeysDoTheirOwnWorkOnly calls every method of keys of every kind.
func TestKeysDoTheirOwnWorkOnly(t *testing.T) {
	pan, err := secret.NewPAN([]byte("4761739001010010"))
	if err != nil {
		t.Fatal(err)
	}
	pin, data := secret.CopyBytes([]byte("1234")), make([]byte, 16)
	kek := key(t, "K0", 'A', 'B', 16)
	block, err := key(t, "P0", 'A', 'B', 16).EncryptPIN(4, pin, pan, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key *Key
		may string
	}{
		{key(t, "P0", 'A', 'E', 16), "encrypt PIN"}, {key(t, "P0", 'A', 'D', 16), "decrypt PIN"}, {key(t, "M6", 'A', 'G', 16), "MAC"},
		{key(t, "M6", 'A', 'V', 16), "verify"}, {key(t, "D0", 'A', 'E', 16), "encrypt"}, {key(t, "D0", 'A', 'D', 16), "decrypt"},
		{key(t, "K0", 'A', 'E', 16), "wrap"}, {key(t, "K0", 'A', 'D', 16), "unwrap"}, {key(t, "B0", 'A', 'X', 16), "derive"}, {key(t, "V2", 'T', 'C', 16), ""},
	} {
		for name, err := range map[string]error{
			"encrypt PIN": second(c.key.EncryptPIN(4, pin, pan, nil)), "decrypt PIN": second(c.key.DecryptPIN(4, block, pan)),
			"MAC": second(c.key.MAC(data, 0)), "verify": c.key.VerifyMAC(data, 0, make([]byte, 8)), "encrypt": second(c.key.Encrypt(data, data)),
			"decrypt": second(c.key.Decrypt(data, data)), "wrap": second(key(t, "D0", 'A', 'B', 16).Export(c.key, 'D', nil)),
			"unwrap": second(Open(c.key, "")), "derive": second(c.key.Material(DeriveInitialKey)),
		} {
			refused := errors.Is(err, ErrUsage)
			if refused != (name != c.may) {
				t.Errorf("a key of %s, mode %c, asked to %s: %v", c.key.header.Usage, c.key.header.Mode, name, err)
			}
		}
	}
	if _, err := key(t, "P0", 'A', 'D', 16).TranslatePIN(4, block, pan, kek, 4, nil); !errors.Is(err, ErrUsage) {
		t.Errorf("translated to a key that is no PIN key: %v", err)
	}
	to := key(t, "P0", 'T', 'B', 24)
	again, err := key(t, "P0", 'A', 'D', 16).TranslatePIN(4, block, pan, to, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := to.DecryptPIN(0, again, pan); err != nil || !got.Equal(pin) {
		t.Errorf("translated: %v", err)
	}
	if _, err := key(t, "P0", 'A', 'D', 16).TranslatePIN(4, block, pan, to, 1, nil); !errors.Is(err, pinblock.ErrTranslation) {
		t.Errorf("translated to format 1: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestMACsOfUsages compares each usage with its algorithm.
func TestMACsOfUsages(t *testing.T) {
	data := []byte("a message of some length")
	aes16, des16, des24 := key(t, "M6", 'A', 'C', 16), key(t, "M3", 'T', 'C', 16), key(t, "M0", 'T', 'C', 24)
	block := func(k *Key) func() ([]byte, error) {
		return func() ([]byte, error) {
			b, err := k.block()
			if err != nil {
				return nil, err
			}
			if k.header.Usage == "M6" {
				return mac.CMAC(b, data), nil
			}
			return mac.CBC(b, data, mac.Padding2)
		}
	}
	h256 := func(k *Key) func() ([]byte, error) {
		return func() ([]byte, error) {
			h := hmac.New(sha256.New, k.key.Reveal())
			h.Write(data)
			return h.Sum(nil), nil
		}
	}
	named, unnamed := key(t, "M7", 'H', 'C', 20, Block{"HM", "21"}), key(t, "M7", 'H', 'C', 20)
	single := key(t, "M1", 'D', 'C', 8)
	for _, c := range []struct {
		k    *Key
		want func() ([]byte, error)
	}{
		{aes16, block(aes16)}, {des24, block(des24)}, {single, block(single)}, {named, h256(named)}, {unnamed, h256(unnamed)},
		{des16, func() ([]byte, error) { return mac.Algorithm3(des16.key, data, mac.Padding2) }},
	} {
		want, err := c.want()
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.k.MAC(data, mac.Padding2)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %X, want %X: %v", c.k.header.Usage, got, want, err)
		}
		for n := range len(got) + 2 {
			code := append(bytes.Clone(got), 0)[:n]
			err := c.k.VerifyMAC(data, mac.Padding2, code)
			if good := n >= 4 && n <= len(got); good && err != nil || !good && !errors.Is(err, mac.ErrMAC) {
				t.Errorf("%s, %d bytes: %v", c.k.header.Usage, n, err)
			}
		}
		bad := bytes.Clone(got)
		bad[3] ^= 1
		if err := c.k.VerifyMAC(data, mac.Padding2, bad); !errors.Is(err, mac.ErrMAC) {
			t.Errorf("%s, altered: %v", c.k.header.Usage, err)
		}
	}
	if _, err := key(t, "M3", 'T', 'C', 24).MAC(data, mac.Padding1); !errors.Is(err, ErrKey) {
		t.Errorf("algorithm 3 under three keys: %v", err)
	}
	for code, want := range map[string]crypto.Hash{"10": crypto.SHA1, "23": crypto.SHA512, "33": crypto.SHA3_512} {
		if got, ok := (Header{Optional: []Block{{"HM", code}}}).HashOf(); !ok || got != want {
			t.Errorf("HM %s: %v", code, got)
		}
	}
}

// TestExport carries a key from block to block.
func TestExport(t *testing.T) {
	kbpk, old := key(t, "K1", 'A', 'B', 32), key(t, "K0", 'T', 'B', 24)
	k := key(t, "P0", 'T', 'B', 16, Block{"LB", "till 3"}, Block{"KP", "01AABBCCDDEE"})
	for _, c := range []struct {
		by      *Key
		version byte
	}{{kbpk, 'D'}, {kbpk, 'E'}, {old, 'B'}} {
		text, err := k.Export(c.by, c.version, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(c.by, text)
		if err != nil {
			t.Fatal(err)
		}
		if label, ok := got.Header().Find("LB"); !ok || label != "till 3" || !got.key.Equal(k.key) || got.header.Usage != "P0" {
			t.Errorf("%c: %+v", c.version, got.header)
		}
		if _, ok := got.Header().Find("KP"); ok {
			t.Errorf("%c: the old protection key's check value went along", c.version)
		}
	}
	sensitive, never := key(t, "P0", 'T', 'B', 16), key(t, "P0", 'T', 'B', 16)
	sensitive.header.Exportability, never.header.Exportability = 'S', 'N'
	if _, err := sensitive.Export(kbpk, 'D', nil); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"exportability N":          second(never.Export(kbpk, 'D', nil)),
		"version B under AES":      second(k.Export(kbpk, 'B', nil)),
		"version D under TDES":     second(k.Export(old, 'D', nil)),
		"AES under TDES":           second(key(t, "P0", 'A', 'B', 16).Export(old, 'B', nil)),
		"AES-256 under AES-128":    second(key(t, "P0", 'A', 'B', 32).Export(key(t, "K1", 'A', 'B', 16), 'D', nil)),
		"under a PIN key":          second(k.Export(key(t, "P0", 'A', 'B', 32), 'D', nil)),
		"under one that unwraps":   second(k.Export(key(t, "K1", 'A', 'D', 32), 'D', nil)),
		"three-key under two-key":  second(key(t, "P0", 'T', 'B', 24).Export(key(t, "K0", 'T', 'B', 16), 'B', nil)),
		"incoherent: MAC by a PIN": second(NewKey(Header{Version: 'D', Usage: "P0", Algorithm: 'A', Mode: 'C', KeyVersion: "00", Exportability: 'N'}, kbpk.key)),
		"incoherent: HMAC by AES":  second(NewKey(Header{Version: 'D', Usage: "M7", Algorithm: 'A', Mode: 'C', KeyVersion: "00", Exportability: 'N'}, kbpk.key)),
	} {
		if !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.Export(kbpk, 'A', nil); !errors.Is(err, ErrVersion) {
		t.Errorf("version A: %v", err)
	}
}

// TestCheckValues: a block whose check values are not those of its keys is
// refused, though it verifies.
func TestCheckValues(t *testing.T) {
	kbpk, k := key(t, "K1", 'A', 'B', 32), key(t, "P0", 'T', 'B', 16)
	kcv, err := k.KCV()
	if err != nil {
		t.Fatal(err)
	}
	kbpkKCV, err := kbpk.KCV()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		block Block
		want  error
	}{
		"of the key":                 {CheckValue("KC", CheckZeros, kcv), nil},
		"of the protection key":      {CheckValue("KP", CheckCMAC, kbpkKCV), nil},
		"of the key, wrong":          {CheckValue("KC", CheckZeros, []byte{kcv[0], kcv[1], kcv[2] ^ 1}), ErrAuthentication},
		"of the key, wrong method":   {CheckValue("KC", CheckCMAC, kcv), ErrAuthentication},
		"of the protection, wrong":   {CheckValue("KP", CheckCMAC, kcv), ErrAuthentication},
		"of the key, far too long":   {CheckValue("KC", CheckZeros, make([]byte, 9)), ErrAuthentication},
		"of another key, not judged": {CheckValue("PK", CheckZeros, kcv), nil},
	} {
		h := k.header
		h.Optional = []Block{c.block}
		text, err := Wrap(kbpk.key, h, k.key, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(kbpk, text)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (got == nil) != (err != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, _, err := k.header.CheckValue("KC"); !errors.Is(err, ErrFormat) {
		t.Errorf("no check value: %v", err)
	}
	if _, err := key(t, "M7", 'H', 'C', 20).KCV(); !errors.Is(err, ErrUsage) {
		t.Errorf("an HMAC key's check value: %v", err)
	}
}

// TestLengthIsHidden: blocks of one algorithm are equally long whatever the key.
func TestLengthIsHidden(t *testing.T) {
	kbpk := secret.NewBytes(make([]byte, 16))
	for _, version := range []byte("BD") {
		for algorithm, lengths := range map[byte][]int{'T': {16, 24}, 'A': {16, 24, 32}} {
			seen := map[int]bool{}
			for _, n := range lengths {
				h := header(version)
				h.Algorithm = algorithm
				text, err := Wrap(kbpk, h, secret.NewBytes(make([]byte, n)), nil)
				if err != nil {
					t.Fatal(err)
				}
				seen[len(text)] = true
			}
			if len(seen) != 1 {
				t.Errorf("version %c, algorithm %c: lengths %v", version, algorithm, seen)
			}
		}
	}
}

// TestNothingPrints looks for a key in what fmt makes of its Key.
func TestNothingPrints(t *testing.T) {
	k := key(t, "P0", 'A', 'B', 16)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{k, *k, []*Key{k}, map[string]Key{"k": *k}} {
			s := fmt.Sprintf(verb, v)
			if strings.Contains(s, "0123456789abcdef") || strings.Contains(s, "48 49 50") || strings.Contains(strings.ToLower(s), "30313233") {
				t.Errorf("%s: %s", verb, s)
			}
		}
	}
	raw := k.key.Reveal()
	k.Wipe()
	if !bytes.Equal(raw, make([]byte, 16)) {
		t.Error("the key is still there")
	}
}

// TestWipedKey: a key of zeros is one that everybody has.
func TestWipedKey(t *testing.T) {
	pan, err := secret.NewPAN([]byte("4761739001010010"))
	if err != nil {
		t.Fatal(err)
	}
	data, kbpk := make([]byte, 16), key(t, "K1", 'A', 'B', 32)
	block, err := key(t, "P0", 'A', 'B', 16).Export(kbpk, 'D', nil)
	if err != nil {
		t.Fatal(err)
	}
	wiped := func(usage string, algorithm, mode byte, n int) *Key {
		k := key(t, usage, algorithm, mode, n)
		k.Wipe()
		return k
	}
	pinKey, macKey, hmacKey, dataKey, wrapping := wiped("P0", 'A', 'B', 16), wiped("M3", 'T', 'C', 16), wiped("M7", 'H', 'C', 20), wiped("D0", 'A', 'B', 16), wiped("K1", 'A', 'B', 32)
	for name, err := range map[string]error{
		"encrypt PIN": second(pinKey.EncryptPIN(4, secret.CopyBytes([]byte("1234")), pan, nil)), "decrypt PIN": second(pinKey.DecryptPIN(4, data, pan)),
		"MAC": second(macKey.MAC(data, mac.Padding1)), "HMAC": second(hmacKey.MAC(data, 0)), "verify": hmacKey.VerifyMAC(data, 0, data),
		"encrypt": second(dataKey.Encrypt(data, data)), "decrypt": second(dataKey.Decrypt(data, data)), "KCV": second(dataKey.KCV()),
		"export": second(pinKey.Export(kbpk, 'D', nil)), "export under it": second(key(t, "P0", 'A', 'B', 16).Export(wrapping, 'D', nil)),
		"open under it": second(Open(wrapping, block)), "material": second(wiped("B0", 'A', 'X', 16).Material(DeriveInitialKey)),
		"material, no key at all": second((&Key{header: wrapping.header}).Material(WrapKey)),
	} {
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s with a wiped key: %v", name, err)
		}
	}
}

// TestProtectionKeyOfItsVersion: a protection key opens and makes blocks of the
// versions of its algorithm and usage alone.
func TestProtectionKeyOfItsVersion(t *testing.T) {
	k := key(t, "P0", 'T', 'B', 16)
	for _, version := range []byte("BDE") {
		for usage, versions := range map[string]string{"K0": "BDE", "K1": "BDE", "K4": "E"} {
			for _, algorithm := range []byte("TA") {
				kbpk := key(t, usage, algorithm, 'B', 24)
				h := k.header
				h.Version = version
				block, err := Wrap(kbpk.key, h, k.key, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := strings.IndexByte(versions, version) >= 0 && (version == 'B') == (algorithm == 'T')
				if _, err := Open(kbpk, block); (err == nil) != want || !want && !errors.Is(err, ErrUsage) {
					t.Errorf("version %c opened under a key of usage %s and algorithm %c: %v", version, usage, algorithm, err)
				}
				if _, err := k.Export(kbpk, version, nil); (err == nil) != want || !want && !errors.Is(err, ErrUsage) {
					t.Errorf("version %c made under a key of usage %s and algorithm %c: %v", version, usage, algorithm, err)
				}
			}
		}
	}
}

// TestHeaderIsTheKeysOwn: what a caller does to the header that went in or came
// out does not change what the key does.
func TestHeaderIsTheKeysOwn(t *testing.T) {
	in := []Block{{"HM", "21"}}
	k := key(t, "M7", 'H', 'C', 20, in...)
	want, err := k.MAC(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	in[0].Data = "10"
	k.Header().Optional[0].Data = "10"
	if got, err := k.MAC(nil, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the key has another hash now: %d bytes, want %d: %v", len(got), len(want), err)
	}
}

// TestUnknownHash: a key for a hash that is not here makes no MAC with another.
func TestUnknownHash(t *testing.T) {
	for _, code := range []string{"40", "41", "99"} {
		k := key(t, "M7", 'H', 'C', 20, Block{"HM", code})
		if _, err := k.MAC(nil, 0); !errors.Is(err, ErrUsage) {
			t.Errorf("HM %s: %v", code, err)
		}
		if err := k.VerifyMAC(nil, 0, make([]byte, 32)); !errors.Is(err, ErrUsage) {
			t.Errorf("HM %s, verified: %v", code, err)
		}
	}
}
