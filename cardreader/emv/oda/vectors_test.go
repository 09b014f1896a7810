package oda_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
)

type published struct {
	ID, Method string
	CAPK       struct{ RID, Index, Exp, Mod string }
	PAN        string
	IssuerCert string `json:"issuer_cert"`
	IssuerExp  string `json:"issuer_exp"`
	IssuerRem  string `json:"issuer_rem"`
	ICCCert    string `json:"icc_cert"`
	ICCExp     string `json:"icc_exp"`
	ICCRem     string `json:"icc_rem"`
	SSAD, SDAD string
	Static     *string `json:"static_data"`
	Dynamic    string  `json:"dynamic_data"`
	Expected   string
	Reason     string `json:"our_reason"`
	Recovered  struct {
		Issuer, ICC, SSAD, SDAD struct {
			Recovered, Serial string
			IssuerModulus     string `json:"issuer_modulus"`
			ICCModulus        string `json:"icc_modulus"`
			Number            string `json:"icc_dyn_num"`
			Data              string `json:"icc_dynamic_data"`
		}
	}
}

func hexUp(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// before all published certificates' expiry.
func beforeAll() time.Time { return time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC) }

// judge runs the whole chain of one published card. Where its records are not
// published, the hashes over them are the one thing left out.
func (v published) judge(t *testing.T) error {
	ca := oda.CAKey{RID: oda.RID(unhex(t, v.CAPK.RID)), Index: unhex(t, v.CAPK.Index)[0], Modulus: unhex(t, v.CAPK.Mod), Exponent: unhex(t, v.CAPK.Exp)}
	pan := v.PAN
	if pan == "" {
		pan = "3569990010082211" // not published; the certificate says 35699900
	}
	p, err := secret.NewPAN([]byte(pan))
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := oda.RecoverIssuer(ca, unhex(t, v.IssuerCert), unhex(t, v.IssuerRem), unhex(t, v.IssuerExp), p, beforeAll())
	if err != nil {
		return err
	}
	r := v.Recovered
	if got := hexUp(issuer.Key.Modulus); got != r.Issuer.IssuerModulus || hexUp(issuer.Serial[:]) != r.Issuer.Serial {
		t.Errorf("issuer: serial %X, modulus %s", issuer.Serial, got)
	}
	if v.Method == "SDA" {
		block, err := oda.Raw(oda.StepStatic, issuer.Key, unhex(t, v.SSAD))
		if err != nil {
			return err
		}
		if got := hexUp(block); r.SSAD.Recovered != "" && got != r.SSAD.Recovered {
			t.Errorf("signed static data %s", got)
		}
		if v.Static == nil {
			_, err := oda.VerifySDA(issuer.Key, unhex(t, v.SSAD), nil)
			failsWith(t, err, oda.StepStatic, "hash does not match")
			return nil
		}
		_, err = oda.VerifySDA(issuer.Key, unhex(t, v.SSAD), unhex(t, *v.Static))
		return err
	}
	block, err := oda.Raw(oda.StepICC, issuer.Key, unhex(t, v.ICCCert))
	if err != nil {
		return err
	}
	if got := hexUp(block); got != r.ICC.Recovered {
		t.Errorf("card certificate %s", got)
	}
	key := oda.PublicKey{Modulus: unhex(t, r.ICC.ICCModulus), Exponent: unhex(t, v.ICCExp)}
	static := []byte(nil)
	if v.Static != nil {
		static = unhex(t, *v.Static)
	}
	icc, err := oda.RecoverICC(issuer.Key, unhex(t, v.ICCCert), unhex(t, v.ICCRem), unhex(t, v.ICCExp), p, static, beforeAll())
	if v.Static == nil {
		failsWith(t, err, oda.StepICC, "hash does not match")
	} else if err != nil {
		return err
	} else if !bytes.Equal(icc.Key.Modulus, key.Modulus) || hexUp(icc.Serial[:]) != r.ICC.Serial {
		t.Errorf("card: serial %X, modulus %X", icc.Serial, icc.Key.Modulus)
	}
	data, err := oda.DynamicData(key, unhex(t, v.SDAD), unhex(t, v.Dynamic))
	if err != nil {
		return err
	}
	if got := hexUp(data); got != r.SDAD.Data {
		t.Errorf("dynamic data %s, want %s", got, r.SDAD.Data)
	}
	if v.Method == "CDA" {
		_, err := oda.VerifyCDA(key, unhex(t, v.SDAD), unhex(t, v.Dynamic), nil)
		failsWith(t, err, oda.StepDynamic, "transaction data hash does not match")
		return nil
	}
	number, err := oda.VerifyDDA(key, unhex(t, v.SDAD), unhex(t, v.Dynamic))
	if err == nil && hexUp(number) != r.SDAD.Number {
		t.Errorf("dynamic number %X, want %s", number, r.SDAD.Number)
	}
	return err
}

