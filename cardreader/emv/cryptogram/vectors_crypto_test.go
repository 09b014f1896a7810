package cryptogram_test

import (
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
)

// TestVectorsCrypto computes the known answers of crypto.json; the enciphered
// PIN is oda's.
func TestVectorsCrypto(t *testing.T) {
	var items []struct {
		ID       string
		Inputs   map[string]string
		Expected map[string]string
	}
	vectors(t, "emv/crypto.json", &items)
	if len(items) < 11 {
		t.Fatalf("%d items", len(items))
	}
	for _, v := range items {
		t.Run(v.ID, func(t *testing.T) {
			got := map[string]string{}
			switch {
			case v.ID == "python-emv-cap1":
				token, err := capToken(t, unhex(t, v.Inputs["response"]), unhex(t, v.Inputs["ipb"]))
				if err != nil {
					t.Fatal(err)
				}
				got["token"] = token
			case v.ID == "emvpt-enciphered-pin":
				return
			case v.Inputs["method"] != "":
				derivation(t, v.Inputs, got)
			default:
				transaction(t, v.ID, v.Inputs, got)
			}
			for name, want := range v.Expected {
				if got[name] != want {
					t.Errorf("%s: got %s, want %s", name, got[name], want)
				}
			}
		})
	}
}

func kcv(t *testing.T, k secret.Bytes) string {
	t.Helper()
	// The check value is the start of eight zeros enciphered: ARPC1 of nothing.
	v, err := cryptogram.ARPC1(k, [8]byte{}, [2]byte{})
	if err != nil {
		t.Fatal(err)
	}
	return up(v[:2])
}

func derivation(t *testing.T, in, got map[string]string) {
	d := map[string]cryptogram.Derivation{"A": cryptogram.DerivationA, "B": cryptogram.DerivationB}[in["method"]]
	mk, err := cryptogram.MasterKey(d, key(t, in["imk"]), panOf(t, in["pan"]), psnOf(t, in["psn"]))
	if err != nil {
		t.Fatal(err)
	}
	sk, err := cryptogram.SessionCSK(mk, [8]byte(unhex(t, in["r"])))
	if err != nil {
		t.Fatal(err)
	}
	got["mk_kcv"], got["sk_kcv"] = kcv(t, mk), kcv(t, sk)
	if in["padding"] != "80" {
		t.Fatalf("padding %q", in["padding"])
	}
	ac, err := cryptogram.AC(sk, unhex(t, in["data"]), cryptogram.Pad80)
	if err != nil {
		t.Fatal(err)
	}
	got["arqc"] = up(ac[:])
	k := map[string]secret.Bytes{"mk": mk, "sk": sk}[in["arpc_key"]]
	if in["arpc_method"] == "1" {
		a, err := cryptogram.ARPC1(k, ac, [2]byte(unhex(t, in["arc"])))
		if err != nil {
			t.Fatal(err)
		}
		got["arpc"] = up(a[:])
		return
	}
	a, err := cryptogram.ARPC2(k, ac, [4]byte(unhex(t, in["csu"])), unhex(t, in["prop_auth_data"]))
	if err != nil {
		t.Fatal(err)
	}
	got["arpc"] = up(a[:])
}

func transaction(t *testing.T, id string, in, got map[string]string) {
	s := cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.Visa10}
	pad := cryptogram.PadZeros
	switch {
	case id == "jpos-mchip-p00":
		s.CVN = cryptogram.MChip10
	case strings.HasPrefix(id, "pyemv-mc"):
		s.CVN, pad = cryptogram.MChip10, cryptogram.Pad80
	}
	iad := in["9F10"]
	cvr := in["CVR"]
	if iad == "" {
		// jPOS's CVR is longer than Visa's; both versions take it from another
		// place, so that the scheme's input is M/Chip's.
		iad = "0110" + cvr + "0000"
	}
	card := cryptogram.Card{AIP: [2]byte(unhex(t, in["82"])), ATC: atcOf(t, in["9F36"]), IAD: unhex(t, iad)}
	shape := s
	if len(cvr) == 12 {
		shape.CVN = cryptogram.MChip10
	} else if in["9F10"] == "" {
		card.IAD = unhex(t, "06010A"+cvr)
	}
	input, err := shape.Input(terminal(t, in), card)
	if err != nil {
		t.Fatal(err)
	}
	got["input"], got["padded"] = up(input), up(cryptogram.PadZeros.Pad(input))
	if in["imk_ac"] == "" {
		return
	}
	imk := cryptogram.Keys{AC: key(t, in["imk_ac"]), SMI: key(t, in["imk_ac"]), SMC: key(t, in["imk_ac"])}
	if in["imk_smi"] != "" {
		imk.SMI, imk.SMC = key(t, in["imk_smi"]), key(t, in["imk_smc"])
	}
	k, err := s.CardKeys(imk, panOf(t, in["pan"]), psnOf(t, in["psn"]))
	if err != nil {
		t.Fatal(err)
	}
	got["mk_ac_kcv"] = kcv(t, k.AC)
	tx := cryptogram.Transaction{ATC: card.ATC, UN: [4]byte(unhex(t, in["9F37"]))}
	sk, err := s.SessionKey(k.AC, tx.ATC, tx.UN)
	if err != nil {
		t.Fatal(err)
	}
	if tx.AC, err = cryptogram.AC(sk, input, pad); err != nil {
		t.Fatal(err)
	}
	got["arqc"] = up(tx.AC[:])
	if in["ARC"] != "" {
		b, err := s.Answer(k.AC, tx, cryptogram.Response{ARC: [2]byte(unhex(t, in["ARC"]))})
		if err != nil {
			t.Fatal(err)
		}
		got["arpc"] = up(b[:8])
	}
	if in["script"] != "" {
		cmd := cryptogram.Script{Transaction: tx}
		mac, err := s.ScriptMAC(k.SMI, cmd, [5]byte(unhex(t, in["script"])), nil)
		if err != nil {
			t.Fatal(err)
		}
		smi, err := s.ScriptKey(k.SMI, cmd)
		if err != nil {
			t.Fatal(err)
		}
		got["script_mac"], got["sk_smi_kcv"] = up(mac[:]), kcv(t, smi)
	}
}

