package cryptogram_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Every bit that a cryptogram covers, and none that it does not.
func TestCryptogramCovers(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			k := s.keys(t)
			good := unhex(t, s.arqc)
			term := terminal(t, s.term)
			if err := s.scheme.Verify(k.AC, term, s.card(t), good); err != nil {
				t.Fatal(err)
			}
			for tag, value := range s.term {
				for bit := range 4 * len(value) {
					b := unhex(t, value)
					b[bit/8] ^= 1 << (bit % 8)
					other := func(want tlv.Tag) ([]byte, bool) {
						if want.String() == tag {
							return b, true
						}
						return term(want)
					}
					if err := s.scheme.Verify(k.AC, other, s.card(t), good); !errors.Is(err, cryptogram.ErrCryptogram) {
						t.Fatalf("%s bit %d flipped: %v", tag, bit, err)
					}
				}
			}
			for bit := range 64 {
				b := bytes.Clone(good)
				b[bit/8] ^= 1 << (bit % 8)
				if err := s.scheme.Verify(k.AC, term, s.card(t), b); !errors.Is(err, cryptogram.ErrCryptogram) {
					t.Fatalf("cryptogram bit %d flipped: %v", bit, err)
				}
			}
			for _, short := range [][]byte{nil, good[:7], append(bytes.Clone(good), 0)} {
				if err := s.scheme.Verify(k.AC, term, s.card(t), short); !errors.Is(err, cryptogram.ErrCryptogram) {
					t.Errorf("cryptogram of %d bytes: %v", len(short), err)
				}
			}
			c := s.card(t)
			c.ATC++
			if err := s.scheme.Verify(k.AC, term, c, good); !errors.Is(err, cryptogram.ErrCryptogram) {
				t.Errorf("next ATC: %v", err)
			}
			c = s.card(t)
			c.AIP[0] ^= 0x40
			if err := s.scheme.Verify(k.AC, term, c, good); !errors.Is(err, cryptogram.ErrCryptogram) {
				t.Errorf("other AIP: %v", err)
			}
			cvr := 4 // a byte of the CVR in all of them
			c = s.card(t)
			c.IAD[cvr] ^= 1
			if err := s.scheme.Verify(k.AC, term, c, good); !errors.Is(err, cryptogram.ErrCryptogram) {
				t.Errorf("other CVR: %v", err)
			}
		})
	}
}

func TestInputErrors(t *testing.T) {
	s := stories()[0]
	k := s.keys(t)
	for tag := range s.term {
		short := s.term[tag]
		for _, c := range []struct {
			name string
			m    func(map[string]string)
		}{
			{"absent", func(m map[string]string) { delete(m, tag) }},
			{"a byte less", func(m map[string]string) { m[tag] = short[2:] }},
			{"a byte more", func(m map[string]string) { m[tag] = short + "00" }},
		} {
			m := map[string]string{}
			for k, v := range s.term {
				m[k] = v
			}
			c.m(m)
			_, err := s.scheme.Cryptogram(k.AC, terminal(t, m), s.card(t))
			if !errors.Is(err, cryptogram.ErrData) || !strings.Contains(fmt.Sprint(err), tag) {
				t.Errorf("%s %s: %v", tag, c.name, err)
			}
		}
	}
	for _, s := range stories() {
		for n := range 8 {
			c := s.card(t)
			c.IAD = c.IAD[:n]
			_, err := s.scheme.Cryptogram(s.keys(t).AC, terminal(t, s.term), c)
			whole := s.scheme.CVN == cryptogram.Visa18 || s.scheme.CVN == cryptogram.Visa22 || s.scheme.CVN == cryptogram.Interac133
			fits := whole && n > 0 || s.scheme.CVN == cryptogram.Visa10 && n == 7
			if fits != (err == nil) || err != nil && !errors.Is(err, cryptogram.ErrData) {
				t.Errorf("%s: IAD of %d bytes: %v", s.name, n, err)
			}
		}
	}
}

