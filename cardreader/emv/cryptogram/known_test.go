package cryptogram_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
)

// pyemv's and jPOS's examples share issuer keys.
func imks(t testing.TB) cryptogram.Keys {
	return cryptogram.Keys{
		AC:  key(t, "0123456789ABCDEFFEDCBA9876543210"),
		SMI: key(t, "FEDCBA98765432100123456789ABCDEF"),
		SMC: key(t, "89ABCDEF0123456776543210FEDCBA98"),
	}
}

// story is a transaction with all its known answers; empty ones are not known.
type story struct {
	name      string
	scheme    cryptogram.Scheme
	term      map[string]string
	iad       string
	arqc      string
	answer    string // tag 91
	csu, arc  string
	script    string // MAC of 84..0008 with no data
	scriptCLA string
	pinChange string // to 9999
}

func visaTerm() map[string]string {
	return map[string]string{"9F02": "000000004000", "9F03": "000000000000", "9F1A": "0124", "95": "8000048000", "5F2A": "0124", "9A": "191105", "9C": "01", "9F37": "52BF4585"}
}

func mcTerm() map[string]string {
	return map[string]string{"9F02": "000000009999", "9F03": "000000000000", "9F1A": "0124", "95": "8000000000", "5F2A": "0124", "9A": "209906", "9C": "00", "9F37": "ABCDEF12"}
}

// Published answers, cross-checked with hardware modules by their author
// (knovichikhin/pyemv, tests/test_cvn_hsm.py, MIT): PAN 1234567890123456, PSN
// 00, AIP 1800, ATC 001C.
func stories() []story {
	a := func(c cryptogram.CVN) cryptogram.Scheme {
		return cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: c}
	}
	return []story{
		{name: "Visa 10", scheme: a(cryptogram.Visa10), term: visaTerm(), iad: "06010A03A06010", arqc: "29CCA15AE665FA2E",
			answer: "28993816AFAE4AEB3030", arc: "3030", scriptCLA: "8418000008", script: "DB56BA60087CEFD3",
			pinChange: "8424000218BB221AF527377A2811D2B6EBC396A9391A965A5CB2CE62DA"},
		{name: "Visa 18", scheme: a(cryptogram.Visa18), term: visaTerm(), iad: "06011203A0B800", arqc: "7A788EA6B8A3E733",
			answer: "9AF514C100000000", csu: "00000000", scriptCLA: "8418000008", script: "04EDE90BC24CC35E",
			pinChange: "8424000218BB221AF527377A2811D2B6EBC396A9391A22B480EF312F40"},
		{name: "Visa 22", scheme: a(cryptogram.Visa22), term: visaTerm(), iad: "06011203A0B800", arqc: "7A788EA6B8A3E733",
			answer: "9AF514C100000000", csu: "00000000", scriptCLA: "8418000008", script: "A4805748F846D851",
			pinChange: "84240002181B2943BED3D298F9C75848D17317CD1D25B70F7E26613E5F"},
		{name: "M/Chip 10", scheme: a(cryptogram.MChip10), term: mcTerm(), iad: "0110A000032200000000", arqc: "24CCF3DEE3158C70",
			answer: "73F6BBF389A6586C0010", arc: "0010"},
		{name: "M/Chip 11", scheme: a(cryptogram.MChip11), term: mcTerm(), iad: "0111A00003220000000000000000000322FF", arqc: "EAE8A620A75648D8",
			scriptCLA: "8424000008", script: "4D1858456CD0F22A", pinChange: "84240002108661C474E4940A4378390C64CB96756E"},
		{name: "M/Chip 15", scheme: a(cryptogram.MChip15), term: mcTerm(), iad: "0115A00003220000000000000000000322FF", arqc: "C30E54BE496CF5E5",
			answer: "4F51F9CC63CE8B3C0010", arc: "0010", scriptCLA: "8424000008", script: "5E89E990C51CEE94",
			pinChange: "8424000210D9F5896BE8E283C682264E1D32DF1D51"},
		{name: "Interac 133", scheme: a(cryptogram.Interac133), term: mcTerm(), iad: "1501850440B100000000B00000000000000000000000", arqc: "18932FECA2D84326",
			scriptCLA: "8424000008", script: "B574ABB0A485A330", pinChange: "8424000210382F36D5920D23915CC7573F770298C9"},
	}
}

func (s story) card(t testing.TB) cryptogram.Card {
	return cryptogram.Card{AIP: [2]byte{0x18, 0x00}, ATC: 0x1C, IAD: unhex(t, s.iad)}
}

func (s story) tx(t testing.TB) cryptogram.Transaction {
	return cryptogram.Transaction{ATC: 0x1C, UN: [4]byte(unhex(t, s.term["9F37"])), AC: [8]byte(unhex(t, s.arqc))}
}