func TestVectorsODA(t *testing.T) {
	var items []published
	vectors(t, "emv/oda.json", &items)
	if len(items) < 12 {
		t.Fatalf("%d items", len(items))
	}
	steps := map[string]string{
		"sdad header": oda.StepDynamic, "ssad header": oda.StepStatic, "icc cert header": oda.StepICC,
		"issuer cert header/trailer/format": oda.StepIssuer, "issuer cert hash": oda.StepIssuer, "issuer id vs PAN": oda.StepIssuer,
	}
	for _, v := range items {
		t.Run(v.ID, func(t *testing.T) {
			err := v.judge(t)
			switch v.Expected {
			case "valid":
				if err != nil {
					t.Error(err)
				}
			case "invalid":
				var f *oda.Failure
				if !errors.As(err, &f) || f.Step != steps[v.Reason] {
					t.Errorf("got %v, want a failure: %s", err, v.Reason)
				}
			default:
				t.Errorf("expected %q", v.Expected)
			}
		})
	}
}

// A whole chain with its records, of github.com/mrautio/emvpt (test_data.yaml, a
// card made for tests): every hash is checked.
func emvpt() published {
	static := "5F24031811305A0812345600123456085F3401019F0702FF808E1400000000000000000201440341031E0302031F009F0D05B8483C98009F0E0500108000009F0F05B8483C98005F280202469F4A01823C00"
	v := published{
		ID: "emvpt", Method: "DDA", PAN: "1234560012345608",
		IssuerCert: "2008FB40DDA89999AF873A0D9BAB158D5ACE11344FE38F72053CC5ECCFE496BBA58B37D669BAB2CEAF937F329735E02741E7122C832BE33CD1AA38D27CDACCED8B02F0EA231C7C6BCBF8239ECF2C11954B407D58E9A689AB22DFC998022A179FAFC619ABC5AB237C68410239129395575E623F4F8BA8380A3907ACF42009B8C3D30FD10FBB91B13DC014B619BA584CE0B9AC6FB1D3A4A74503F690887F111313D010A3A7117E8C04448746D3AAF888EA",
		IssuerExp:  "03",
		IssuerRem:  "5FCEA152B4D9EC9791BF309672FA51AFA9562D1C0B333ED61A5A200040C3B50A46023B89",
		ICCCert:    "91C03DC4327245674861B329C2F2E0DA6369686ECBF86A201DA147C52F3896C34A91B667856AD1699C6F41D880CF621CC246F37AA3677181BFBE9B97F8BE98F76F832D3C5B4E2FB6ACC0A0CF11D1E328998237961EB24D27B81DC699DE8359B10748EF82808DBD515A1709297B51D9F23BB6DBB75680544E6A8E18BEEF2D68FBB59CB84E773AFAC2613AD1661620F39C105D8D66C0D2D5260963122D9AFA2B908FFCFB796B3A12D3CB9A8D0E4A432471",
		ICCExp:     "03",
		SDAD:       "4E82E28C9C2D78932A318A8EC2F981EDEC93E0725054BF24FEFFC741FED65BFBE7AD1E9CA5DAF9765C0A42974394A009B6C13BE904A40E5B83FBB7CE56F71CA26B6B0E68EEA473C2CE76C156E4E0EB6732B449DE0783FD7AEA8629145BE3A06AA5ADC6A800B1FB5A245E1D7A4AA77EEF97946BD5D0AAB0487D6818E3FD8B3FDF",
		Static:     &static,
		Dynamic:    "01234567",
		Expected:   "valid",
	}
	v.CAPK.RID, v.CAPK.Index, v.CAPK.Exp = "AFFFFFFFFF", "92", "03"
	v.CAPK.Mod = "BF08CA64EA24B2644772CA60DAE61A68DE449A1F43503A1025103BDE7487FF2D60E23AF37400BBB6A8075C79EB38D775ED5F251E15268128CA152DC5F33E017F14AE11FA2E07298F559387F4F47997DB09AEE867712E56545825C4B12A197C8ABE68E7E24A20B8717453733D0BF12F3CF8AA89CB9BD07A2468B6132410C1E62FD1DFEC2C5D7C35B5475C520783E01E549F4C44DECBC2A0587763851738E4CAF22EB0E8747DBF828C2207FECE8460030F"
	return v
}

