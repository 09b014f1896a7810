package cryptogram_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
)

func TestParseScheme(t *testing.T) {
	for _, c := range []struct {
		derivation, session, cvn string
		want                     cryptogram.Scheme
		number                   byte
	}{
		{"A", "none", "10", cryptogram.Scheme{Derivation: cryptogram.DerivationA, Session: cryptogram.SessionNone, CVN: cryptogram.Visa10}, 0x0A},
		{"a", "", "0A", cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.Visa10}, 0x0A},
		{"A", "none", "17", cryptogram.Scheme{Derivation: cryptogram.DerivationA, Session: cryptogram.SessionNone, CVN: cryptogram.Visa17}, 0x11},
		{"B", "csk", "18", cryptogram.Scheme{Derivation: cryptogram.DerivationB, Session: cryptogram.SessionCommon, CVN: cryptogram.Visa18}, 0x12},
		{"B", "", "22", cryptogram.Scheme{Derivation: cryptogram.DerivationB, CVN: cryptogram.Visa22}, 0x16},
		{"A", "mchip", "0x10", cryptogram.Scheme{Derivation: cryptogram.DerivationA, Session: cryptogram.SessionProprietary, CVN: cryptogram.MChip10}, 0x10},
		{"A", "", "11", cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.MChip11}, 0x11},
		{"A", "emv2000", "12", cryptogram.Scheme{Derivation: cryptogram.DerivationA, Session: cryptogram.SessionTree, CVN: cryptogram.MChip12}, 0x12},
		{"A", "", "13", cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.MChip13}, 0x13},
		{"A", "csk", "14", cryptogram.Scheme{Derivation: cryptogram.DerivationA, Session: cryptogram.SessionCommon, CVN: cryptogram.MChip14}, 0x14},
		{"A", "", "0x15", cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.MChip15}, 0x15},
		{"A", "", "85", cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.Interac133}, 0x85},
	} {
		got, err := cryptogram.ParseScheme(c.derivation, c.session, c.cvn)
		if err != nil {
			t.Errorf("%s %s %s: %v", c.derivation, c.session, c.cvn, err)
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s %s %s (-want +got)\n%s", c.derivation, c.session, c.cvn, d)
		}
		if got.CVN.Number() != c.number || got.Validate() != nil {
			t.Errorf("%v: number %02X, %v", got.CVN, got.CVN.Number(), got.Validate())
		}
	}
	for _, bad := range [][3]string{{"", "csk", "18"}, {"C", "csk", "18"}, {"A", "aes", "18"}, {"A", "csk", ""}, {"A", "csk", "A5"}, {"A", "csk", "99"}} {
		if s, err := cryptogram.ParseScheme(bad[0], bad[1], bad[2]); !errors.Is(err, cryptogram.ErrScheme) || s != (cryptogram.Scheme{}) {
			t.Errorf("%v: %v, %v", bad, s, err)
		}
	}
	for _, bad := range []cryptogram.Scheme{{}, {Derivation: cryptogram.DerivationA}, {CVN: cryptogram.Visa10}, {Derivation: 3, CVN: cryptogram.Visa10},
		{Derivation: cryptogram.DerivationA, CVN: 200}, {Derivation: cryptogram.DerivationA, CVN: cryptogram.Visa10, Session: 9}} {
		if err := bad.Validate(); !errors.Is(err, cryptogram.ErrScheme) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// An overriding session moves the answer's key along, unless the version answers
// under the card key.
func TestSessionOverride(t *testing.T) {
	k, un := key(t, "154F349D8585CB7F6B0798E9839B10C1"), [4]byte{1, 2, 3, 4}
	seen := map[string]string{}
	for _, session := range []cryptogram.Session{cryptogram.SessionNone, cryptogram.SessionCommon, cryptogram.SessionTree, cryptogram.SessionProprietary} {
		s := cryptogram.Scheme{Derivation: cryptogram.DerivationA, Session: session, CVN: cryptogram.Visa10}
		ac, err := s.Over(k, 7, un, []byte("data"))
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Answer(k, cryptogram.Transaction{ATC: 7, UN: un, AC: ac}, cryptogram.Response{ARC: [2]byte{'0', '0'}})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []string{up(ac[:]), up(a)} {
			if by, twice := seen[v]; twice {
				t.Errorf("session %d gives what %s gave", session, by)
			}
			seen[v] = fmt.Sprint("session ", session)
		}
	}
}

// What each version means, rule by rule.
func TestVersions(t *testing.T) {
	k, un, data := key(t, "154F349D8585CB7F6B0798E9839B10C1"), [4]byte{1, 2, 3, 4}, []byte("data")
	for _, c := range []struct {
		cvn     cryptogram.CVN
		session cryptogram.Session
		padding cryptogram.Padding
		method  int
		card    bool // answers under the card key
		name    string
	}{
		{cryptogram.Visa10, cryptogram.SessionNone, cryptogram.PadZeros, 1, true, "Visa CVN 10"},
		{cryptogram.Visa17, cryptogram.SessionNone, cryptogram.PadZeros, 1, true, "Visa CVN 17"},
		{cryptogram.Visa18, cryptogram.SessionCommon, cryptogram.Pad80, 2, false, "Visa CVN 18"},
		{cryptogram.Visa22, cryptogram.SessionCommon, cryptogram.Pad80, 2, false, "Visa CVN 22"},
		{cryptogram.MChip10, cryptogram.SessionProprietary, cryptogram.Pad80, 1, true, "M/Chip CVN 10"},
		{cryptogram.MChip11, cryptogram.SessionProprietary, cryptogram.Pad80, 1, true, "M/Chip CVN 11"},
		{cryptogram.MChip12, cryptogram.SessionTree, cryptogram.Pad80, 1, false, "M/Chip CVN 12"},
		{cryptogram.MChip13, cryptogram.SessionTree, cryptogram.Pad80, 1, false, "M/Chip CVN 13"},
		{cryptogram.MChip14, cryptogram.SessionCommon, cryptogram.Pad80, 1, false, "M/Chip CVN 14"},
		{cryptogram.MChip15, cryptogram.SessionCommon, cryptogram.Pad80, 1, false, "M/Chip CVN 15"},
		{cryptogram.Interac133, cryptogram.SessionProprietary, cryptogram.Pad80, 1, false, "Interac CVN 133"},
	} {
		s := cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: c.cvn}
		explicit := cryptogram.Scheme{Derivation: cryptogram.DerivationA, Session: c.session, CVN: c.cvn}
		sk, err := explicit.SessionKey(k, 7, un)
		if err != nil {
			t.Fatal(err)
		}
		want, err := cryptogram.AC(sk, data, c.padding)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Over(k, 7, un, data); err != nil || got != want {
			t.Errorf("%v: cryptogram %X, want %X: %v", c.cvn, got, want, err)
		}
		if s.Method() != c.method || c.cvn.String() != c.name {
			t.Errorf("%v: method %d, want %d", c.cvn, s.Method(), c.method)
		}
		under := sk
		if c.card {
			under = k
		}
		var head []byte
		if c.method == 1 {
			a, err := cryptogram.ARPC1(under, [8]byte{9}, [2]byte{'0', '5'})
			if err != nil {
				t.Fatal(err)
			}
			head = append(a[:], '0', '5')
		} else {
			a, err := cryptogram.ARPC2(under, [8]byte{9}, [4]byte{1, 2, 3, 4}, []byte{5})
			if err != nil {
				t.Fatal(err)
			}
			head = append(a[:], 1, 2, 3, 4, 5)
		}
		got, err := s.Answer(k, cryptogram.Transaction{ATC: 7, UN: un, AC: [8]byte{9}}, cryptogram.Response{ARC: [2]byte{'0', '5'}, CSU: [4]byte{1, 2, 3, 4}, Proprietary: []byte{5}})
		if err != nil || up(got) != up(head) {
			t.Errorf("%v: answer %X, want %X: %v", c.cvn, got, head, err)
		}
	}
}