func (s story) keys(t testing.TB) cryptogram.Keys {
	t.Helper()
	k, err := s.scheme.CardKeys(imks(t), panOf(t, "1234567890123456"), 0)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTransactions(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			k, tx := s.keys(t), s.tx(t)
			ac, err := s.scheme.Cryptogram(k.AC, terminal(t, s.term), s.card(t))
			if err != nil || up(ac[:]) != s.arqc {
				t.Errorf("cryptogram %X, want %s: %v", ac, s.arqc, err)
			}
			if err := s.scheme.Verify(k.AC, terminal(t, s.term), s.card(t), ac[:]); err != nil {
				t.Error(err)
			}
			if s.answer != "" {
				var r cryptogram.Response
				copy(r.ARC[:], unhex(t, s.arc))
				copy(r.CSU[:], unhex(t, s.csu))
				b, err := s.scheme.Answer(k.AC, tx, r)
				if err != nil || up(b) != s.answer {
					t.Errorf("answer %X, want %s: %v", b, s.answer, err)
				}
				got, err := s.scheme.CheckAnswer(k.AC, tx, b)
				if err != nil {
					t.Error(err)
				}
				if d := cmp.Diff(r, got); d != "" {
					t.Errorf("response (-want +got)\n%s", d)
				}
			}
			cmd := cryptogram.Script{Transaction: tx}
			if s.script != "" {
				mac, err := s.scheme.ScriptMAC(k.SMI, cmd, [5]byte(unhex(t, s.scriptCLA)), nil)
				if err != nil || up(mac[:]) != s.script {
					t.Errorf("MAC %X, want %s: %v", mac, s.script, err)
				}
			}
			if s.pinChange != "" {
				b, err := s.scheme.PINChange(k, cmd, secret.NewBytes([]byte("9999")), secret.Bytes{})
				if err != nil || up(b) != s.pinChange {
					t.Errorf("PIN change %X, want %s: %v", b, s.pinChange, err)
				}
				body := b[5 : len(b)-8]
				if err := s.scheme.VerifyScript(k.SMI, cmd, [5]byte(b), body, b[len(b)-8:]); err != nil {
					t.Error(err)
				}
				pin, err := s.scheme.DecipherPIN(k, cmd, body, secret.Bytes{})
				if err != nil || string(pin.Reveal()) != "9999" {
					t.Errorf("the card reads another PIN: %v", err)
				}
			}
		})
	}
}

// EMV 4.4 Book 2 and pyemv tests/test_kd_hsm.py.
func TestMasterKey(t *testing.T) {
	for _, c := range []struct {
		name     string
		d        cryptogram.Derivation
		imk, pan string
		psn      byte
		want     string
	}{
		{"A", cryptogram.DerivationA, "0123456789ABCDEFFEDCBA9876543210", "9901234567890123", 0x45, "F84315C7B95BD3B0C74694922C3808B0"},
		{"A, other PAN", cryptogram.DerivationA, "0123456789ABCDEFFEDCBA9876543210", "1234567890123456", 0x01, "A7CD8A644A2FA829D0675210C4B001F1"},
		{"A, weak issuer key", cryptogram.DerivationA, "11111111111111112222222222222222", "1234567890123456", 0x01, "52E0E0B69202802A9170C7B6D3BCB5D0"},
		{"A, script keys", cryptogram.DerivationA, "FEDCBA98765432100123456789ABCDEF", "1234567890123456", 0x01, "2F98ADEF3B4FFE0E5832759BB5D057D6"},
		{"A, 17 digits", cryptogram.DerivationA, "0123456789ABCDEFFEDCBA9876543210", "12345678901234567", 0x45, "946DC1A8C78A624519BC4645CB073737"},
		{"B, 16 digits is A", cryptogram.DerivationB, "0123456789ABCDEFFEDCBA9876543210", "1234567890123456", 0, "154F349D8585CB7F6B0798E9839B10C1"},
		{"B, 17 digits", cryptogram.DerivationB, "0123456789ABCDEFFEDCBA9876543210", "12345678901234567", 0, "1C13AE23B54AF7BA49FBE09192C87983"},
		{"B, 17 digits, PSN 45", cryptogram.DerivationB, "0123456789ABCDEFFEDCBA9876543210", "12345678901234567", 0x45, "F767ECC2263B2C543775CB62AB6B57D6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := cryptogram.MasterKey(c.d, key(t, c.imk), panOf(t, c.pan), c.psn)
			if err != nil || up(k.Reveal()) != c.want {
				t.Errorf("got %s, want %s: %v", up(k.Reveal()), c.want, err)
			}
		})
	}
}
