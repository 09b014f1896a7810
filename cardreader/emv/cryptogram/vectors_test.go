package cryptogram_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

type known struct {
	Op     string
	Args   map[string]any
	State  map[string]string
	Result string
}

func (k known) arg(name string) string { s, _ := k.Args[name].(string); return s }

// schemes by the names in the file.
func schemeOf(class string) (cryptogram.Scheme, bool) {
	v, ok := map[string]cryptogram.CVN{
		"VisaCVN10": cryptogram.Visa10, "VisaCVN18": cryptogram.Visa18, "VisaCVN22": cryptogram.Visa22,
		"MasterCardCVN16": cryptogram.MChip10, "MasterCardCVN17": cryptogram.MChip11,
		"MasterCardCVN20": cryptogram.MChip14, "MasterCardCVN21": cryptogram.MChip15,
		"InteracCVN133": cryptogram.Interac133,
	}[class]
	return cryptogram.Scheme{Derivation: cryptogram.DerivationA, CVN: v}, ok
}

// TestVectorsCryptograms computes every known answer of cryptograms.json.
func TestVectorsCryptograms(t *testing.T) {
	var f struct {
		Count   int
		Vectors []known
	}
	vectors(t, "emv/cryptograms.json", &f)
	if len(f.Vectors) != f.Count || f.Count == 0 {
		t.Fatalf("%d items, want %d", len(f.Vectors), f.Count)
	}
	for i, v := range f.Vectors {
		t.Run(fmt.Sprintf("%d %s", i, v.Op), func(t *testing.T) {
			got, err := answerOf(t, v)
			if err != nil {
				t.Fatal(err)
			}
			if got != v.Result {
				t.Errorf("%v: got %s, want %s", v.Args, got, v.Result)
			}
		})
	}
}

func answerOf(t *testing.T, v known) (string, error) {
	op := strings.Split(v.Op, ".")
	if op[0] == "cvn" {
		return schemeAnswer(t, v, op[1], op[2])
	}
	switch op[len(op)-1] {
	case "derive_icc_mk_a":
		k, err := cryptogram.MasterKey(cryptogram.DerivationA, key(t, v.arg("iss_mk")), panOf(t, v.arg("pan")), psnOf(t, v.arg("psn")))
		return up(k.Reveal()), err
	case "decimalise_option_b":
		y := cryptogram.Decimalise(unhex(t, v.arg("x")))
		return up(y[:]), nil
	case "derive_common_sk":
		k, err := cryptogram.SessionCSK(key(t, v.arg("icc_mk")), [8]byte(unhex(t, v.arg("r"))))
		return up(k.Reveal()), err
	case "derive_visa_sm_sk":
		k, err := cryptogram.SessionVisa(key(t, v.arg("icc_mk")), atcOf(t, v.arg("atc")))
		return up(k.Reveal()), err
	case "derive_emv2000_tree_sk":
		tree := cryptogram.Tree{Branch: int(v.Args["branch_factor"].(float64)), Height: int(v.Args["height"].(float64)), IV: [16]byte(unhex(t, v.arg("iv")))}
		k, err := cryptogram.SessionEMV2000(key(t, v.arg("icc_mk")), atcOf(t, v.arg("atc")), tree)
		return up(k.Reveal()), err
	case "generate_ac":
		p := cryptogram.Pad80
		if v.arg("padding_type") == "VISA" {
			p = cryptogram.PadZeros
		}
		ac, err := cryptogram.AC(key(t, v.arg("sk_ac")), unhex(t, v.arg("data")), p)
		return up(ac[:]), err
	case "generate_arpc_1":
		a, err := cryptogram.ARPC1(key(t, v.arg("sk_ac")), [8]byte(unhex(t, v.arg("arqc"))), [2]byte(unhex(t, v.arg("arpc_rc"))))
		return up(a[:]), err
	case "generate_arpc_2":
		a, err := cryptogram.ARPC2(key(t, v.arg("sk_ac")), [8]byte(unhex(t, v.arg("arqc"))), [4]byte(unhex(t, v.arg("csu"))), unhex(t, v.arg("prop_auth_data")))
		return up(a[:]), err
	case "mac_iso9797_3":
		m, err := cryptogram.MAC(key(t, v.arg("key1")+v.arg("key2")), unhex(t, v.arg("data")), cryptogram.Padding(v.Args["padding"].(float64)))
		return up(m[:]), err
	case "generate_command_mac":
		m, err := cryptogram.MAC(key(t, v.arg("sk_smi")), unhex(t, v.arg("command")), cryptogram.Pad80)
		return up(m[:]), err
	case "encrypt_command_data":
		e := map[string]cryptogram.Encipherment{"VISA": cryptogram.EnciphermentVisa, "MASTERCARD": cryptogram.EnciphermentMChip, "CCD": cryptogram.EnciphermentCCD}[v.arg("encryption_type")]
		b, err := e.Encipher(key(t, v.arg("sk_smc")), unhex(t, v.arg("command_data")))
		return up(b), err
	case "format_iso9564_2_pin_block":
		b, err := cryptogram.PINBlock(2, secret.NewBytes([]byte(v.arg("pin"))))
		return up(b.Reveal()), err
	case "generate_cvc3":
		n, err := cryptogram.CVC3(key(t, v.arg("icc_cvc3")), track(t, v.arg("track_template")), [4]byte(unhex(t, v.arg("un"))), atcOf(t, v.arg("atc")))
		return fmt.Sprint(n), err
	case "get_cap_value":
		return capToken(t, unhex(t, v.arg("rapdu")), unhex(t, v.arg("ipb")))
	}
	return "", fmt.Errorf("%s is not known to this test", v.Op)
}

