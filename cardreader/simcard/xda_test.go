package simcard_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// TestSDSASign makes the examples of ISO/IEC 14888-3 for the optimised EC-SDSA
// again (P-256; that of P-521 is in the self-tests of github.com/ANSSI-FR/libecc,
// ECOSDSA): message "abc", the number drawn is given. Where the example's key is
// the one with the greater y-coordinate, this package takes its negative, and the
// second half of the signature is another.
func TestSDSASign(t *testing.T) {
	for _, v := range []struct {
		suite            byte
		private, k, r, s string
	}{
		{
			simcard.SuiteP256, "5202A3D8ACAF6909D12C9A774CD886F9FBA61137FFD3E8E76AED363FB47AC492",
			"DE7E0E5E663F24183414B7C72F24546B81E9E5F410BEBF26F3CA5FA82F5192C8",
			"D7FB8135D8EA45E8FB3C9059F146E2630EF4BD51C4006A92EDB4C8B0849963FB",
			"B46D1525379E02E232D97928265B7254EA2ED97813454388C1A08F62DCCD70B3",
		},
		{
			simcard.SuiteP521, "0108B94C219206B8D8921690A51576AE703D464B71BDF568F9F670929567858055B916DBCE5DB56A25B7913325F514F72A22BE4EFB4DB79E2F01B571A93F217982C5",
			"01730300163079949BB6E3603C96F6F09023A6F748C5A6FC41EC39F524045959A8FE4CC19B01475AACC5F392AB50601F398BC3B8014A63911BCE30E7CC0F3D823B05",
			"BD54E8D7271CCC1E0ADDC3338A99EB945E654018056FAF7EC76C0AA6B4D2628900E05C052495A0917D808514D91E4142C5AE53062431E231058DB5192E3590E3",
			"00527BAB84C9AF15CFA7D92529DC15D21745EE048891F5E06A0665E5CB162E622A0A62C31223CC216D8FFEC33ACDDDE50D58EFE387893A5CBCE2EA076E3B7CE79500",
		},
	} {
		key, err := simcard.NewECKey(v.suite, unhex(t, v.private))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := key.Sign(bytes.NewReader(unhex(t, v.k)), []byte("a"), []byte("bc"))
		if err != nil {
			t.Fatal(err)
		}
		n := len(v.r) / 2
		if fmt.Sprintf("%X", sig[:n]) != v.r {
			t.Errorf("suite %02X: r is %X", v.suite, sig[:n])
		}
		same := fmt.Sprintf("%X", key.Private()) == v.private
		if got := fmt.Sprintf("%X", sig[n:]) == v.s; got != same {
			t.Errorf("suite %02X: s is %X, and the key is the example's: %t", v.suite, sig[n:], same)
		}
		x, y := key.Point()
		if again, err := simcard.NewECKey(v.suite, key.Private()); err != nil || !bytes.Equal(again.Private(), key.Private()) {
			t.Errorf("suite %02X: the key does not come back: %v", v.suite, err)
		}
		if len(x) != len(y) || len(x) != len(v.private)/2 || key.Suite() != v.suite {
			t.Errorf("suite %02X: %d and %d bytes", v.suite, len(x), len(y))
		}
	}
	for name, err := range map[string]error{
		"suite":    second(simcard.NewECKey(0x12, []byte{1})),
		"zero":     second(simcard.NewECKey(simcard.SuiteP256, nil)),
		"too long": second(simcard.NewECKey(simcard.SuiteP256, make([]byte, 33))),
		"order":    second(simcard.NewECKey(simcard.SuiteP256, unhex(t, "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551"))),
		"generate": second(simcard.GenerateECKey(nil, 0x12)),
	} {
		if !errors.Is(err, simcard.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := simcard.GenerateECKey(bytes.NewReader(make([]byte, 31)), simcard.SuiteP256); err == nil {
		t.Error("a key from too few bytes")
	}
}

func second(_ *simcard.ECKey, err error) error { return err }

// TestXDACard: certificates and both signatures of the card, as the kernel's
// package oda judges them, and what it refuses.
func TestXDACard(t *testing.T) {
	p, err := simcard.LookupProfile("xda")
	if err != nil {
		t.Fatal(err)
	}
	for _, suite := range []byte{simcard.SuiteP256, simcard.SuiteP521} {
		keys := *pki
		if suite == simcard.SuiteP521 {
			keys.EC.Authorities = append([]simcard.ECAuthority(nil), keys.EC.Authorities...)
			keys.EC.Authorities[0].Key = generated(t, suite)
			keys.EC.Issuer, keys.EC.ICC = generated(t, suite), generated(t, suite)
		}
		c, err := simcard.New(p, simcard.Options{PKI: &keys})
		if err != nil {
			t.Fatal(err)
		}
		a := p.Applications[0]
		r := start(t, c, 0, sale())
		var b bytes.Buffer
		if err := simcard.WriteCAPK(&b, &keys, []simcard.Profile{p}); err != nil {
			t.Fatal(err)
		}
		s, err := oda.ParseCAPK(&b)
		if err != nil {
			t.Fatal(err)
		}
		pan, err := secret.PANFromCN(r.records[0x5A])
		if err != nil {
			t.Fatal(err)
		}
		issuer, err := oda.RecoverECIssuerFrom(s, oda.RID(a.AID[:5]), a.CAIndex, r.records[0x90], pan, today)
		if err != nil {
			t.Fatal(err)
		}
		static := r.static[:len(r.static)-2] // 9F4A is not for XDA
		certified := tlv.Append(append([]byte(nil), static...), 0x82, r.aip)
		certified = tlv.Append(tlv.Append(certified, 0x9F06, a.AID), 0x9F38, a.PDOL)
		icc, err := oda.RecoverECICC(issuer.Key, r.records[0x9F46], certified, today)
		if err != nil {
			t.Fatal(err)
		}
		judge := func(reference byte, dol tlv.Tag, lists ...[]byte) {
			t.Helper()
			data := r.term.fill(t, r.records[dol])
			body := must(t, r.card, apdu.GenerateAC(reference, data))
			sig, _ := tlv.Find(body, 0x9F4B)
			inner, _ := tlv.Find(body, 0x77)
			unsigned := bytes.Replace(inner, tlv.Append(nil, 0x9F4B, sig), nil, 1)
			if _, ok := tlv.Find(unsigned, 0x9F26); !ok {
				t.Error("no cryptogram in clear")
			}
			if err := oda.VerifyXDA(icc.Key, sig, oda.XDAData(unsigned, append(lists, data)...)); err != nil {
				t.Errorf("reference %02X: %v", reference, err)
			}
		}
		for _, reference := range []byte{apdu.RefARQC | apdu.RefCDA, apdu.RefARQC | apdu.RefCDA | apdu.RefXDA} {
			if got := c.Process(encode(t, apdu.GenerateAC(reference, r.term.fill(t, r.records[0x8C])))); !bytes.Equal(got, []byte{0x6A, 0x86}) {
				t.Errorf("reference %02X: %X", reference, got)
			}
		}
		judge(apdu.RefARQC|apdu.RefXDA, 0x8C, r.pdolData)
		r.term[0x8A] = "3035"
		judge(apdu.RefAAC|apdu.RefXDA, 0x8D)
	}
	// Without the keys, or with RSA beside it, there is no such card.
	bare := *pki
	bare.EC = simcard.ECKeys{}
	if _, err := simcard.New(p, simcard.Options{PKI: &bare}); !errors.Is(err, simcard.ErrOptions) {
		t.Errorf("without keys: %v", err)
	}
	bare.EC = simcard.ECKeys{Authorities: pki.EC.Authorities}
	if _, err := simcard.New(p, simcard.Options{PKI: &bare}); !errors.Is(err, simcard.ErrOptions) {
		t.Errorf("without issuer and card keys: %v", err)
	}
	p.Applications[0].AIP[0] |= 0x20
	if _, err := simcard.New(p, simcard.Options{PKI: pki}); !errors.Is(err, simcard.ErrProfile) {
		t.Errorf("with DDA beside it: %v", err)
	}
	// A card without XDA refuses to be asked for it.
	c := newCard(t, profile(t, "cda"), simcard.Options{})
	r := start(t, c, 0, sale())
	if got := c.Process(encode(t, apdu.GenerateAC(apdu.RefARQC|apdu.RefXDA, r.term.fill(t, r.records[0x8C])))); !bytes.Equal(got, []byte{0x6A, 0x86}) {
		t.Errorf("CDA card asked for XDA: %X", got)
	}
}

func generated(t *testing.T, suite byte) *simcard.ECKey {
	t.Helper()
	k, err := simcard.GenerateECKey(nil, suite)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func encode(t *testing.T, c apdu.Command) []byte {
	t.Helper()
	b, err := c.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