// The same card's key and an enciphered PIN of its terminal.
const (
	emvptN       = "C0C3229FB5DA18D0718416DD70C495B1495A1838B7A1D6AFF2C078ABF24D3073C0CBF1F8FB7D7C4EEF925E00C357B09DD2ED296B15898CC02A0A68BEAEB596AEDF7E5D7AF7718F48E4D4B01B53FC444EB5812D3E3BC186938D711A89296D80AA4ED349B26AFDE3C107221B98E80BEB604D99F0985D4348D4A7D91ADEA0971BFD"
	emvptD       = "8082171523E6BB35A102B9E8F5D863CB863C1025CFC139CAA1D5A5C7F6DE204D2B32A150A7A8FD89F50C3EAB2CE520693748C64763B108801C06F07F1F23B9C8C1EBB749BA7CBC99C3507F7B52A849B1AA101D8BFE2D59D28408F2B656275BB4845B099143345F6994A5ED97AB7AFF3AA3B105214A9F8F8A6C01B43F6E388DAB"
	emvptCommand = "00200088800D12DB004D5953EE1135A708F9D056E1EE0FF4D2D4E89B4F7766614A7FCEDB6D1B5BF6C3B608119BE69806222276AA48BBF807194D95C8F152D795865F9DD6354524E6BDE31AB2B8E822358AD296823B3F2F0A1046BBD6F95FCCDB044FB6DC005AEAB098038CD1912281BC1B2B480FB8789909108CA0354D10DE55B0955D3AAE"
)