func TestInputShapes(t *testing.T) {
	term := terminal(t, visaTerm())
	base := "000000004000000000000000012480000480000124191105" + "01" + "52BF4585"
	iad := "0102030405060708" + "090A" + "1112131415161718"
	for _, c := range []struct {
		cvn  cryptogram.CVN
		want string
	}{
		{cryptogram.Visa10, base + "1800001C" + "04050607"},
		{cryptogram.Visa17, "000000004000" + "52BF4585" + "001C" + "05"},
		{cryptogram.Visa18, base + "1800001C" + iad},
		{cryptogram.Visa22, base + "1800001C" + iad},
		{cryptogram.MChip10, base + "1800001C" + "030405060708"},
		{cryptogram.MChip11, base + "1800001C" + "030405060708" + "1112131415161718"},
		{cryptogram.MChip12, base + "1800001C" + "030405060708"},
		{cryptogram.MChip13, base + "1800001C" + "030405060708" + "1112131415161718"},
		{cryptogram.MChip14, base + "1800001C" + "030405060708"},
		{cryptogram.MChip15, base + "1800001C" + "030405060708" + "1112131415161718"},
		{cryptogram.Interac133, base + "1800001C" + iad},
	} {
		s := cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: c.cvn}
		got, err := s.Input(term, cryptogram.Card{AIP: [2]byte{0x18, 0}, ATC: 0x1C, IAD: unhex(t, iad)})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, up(got)); d != "" {
			t.Errorf("%v (-want +got)\n%s", c.cvn, d)
		}
		if _, err := s.Input(term, cryptogram.Card{IAD: make([]byte, 33)}); err == nil && (c.cvn == cryptogram.Visa18 || c.cvn == cryptogram.Interac133) {
			t.Errorf("%v takes an IAD of 33 bytes", c.cvn)
		}
	}
}

func TestAnswerTampered(t *testing.T) {
	for _, s := range stories() {
		if s.answer == "" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			k, tx, good := s.keys(t), s.tx(t), unhex(t, s.answer)
			for bit := range 8 * len(good) {
				b := bytes.Clone(good)
				b[bit/8] ^= 1 << (bit % 8)
				if _, err := s.scheme.CheckAnswer(k.AC, tx, b); !errors.Is(err, cryptogram.ErrARPC) {
					t.Fatalf("bit %d flipped: %v", bit, err)
				}
			}
			for n := range 20 {
				b := make([]byte, n)
				copy(b, good)
				if n == len(good) {
					continue
				}
				if _, err := s.scheme.CheckAnswer(k.AC, tx, b); !errors.Is(err, cryptogram.ErrARPC) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
			tx.AC[7] ^= 1
			if _, err := s.scheme.CheckAnswer(k.AC, tx, good); !errors.Is(err, cryptogram.ErrARPC) {
				t.Errorf("answer to another cryptogram: %v", err)
			}
		})
	}
	s := cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.Visa18}
	long := cryptogram.Response{Proprietary: make([]byte, 9)}
	if _, err := s.Answer(imks(t).AC, cryptogram.Transaction{}, long); !errors.Is(err, cryptogram.ErrData) {
		t.Errorf("9 proprietary bytes: %v", err)
	}
	s.CVN = 0
	if _, err := s.Answer(imks(t).AC, cryptogram.Transaction{}, cryptogram.Response{}); !errors.Is(err, cryptogram.ErrScheme) || s.Method() != 0 {
		t.Errorf("no version: %v", err)
	}
}