type inputOf struct {
	In          map[string]string
	Out, Padded string
}

// TestVectorsJPOS computes cryptograms.json of the folder above: one input under
// three session keys and two paddings, and the answers.
func TestVectorsJPOS(t *testing.T) {
	var f struct {
		PAN, PSN, ATC, UN string
		Data              string `json:"data_nopad"`
		ARQC              map[string]string
		ARPC              []struct{ SKD, ARQC, ARC, CSU, ARPC string }
		CVN10             inputOf `json:"cvn10_cdol"`
		CVN18             inputOf `json:"cvn18_cdol"`
	}
	vectors(t, "cryptograms.json", &f)
	s := cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cryptogram.Visa10}
	mk, err := cryptogram.MasterKey(s.Derivation, key(t, strings.Repeat("12345678", 4)), panOf(t, f.PAN), psnOf(t, f.PSN))
	if err != nil {
		t.Fatal(err)
	}
	session := map[string]cryptogram.Session{"VSDC": cryptogram.SessionNone, "MCHIP": cryptogram.SessionProprietary, "EMV_CSKD": cryptogram.SessionCommon}
	un := [4]byte(unhex(t, f.UN))
	seen := 0
	for name, want := range f.ARQC {
		kind, _, _ := strings.Cut(name, "(")
		kind, _, _ = strings.Cut(kind, " ")
		of, ok := session[kind]
		if !ok {
			t.Fatalf("session %q", name)
		}
		p := cryptogram.PadZeros
		if strings.Contains(name, "0x80") {
			p = cryptogram.Pad80
		}
		sk, err := cryptogram.Scheme{Derivation: s.Derivation, Session: of, CVN: s.CVN}.SessionKey(mk, atcOf(t, f.ATC), un)
		if err != nil {
			t.Fatal(err)
		}
		ac, err := cryptogram.AC(sk, unhex(t, f.Data), p)
		if err != nil || up(ac[:]) != want {
			t.Errorf("%s: got %X, want %s: %v", name, ac, want, err)
		}
		seen++
	}
	for _, a := range f.ARPC {
		if len(a.ARC) > 4 {
			continue // the file does not carry the code of this one
		}
		// jPOS answers M/Chip under the card key.
		of := session[a.SKD]
		if a.SKD == "MCHIP" {
			of = cryptogram.SessionNone
		}
		sk, err := cryptogram.Scheme{Derivation: s.Derivation, Session: of, CVN: s.CVN}.SessionKey(mk, atcOf(t, f.ATC), un)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if a.CSU != "" {
			b, err := cryptogram.ARPC2(sk, [8]byte(unhex(t, a.ARQC)), [4]byte(unhex(t, a.CSU)), nil)
			if err != nil {
				t.Fatal(err)
			}
			got = up(b[:])
		} else {
			b, err := cryptogram.ARPC1(sk, [8]byte(unhex(t, a.ARQC)), [2]byte(unhex(t, a.ARC)))
			if err != nil {
				t.Fatal(err)
			}
			got = up(b[:])
		}
		if got != a.ARPC {
			t.Errorf("%s: got %s, want %s", a.SKD, got, a.ARPC)
		}
		seen++
	}
	for cvn, c := range map[cryptogram.CVN]struct {
		in, more    map[string]string
		out, padded string
		padding     cryptogram.Padding
	}{
		cryptogram.Visa10: {f.CVN10.In, nil, f.CVN10.Out, f.CVN10.Padded, cryptogram.PadZeros},
		cryptogram.Visa18: {f.CVN10.In, f.CVN18.In, f.CVN18.Out, f.CVN18.Padded, cryptogram.Pad80},
	} {
		in := map[string]string{}
		for _, m := range []map[string]string{c.in, c.more} {
			for k, v := range m {
				in[k] = v
			}
		}
		card := cryptogram.Card{AIP: [2]byte(unhex(t, in["82"])), ATC: atcOf(t, in["9F36"]), IAD: unhex(t, in["9F10"])}
		got, err := cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: cvn}.Input(terminal(t, in), card)
		if err != nil || up(got) != c.out || up(c.padding.Pad(got)) != c.padded {
			t.Errorf("%v: input %X, want %s: %v", cvn, got, c.out, err)
		}
		seen++
	}
	if seen < 13 {
		t.Errorf("only %d answers in the file", seen)
	}
}