// track decodes the template: digits and D packed for track 2, whose fill is F.
func track(t *testing.T, s string) []byte {
	return unhex(t, s)
}

func capToken(t *testing.T, response, bitmap []byte) (string, error) {
	var data []byte
	if b, ok := tlv.Find(response, 0x77); ok {
		for _, tag := range []tlv.Tag{0x9F27, 0x9F36, 0x9F26, 0x9F10} {
			v, ok := tlv.Find(b, tag)
			if !ok {
				t.Fatalf("no %v", tag)
			}
			data = append(data, v...)
		}
	} else {
		data = response[2 : 2+int(response[1])]
	}
	return cryptogram.CAPToken(data, bitmap)
}

func schemeAnswer(t *testing.T, v known, class, op string) (string, error) {
	s, ok := schemeOf(class)
	if !ok {
		return "", fmt.Errorf("%s is not known to this test", class)
	}
	keys := cryptogram.Keys{AC: key(t, v.State["icc_mk_ac"]), SMI: key(t, v.State["icc_mk_smi"]), SMC: key(t, v.State["icc_mk_smc"])}
	var tx cryptogram.Transaction
	if a := v.arg("tag_9f36"); a != "" {
		tx.ATC = atcOf(t, a)
	}
	if a := v.arg("tag_9f26"); a != "" {
		tx.AC = [8]byte(unhex(t, a))
	}
	cmd := cryptogram.Script{Transaction: tx}
	switch op {
	case "generate_ac":
		m := map[string]string{}
		for name, value := range v.Args {
			if tag, ok := strings.CutPrefix(name, "tag_"); ok {
				m[strings.ToUpper(tag)] = value.(string)
			}
		}
		iad := m["9F10"]
		if iad == "" {
			iad = iadOf(s.CVN, v.arg("cvr"), v.arg("counters"))
		}
		card := cryptogram.Card{AIP: [2]byte(unhex(t, m["82"])), ATC: tx.ATC, IAD: unhex(t, iad)}
		ac, err := s.Cryptogram(keys.AC, terminal(t, m), card)
		if err == nil {
			err = s.Verify(keys.AC, terminal(t, m), card, ac[:])
		}
		return up(ac[:]), err
	case "generate_arpc":
		var r cryptogram.Response
		n := 8
		if s.Method() == 1 {
			r.ARC = [2]byte(unhex(t, v.arg("arpc_rc")))
		} else {
			n, r.CSU, r.Proprietary = 4, [4]byte(unhex(t, v.arg("csu"))), unhex(t, v.arg("proprietary_auth_data"))
		}
		b, err := s.Answer(keys.AC, tx, r)
		if err != nil {
			return "", err
		}
		_, err = s.CheckAnswer(keys.AC, tx, b)
		return up(b[:n]), err
	case "generate_command_mac":
		m, err := s.ScriptMAC(keys.SMI, cmd, [5]byte(unhex(t, v.arg("command_header"))), unhex(t, v.arg("command_data")))
		return up(m[:]), err
	case "generate_pin_change_command":
		b, err := s.PINChange(keys, cmd, secret.NewBytes([]byte(v.arg("pin"))), secret.NewBytes([]byte(v.arg("current_pin"))))
		return up(b), err
	case "_derive_sk_ac_common":
		k, err := s.SessionKey(keys.AC, tx.ATC, tx.UN)
		return up(k.Reveal()), err
	case "_derive_sk_sm_visa", "_derive_sk_sm_common":
		k, err := s.ScriptKey(key(t, v.arg("icc_mk_sm")), cmd)
		return up(k.Reveal()), err
	}
	return "", fmt.Errorf("%s is not known to this test", op)
}