func TestScriptTampered(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			k, cmd := s.keys(t), cryptogram.Script{Transaction: s.tx(t), Number: 2}
			b, err := s.scheme.Command(k.SMI, cmd, [4]byte{0x04, 0xDA, 0x9F, 0x14}, []byte{0x05})
			if err != nil {
				t.Fatal(err)
			}
			check := func(b []byte, c cryptogram.Script) error {
				return s.scheme.VerifyScript(k.SMI, c, [5]byte(b), b[5:6], b[6:])
			}
			if err := check(b, cmd); err != nil {
				t.Fatal(err)
			}
			for bit := range 8 * len(b) {
				x := bytes.Clone(b)
				x[bit/8] ^= 1 << (bit % 8)
				if err := check(x, cmd); !errors.Is(err, cryptogram.ErrMAC) {
					t.Fatalf("bit %d flipped: %v", bit, err)
				}
			}
			replayed := cmd
			replayed.ATC++
			replayed.AC[0] ^= 1
			if err := check(b, replayed); !errors.Is(err, cryptogram.ErrMAC) {
				t.Errorf("in another transaction: %v", err)
			}
			again := cmd
			again.Number++
			mchip := s.scheme.CVN >= cryptogram.MChip10 && s.scheme.CVN <= cryptogram.MChip15
			if err := check(b, again); mchip != errors.Is(err, cryptogram.ErrMAC) {
				t.Errorf("as the next command: %v", err)
			}
			for _, n := range []int{0, 3, 9} {
				mac := make([]byte, n)
				copy(mac, b[6:])
				if err := s.scheme.VerifyScript(k.SMI, cmd, [5]byte(b), b[5:6], mac); !errors.Is(err, cryptogram.ErrMAC) {
					t.Errorf("MAC of %d bytes: %v", n, err)
				}
			}
			if err := s.scheme.VerifyScript(k.SMI, cmd, [5]byte(b), b[5:6], b[6:10]); err != nil {
				t.Errorf("MAC cut to 4 bytes: %v", err)
			}
			if _, err := s.scheme.Command(k.SMI, cmd, [4]byte{}, make([]byte, 248)); !errors.Is(err, cryptogram.ErrData) {
				t.Errorf("248 bytes: %v", err)
			}
		})
	}
}

// pyemv tests/test_sm_hsm.py: PIN change with the current PIN, ATC FFFF.
func TestPINChangeWithCurrent(t *testing.T) {
	s := cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.Visa10}
	k := cryptogram.Keys{AC: key(t, "2F98ADEF3B4FFE0E5832759BB5D057D6"), SMI: key(t, "A7CD8A644A2FA829D0675210C4B001F1"), SMC: key(t, "52E0E0B69202802A9170C7B6D3BCB5D0")}
	cmd := cryptogram.Script{Transaction: cryptogram.Transaction{ATC: 0xFFFF}}
	for _, c := range []struct{ pin, current, want string }{
		{"9999", "", "D421231A6FD2F0FAEE671384F0D3A7B9"},
		{"9999", "8888", "C29371CC36BA70C1EE671384F0D3A7B9"},
		{"999999999999", "888888888888", "622066A74F1E974AEE671384F0D3A7B9"},
	} {
		pin, current := secret.NewBytes([]byte(c.pin)), secret.NewBytes([]byte(c.current))
		b, err := s.EncipherPIN(k, cmd, pin, current)
		if err != nil || up(b) != c.want {
			t.Errorf("%s over %s: got %X, want %s: %v", c.pin, c.current, b, c.want, err)
			continue
		}
		got, err := s.DecipherPIN(k, cmd, b, current)
		if err != nil || !got.Equal(pin) {
			t.Errorf("%s over %s: the card reads another PIN: %v", c.pin, c.current, err)
		}
		if whole, err := s.PINChange(k, cmd, pin, current); err != nil || whole[3] != map[bool]byte{true: 0x01, false: 0x02}[c.current != ""] {
			t.Errorf("command %X: %v", whole, err)
		}
	}
	if b, err := s.PINChange(k, cmd, secret.Bytes{}, secret.Bytes{}); err != nil || up(b[:5]) != "8424000008" || len(b) != 13 {
		t.Errorf("unblock: %X, %v", b, err)
	}
	for _, bad := range []string{"123", "1234567890123", "12a4", "1234 "} {
		if _, err := s.EncipherPIN(k, cmd, secret.NewBytes([]byte(bad)), secret.Bytes{}); !errors.Is(err, cryptogram.ErrPIN) || strings.Contains(err.Error(), bad) {
			t.Errorf("PIN %q: %v", bad, err)
		}
		if _, err := s.EncipherPIN(k, cmd, secret.NewBytes([]byte("1234")), secret.NewBytes([]byte(bad))); !errors.Is(err, cryptogram.ErrPIN) {
			t.Errorf("current PIN %q: %v", bad, err)
		}
	}
	// Visa 22 has a block for either case, and neither reads the other.
	s.CVN = cryptogram.Visa22
	pin, current := secret.NewBytes([]byte("9999")), secret.NewBytes([]byte("8888"))
	b, err := s.EncipherPIN(k, cmd, pin, current)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.DecipherPIN(k, cmd, b, current); err != nil || !got.Equal(pin) {
		t.Errorf("Visa 22 over a current PIN: %v", err)
	}
	if _, err := s.DecipherPIN(k, cmd, b, secret.Bytes{}); !errors.Is(err, cryptogram.ErrPIN) {
		t.Errorf("Visa 22, read without the current PIN: %v", err)
	}
	s.CVN = cryptogram.MChip10
	if _, err := s.EncipherPIN(k, cmd, secret.NewBytes([]byte("1234")), secret.NewBytes([]byte("1111"))); !errors.Is(err, cryptogram.ErrPIN) {
		t.Errorf("M/Chip with the current PIN: %v", err)
	}
}