func TestKeyTree(t *testing.T) {
	k := key(t, "0123456789ABCDEF0123456789ABCDEF")
	seen := map[string]uint16{}
	for _, atc := range []uint16{0, 1, 2, 3, 255, 256, 0x7FFF, 0x8000, 0xFFFF} {
		for _, tree := range []cryptogram.Tree{{Branch: 2, Height: 16}, {Branch: 4, Height: 8}} {
			sk, err := cryptogram.SessionEMV2000(k, atc, tree)
			if err != nil {
				t.Fatal(err)
			}
			if of, twice := seen[up(sk.Reveal())]; twice {
				t.Errorf("ATC %d has the key of %d", atc, of)
			}
			seen[up(sk.Reveal())] = atc
		}
	}
	// github.com/knovichikhin/pyemv tests/test_kd_hsm.py.
	sk, err := cryptogram.SessionEMV2000(k, 0xFFFF, cryptogram.Tree{Branch: 2, Height: 16, IV: [16]byte(unhex(t, "F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0"))})
	if err != nil || up(sk.Reveal()) != "73E3B0A1406E5E4908D5804C4970E520" {
		t.Errorf("got %X: %v", sk.Reveal(), err)
	}
	if up(k.Reveal()) != "0123456789ABCDEF0123456789ABCDEF" {
		t.Error("the master key was wiped")
	}
	for _, tree := range []cryptogram.Tree{{}, {Branch: 2, Height: 1}, {Branch: 2, Height: 15}, {Branch: 1, Height: 16}, {Branch: 2, Height: 17}, {Branch: 256, Height: 2}} {
		if _, err := cryptogram.SessionEMV2000(k, 0xFFFF, tree); !errors.Is(err, cryptogram.ErrScheme) {
			t.Errorf("%+v: %v", tree, err)
		}
	}
}