func TestPublishedChain(t *testing.T) {
	v := emvpt()
	pan := panOf(t, v.PAN)
	ca := oda.CAKey{Modulus: unhex(t, v.CAPK.Mod), Exponent: []byte{3}}
	issuer, err := oda.RecoverIssuer(ca, unhex(t, v.IssuerCert), unhex(t, v.IssuerRem), []byte{3}, pan, beforeAll())
	if err != nil || issuer.Serial != [3]byte{0x12, 0x34, 0x56} || issuer.Key.Len() != 176 {
		t.Fatalf("serial %X, %d bytes: %v", issuer.Serial, issuer.Key.Len(), err)
	}
	icc, err := oda.RecoverICC(issuer.Key, unhex(t, v.ICCCert), nil, []byte{3}, pan, unhex(t, *v.Static), beforeAll())
	if err != nil || hexUp(icc.Key.Modulus) != emvptN {
		t.Fatalf("%X: %v", icc.Key.Modulus, err)
	}
	number, err := oda.VerifyDDA(icc.Key, unhex(t, v.SDAD), unhex(t, v.Dynamic))
	if err != nil || hexUp(number) != "002C" {
		t.Fatalf("%X: %v", number, err)
	}
	_, err = oda.RecoverICC(issuer.Key, unhex(t, v.ICCCert), nil, []byte{3}, pan, unhex(t, *v.Static)[:80], beforeAll())
	failsWith(t, err, oda.StepICC, "hash does not match")
	_, err = oda.RecoverIssuer(ca, unhex(t, v.IssuerCert), unhex(t, v.IssuerRem), []byte{3}, panOf(t, "1234570012345608"), beforeAll())
	failsWith(t, err, oda.StepIssuer, "issuer identifier")
	_, err = oda.RecoverIssuer(ca, unhex(t, v.IssuerCert), unhex(t, v.IssuerRem), []byte{3}, pan, time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC))
	failsWith(t, err, oda.StepIssuer, "expired at the end of 2030-12")
	_, err = oda.RecoverICC(issuer.Key, unhex(t, v.ICCCert), nil, []byte{3}, pan, unhex(t, *v.Static), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	failsWith(t, err, oda.StepICC, "expired at the end of 2029-12")
	// The builder makes the very block that the issuer signed.
	block, rem, err := oda.BuildICCCertificate(oda.ICCCertificate{PAN: pan, Expiry: [2]byte{0x12, 0x29}, Serial: [3]byte{0x12, 0x34, 0x56}, Key: icc.Key}, 176, unhex(t, *v.Static))
	if err != nil || len(rem) != 0 {
		t.Fatalf("remainder of %d bytes: %v", len(rem), err)
	}
	signed, err := oda.Raw(oda.StepICC, issuer.Key, unhex(t, v.ICCCert))
	if err != nil || !bytes.Equal(signed, block) {
		t.Errorf("built  %X\nsigned %X: %v", block, signed, err)
	}
	block, err = oda.BuildDDA(number, unhex(t, v.Dynamic), 128)
	if err != nil {
		t.Fatal(err)
	}
	signed, err = oda.Raw(oda.StepDynamic, icc.Key, unhex(t, v.SDAD))
	if err != nil || !bytes.Equal(signed, block) {
		t.Errorf("built  %X\nsigned %X: %v", block, signed, err)
	}
}