func TestDecipherPINRefuses(t *testing.T) {
	for _, s := range stories() {
		k, cmd := s.keys(t), cryptogram.Script{Transaction: s.tx(t)}
		good, err := s.scheme.EncipherPIN(k, cmd, secret.NewBytes([]byte("123456")), secret.Bytes{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			b := bytes.Clone(good)
			b[i] ^= 0x10
			if p, err := s.scheme.DecipherPIN(k, cmd, b, secret.Bytes{}); !errors.Is(err, cryptogram.ErrPIN) {
				t.Errorf("%s: byte %d altered: %d digits, %v", s.name, i, p.Len(), err)
			}
		}
		for n := range 40 {
			if n == len(good) {
				continue
			}
			if _, err := s.scheme.DecipherPIN(k, cmd, make([]byte, n), secret.Bytes{}); !errors.Is(err, cryptogram.ErrPIN) {
				t.Errorf("%s: %d bytes: %v", s.name, n, err)
			}
		}
	}
}

func TestEncipherment(t *testing.T) {
	k := key(t, "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB")
	// The Common Core answer is in pyemv test_sm_hsm.py: PIN 9999 under the
	// session key of R ABCDEF1234567890.
	ccd := key(t, "9EE6A89276B008516226F8CE75FD8C02")
	if b, err := cryptogram.EnciphermentCCD.Encipher(ccd, unhex(t, "249999FFFFFFFFFF")); err != nil || up(b) != "28367E05DE3381C29D30A6055A8DEB86" {
		t.Errorf("CCD: %X, %v", b, err)
	}
	for _, e := range []cryptogram.Encipherment{cryptogram.EnciphermentVisa, cryptogram.EnciphermentMChip, cryptogram.EnciphermentCCD} {
		for n := 1; n <= 40; n++ {
			data := bytes.Repeat([]byte{0x80}, n)
			b, err := e.Encipher(k, data)
			if err != nil || len(b)%8 != 0 {
				t.Fatalf("%d: %d bytes: %v", e, n, err)
			}
			back, err := e.Decipher(k, b)
			if err != nil {
				t.Fatal(err)
			}
			if got := back.Reveal(); !bytes.Equal(got, data) && (e != cryptogram.EnciphermentMChip || !bytes.HasPrefix(got, data)) {
				t.Errorf("%d: %d bytes come back as %X", e, n, got)
			}
		}
		for _, n := range []int{0, 225} {
			if _, err := e.Encipher(k, make([]byte, n)); !errors.Is(err, cryptogram.ErrData) {
				t.Errorf("%d: %d bytes: %v", e, n, err)
			}
		}
	}
	if _, err := cryptogram.Encipherment(9).Encipher(k, []byte{1}); !errors.Is(err, cryptogram.ErrScheme) {
		t.Error(err)
	}
	if _, err := cryptogram.Encipherment(9).Decipher(k, make([]byte, 8)); !errors.Is(err, cryptogram.ErrScheme) {
		t.Error(err)
	}
}