// No function takes a key of another length, and none panics.
func TestKeyLengths(t *testing.T) {
	pan := panOf(t, "1234567890123456")
	for _, n := range []int{0, 8, 15, 17, 24} {
		k := secret.NewBytes(make([]byte, n))
		keys := cryptogram.Keys{AC: k, SMI: k, SMC: k}
		checks := map[string]error{}
		_, checks["master"] = cryptogram.MasterKey(cryptogram.DerivationA, k, pan, 0)
		_, checks["csk"] = cryptogram.SessionCSK(k, [8]byte{})
		_, checks["mchip"] = cryptogram.SessionMChip(k, 1, [4]byte{})
		_, checks["visa"] = cryptogram.SessionVisa(k, 1)
		_, checks["tree"] = cryptogram.SessionEMV2000(k, 1, cryptogram.Tree{Branch: 2, Height: 16})
		_, checks["mac"] = cryptogram.MAC(k, nil, cryptogram.Pad80)
		_, checks["arpc 1"] = cryptogram.ARPC1(k, [8]byte{}, [2]byte{})
		_, checks["arpc 2"] = cryptogram.ARPC2(k, [8]byte{}, [4]byte{}, nil)
		_, checks["cvc3"] = cryptogram.CVC3(k, nil, [4]byte{}, 1)
		_, checks["encipher"] = cryptogram.EnciphermentVisa.Encipher(k, []byte{1})
		_, checks["decipher"] = cryptogram.EnciphermentVisa.Decipher(k, make([]byte, 8))
		for _, s := range stories() {
			_, checks[s.name+" keys"] = s.scheme.CardKeys(keys, pan, 0)
			_, checks[s.name+" AC"] = s.scheme.Cryptogram(k, terminal(t, s.term), s.card(t))
			_, checks[s.name+" script"] = s.scheme.ScriptMAC(k, cryptogram.Script{}, [5]byte{}, nil)
			_, checks[s.name+" PIN"] = s.scheme.EncipherPIN(keys, cryptogram.Script{}, secret.NewBytes([]byte("1234")), secret.Bytes{})
			if s.scheme.Method() != 0 {
				_, checks[s.name+" answer"] = s.scheme.Answer(k, s.tx(t), cryptogram.Response{})
			}
		}
		for name, err := range checks {
			if !errors.Is(err, cryptogram.ErrKey) {
				t.Errorf("%d bytes, %s: %v", n, name, err)
			}
		}
	}
}