// What the terminal of the source enciphered, the card's key opens; with the
// same padding this package makes the same bytes.
func TestEncipherPIN(t *testing.T) {
	n, d := new(big.Int).SetBytes(unhex(t, emvptN)), new(big.Int).SetBytes(unhex(t, emvptD))
	data := unhex(t, emvptCommand)[5:]
	clearText := new(big.Int).Exp(new(big.Int).SetBytes(data), d, n).FillBytes(make([]byte, 128))
	if got := hexUp(clearText[:17]); got != "7F241234FFFFFFFFFFB34571E839F2E14F" {
		t.Fatalf("the source holds %s", got)
	}
	key := oda.PublicKey{Modulus: unhex(t, emvptN), Exponent: []byte{3}}
	block := func() secret.Bytes { return secret.NewBytes(unhex(t, "241234FFFFFFFFFF")) }
	challenge := [8]byte(unhex(t, "B34571E839F2E14F"))
	got, err := oda.EncipherPIN(key, block(), challenge, bytes.NewReader(clearText[17:]))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%X: %v", got, err)
	}
	first, err := oda.EncipherPIN(key, block(), challenge, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := oda.EncipherPIN(key, block(), challenge, nil)
	if err != nil || bytes.Equal(first, second) {
		t.Errorf("the padding does not vary: %v", err)
	}
	if _, err := oda.EncipherPIN(key, block(), challenge, bytes.NewReader(clearText[18:])); err == nil {
		t.Error("too little randomness is not noticed")
	}
	// One in 256 begins with a zero, which is sent as well.
	zeros := 0
	for i := range 2000 {
		got, err := oda.EncipherPIN(key, block(), [8]byte{byte(i), byte(i >> 8)}, bytes.NewReader(make([]byte, len(data))))
		if err != nil || len(got) != len(data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if got[0] == 0 {
			zeros++
		}
	}
	if zeros == 0 {
		t.Error("none of 2000 begins with a zero")
	}
	for name, err := range map[string]error{
		"PIN block of 7 bytes": third(oda.EncipherPIN(key, secret.NewBytes(make([]byte, 7)), challenge, nil)),
		"key of 16 bytes":      third(oda.EncipherPIN(oda.PublicKey{Modulus: bytes.Repeat([]byte{0xFF}, 16), Exponent: []byte{3}}, block(), challenge, nil)),
		"exponent 1":           third(oda.EncipherPIN(oda.PublicKey{Modulus: key.Modulus, Exponent: []byte{1}}, block(), challenge, nil)),
		"modulus below 7F":     third(oda.EncipherPIN(oda.PublicKey{Modulus: append([]byte{0x70}, key.Modulus[1:]...), Exponent: []byte{3}}, block(), challenge, nil)),
	} {
		failsWith(t, err, oda.StepPIN, "")
		if err != nil && strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func third(_ []byte, err error) error { return err }

func FuzzRecover(f *testing.F) {
	v := emvpt()
	t := f
	f.Add(unhex(t, v.CAPK.Mod), []byte{3}, unhex(t, v.IssuerCert), unhex(t, v.IssuerRem), []byte{3}, unhex(t, *v.Static))
	f.Add(unhex(t, emvptN), []byte{3}, unhex(t, v.SDAD), []byte{}, []byte{3}, unhex(t, v.Dynamic))
	f.Add([]byte{0xFF}, []byte{1, 0, 1}, []byte{0}, []byte{}, []byte{}, []byte{})
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, modulus, exponent, signature, remainder, exp2, data []byte) {
		pan := panOf(t, v.PAN)
		k := oda.PublicKey{Modulus: modulus, Exponent: exponent}
		check := func(err error) {
			if err != nil && !errors.Is(err, oda.ErrFailed) {
				t.Errorf("%v is no failure", err)
			}
		}
		_, err := oda.RecoverIssuer(oda.CAKey{Modulus: modulus, Exponent: exponent}, signature, remainder, exp2, pan, beforeAll())
		check(err)
		_, err = oda.RecoverICC(k, signature, remainder, exp2, pan, data, beforeAll())
		check(err)
		_, err = oda.RecoverPINKey(k, signature, remainder, exp2, pan, beforeAll())
		check(err)
		_, err = oda.VerifySDA(k, signature, data)
		check(err)
		_, err = oda.VerifyDDA(k, signature, data)
		check(err)
		_, err = oda.VerifyCDA(k, signature, data, remainder)
		check(err)
	})
}

// Behind a right signature, any block content: the fuzzer signs what it makes,
// with a key of exponent 3 whose private part is known.
func FuzzRecoverSigned(f *testing.F) {
	f.Add(make([]byte, 60), byte(2), true)
	f.Add(bytes.Repeat([]byte{0xFF}, 90), byte(4), true)
	f.Add(bytes.Repeat([]byte{1}, 90), byte(5), true)
	f.Add([]byte{}, byte(3), false)
	k := newSigner(800, 3)
	f.Fuzz(func(t *testing.T, body []byte, format byte, rehash bool) {
		block := make([]byte, k.len())
		copy(block[2:], body)
		block[0], block[1], block[2], block[len(block)-1] = 0x6A, format, 1, 0xBC
		if rehash {
			oda.Rehash(block)
		}
		sig, pan := k.sign(block), panOf(t, chainPAN)
		check := func(err error) {
			if err != nil && !errors.Is(err, oda.ErrFailed) {
				t.Errorf("%v is no failure", err)
			}
		}
		p := k.public()
		_, err := oda.RecoverIssuer(oda.CAKey{Modulus: p.Modulus, Exponent: p.Exponent}, sig, nil, []byte{3}, pan, beforeAll())
		check(err)
		_, err = oda.RecoverICC(p, sig, nil, []byte{3}, pan, nil, beforeAll())
		check(err)
		_, err = oda.VerifySDA(p, sig, nil)
		check(err)
		number, err := oda.VerifyDDA(p, sig, nil)
		check(err)
		if err == nil && (format != 5 || len(number) < 2 || len(number) > 8) {
			t.Errorf("format %d, number of %d bytes", format, len(number))
		}
		_, err = oda.VerifyCDA(p, sig, nil, nil)
		check(err)
	})
}