func TestMasterKeyErrors(t *testing.T) {
	k := key(t, "0123456789ABCDEFFEDCBA9876543210")
	if _, err := cryptogram.MasterKey(cryptogram.DerivationA, k, secret.PAN{}, 0); !errors.Is(err, cryptogram.ErrData) {
		t.Errorf("no PAN: %v", err)
	}
	for _, psn := range []byte{0x0A, 0xA0, 0xFF} {
		if _, err := cryptogram.MasterKey(cryptogram.DerivationA, k, panOf(t, "1234567890123456"), psn); !errors.Is(err, cryptogram.ErrData) {
			t.Errorf("PSN %02X: %v", psn, err)
		}
	}
	for _, d := range []cryptogram.Derivation{0, 3} {
		if _, err := cryptogram.MasterKey(d, k, panOf(t, "12345678901234567"), 0); !errors.Is(err, cryptogram.ErrScheme) {
			t.Errorf("%v: %v", d, err)
		}
	}
}

func TestVersionOf(t *testing.T) {
	for _, s := range stories() {
		if s.scheme.CVN == cryptogram.Visa22 {
			continue // the source reuses version 18's data
		}
		cvn, index, err := s.scheme.VersionOf(unhex(t, s.iad))
		if err != nil || cvn != s.scheme.CVN.Number() || index != 0x01 {
			t.Errorf("%s: version %02X, key index %02X, %v", s.name, cvn, index, err)
		}
	}
	for n := range 3 {
		if _, _, err := (cryptogram.Scheme{CVN: cryptogram.Visa10}).VersionOf(make([]byte, n)); !errors.Is(err, cryptogram.ErrData) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// russss/python-emv, emv/test/test_cap.py: answers of a real reader.
func TestCAPToken(t *testing.T) {
	got, err := cryptogram.CAPToken(unhex(t, "80095F0F9D3798E93F129A060A0A03A49000"), unhex(t, "8000FF000000000001FFFF00000000000000"))
	if err != nil || got != "46076570" {
		t.Errorf("%s, %v", got, err)
	}
	for _, m := range [][]byte{nil, make([]byte, 3)} {
		if _, err := cryptogram.CAPToken([]byte{1, 2}, m); !errors.Is(err, cryptogram.ErrData) {
			t.Errorf("%d bytes: %v", len(m), err)
		}
	}
}

// The card's side of an issuer's bytes never panics, and takes nothing that the
// key holder did not make.
func FuzzIssuerBytes(f *testing.F) {
	f.Add([]byte("\x28\x99\x38\x16\xAF\xAE\x4A\xEB00"), byte(cryptogram.Visa10))
	f.Add([]byte("\x9A\xF5\x14\xC1\x00\x00\x00\x00"), byte(cryptogram.Visa18))
	f.Add(make([]byte, 24), byte(cryptogram.MChip15))
	f.Fuzz(func(t *testing.T, b []byte, cvn byte) {
		s := cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.CVN(cvn)}
		k := imks(t)
		keys := cryptogram.Keys{AC: k.AC, SMI: k.SMI, SMC: k.SMC}
		tx := cryptogram.Transaction{ATC: 0x1C}
		if r, err := s.CheckAnswer(k.AC, tx, b); err == nil {
			again, err := s.Answer(k.AC, tx, r)
			if err != nil || up(again) != up(b) {
				t.Errorf("accepted %X, the issuer makes %X: %v", b, again, err)
			}
		}
		if pin, err := s.DecipherPIN(keys, cryptogram.Script{Transaction: tx}, b, secret.Bytes{}); err == nil {
			again, err := s.EncipherPIN(keys, cryptogram.Script{Transaction: tx}, pin, secret.Bytes{})
			if err != nil || up(again) != up(b) {
				t.Errorf("read a PIN from %X, the issuer makes %X: %v", b, again, err)
			}
		}
		for _, e := range []cryptogram.Encipherment{cryptogram.EnciphermentVisa, cryptogram.EnciphermentMChip, cryptogram.EnciphermentCCD} {
			if d, err := e.Decipher(k.SMC, b); err == nil && len(d.Reveal()) > len(b) {
				t.Errorf("%d bytes of %d", d.Len(), len(b))
			}
		}
		_, _ = s.Input(terminal(t, visaTerm()), cryptogram.Card{IAD: b})
		_, _, _ = s.VersionOf(b)
	})
}
