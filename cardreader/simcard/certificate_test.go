package simcard_test

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
)

// public is an RSA public key as a terminal recovers it. This file reads
// certificates by the tables of EMV 4.4 Book 2, 5 and 6, with code of its own:
// what the card signs must not be judged by what signed it.
type public struct{ modulus, exponent []byte }

// open undoes a signature and checks header, trailer and hash. fields is what
// lies between header and hash.
func (k public) open(sig []byte, hashed ...[]byte) (fields []byte, err error) {
	if len(sig) != len(k.modulus) {
		return nil, fmt.Errorf("signature of %d bytes under a modulus of %d", len(sig), len(k.modulus))
	}
	m := new(big.Int).SetBytes(k.modulus)
	b := new(big.Int).Exp(new(big.Int).SetBytes(sig), new(big.Int).SetBytes(k.exponent), m).FillBytes(make([]byte, len(k.modulus)))
	if b[0] != 0x6A || b[len(b)-1] != 0xBC {
		return nil, errors.New("header or trailer")
	}
	fields = b[1 : len(b)-21]
	h := sha1.New()
	h.Write(fields)
	for _, x := range hashed {
		h.Write(x)
	}
	if !bytes.Equal(h.Sum(nil), b[len(b)-21:len(b)-1]) {
		return nil, errors.New("hash")
	}
	return fields, nil
}

// issuer recovers the issuer key (tables 2 and 6).
func (r *run) issuer() (public, error) {
	ca := authority(r.app.AID[:5], r.records[0x8F])
	remainder, exponent := r.records[0x92], r.records[0x9F32]
	f, err := ca.open(r.records[0x90], remainder, exponent)
	switch {
	case err != nil:
		return public{}, fmt.Errorf("issuer certificate: %w", err)
	case f[0] != 0x02:
		return public{}, errors.New("issuer certificate: format")
	case fmt.Sprintf("%X", f[1:5]) != r.app.PAN[:6]+"FF":
		return public{}, fmt.Errorf("issuer certificate: identifier %X", f[1:5])
	case !bytes.Equal(f[5:7], []byte{0x12, 0x31}) || !bytes.Equal(f[7:10], r.app.Serial[:]):
		return public{}, errors.New("issuer certificate: expiry or serial")
	case f[10] != 1 || f[11] != 1 || int(f[13]) != len(exponent):
		return public{}, errors.New("issuer certificate: algorithms or lengths")
	}
	return public{join(f[14:], remainder, int(f[12])), exponent}, nil
}

// card recovers the card's key from tags 9F46 to 9F48, or 9F2D to 9F2F.
func (r *run) cardKey(issuer public, cert, exp, rest tlv.Tag, static []byte) (public, error) {
	remainder, exponent := r.records[rest], r.records[exp]
	f, err := issuer.open(r.records[cert], remainder, exponent, static)
	switch {
	case err != nil:
		return public{}, fmt.Errorf("card certificate: %w", err)
	case f[0] != 0x04:
		return public{}, errors.New("card certificate: format")
	case string(bytes.TrimRight([]byte(fmt.Sprintf("%X", f[1:11])), "F")) != r.app.PAN:
		return public{}, errors.New("card certificate: PAN")
	case f[16] != 1 || f[17] != 1 || int(f[19]) != len(exponent):
		return public{}, errors.New("card certificate: algorithms or lengths")
	}
	return public{join(f[20:], remainder, int(f[18])), exponent}, nil
}

// join puts a modulus together from its leftmost part, padded, and its rest.
func join(left, rest []byte, n int) []byte {
	if len(rest) > 0 {
		return append(bytes.Clone(left), rest...)
	}
	return bytes.Clone(left[:n])
}

func authority(rid, index []byte) public {
	for _, a := range pki.Authorities {
		if bytes.Equal(a.RID[:], rid) && len(index) == 1 && a.Index == index[0] {
			return public{a.Key.Modulus(), a.Key.Exponent()}
		}
	}
	return public{[]byte{1}, []byte{3}}
}

func TestCertificates(t *testing.T) {
	for _, p := range simcard.AllProfiles() {
		for n := range p.Applications {
			if p.Blocked || p.Applications[n].RefuseGPO || p.Applications[n].AIP[0]&0x80 != 0 {
				continue // those with XDA are in xda_test.go
			}
			p.Applications[n].Blocked = false
			t.Run(fmt.Sprintf("%s/%d", p.Name, n+1), func(t *testing.T) {
				r := start(t, newCard(t, p, simcard.Options{}), n, sale())
				issuer, err := r.issuer()
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(issuer.modulus, pki.Issuer.Modulus()) {
					t.Error("the issuer key is not the PKI's")
				}
				if r.aip[0]&0x40 != 0 {
					f, err := issuer.open(r.records[0x93], r.static)
					if err != nil || f[0] != 0x03 || f[1] != 0x01 {
						t.Errorf("signed static data: %v", err)
					}
				}
				if r.aip[0]&0x21 == 0 {
					return
				}
				icc, err := r.cardKey(issuer, 0x9F46, 0x9F47, 0x9F48, r.static)
				if err != nil {
					t.Fatal(err)
				}
				r.checkDDA(icc)
			})
		}
	}
}

func (r *run) checkDDA(icc public) {
	r.t.Helper()
	b := must(r.t, r.card, apdu.InternalAuthenticate(r.term.fill(r.t, r.records[0x9F49])))
	sig, ok := tlv.Find(b, 0x9F4B)
	if b[0] == 0x80 {
		sig, ok = tlv.Find(b, 0x80)
	}
	if !ok {
		r.t.Fatalf("INTERNAL AUTHENTICATE: % X", b)
	}
	f, err := icc.open(sig, unhex(r.t, r.term[0x9F37]))
	if r.app.WrongSignature {
		if err == nil {
			r.t.Error("the signature is right")
		}
		return
	}
	if err != nil || f[0] != 0x05 || f[1] != 0x01 || f[2] != 9 || f[3] != 8 {
		r.t.Errorf("dynamic signature: %v", err)
	}
}

// CDA: the signature at both GENERATE ACs covers everything that was sent and
// the response itself (Book 2, 6.6).
func TestCDA(t *testing.T) {
	p := profile(t, "cda")
	p.Applications[0].PDOL = unhex(t, "9F66049F3704")
	p.Applications[0].AuthOptional = true
	r := start(t, newCard(t, p, simcard.Options{}), 0, sale())
	issuer, err := r.issuer()
	if err != nil {
		t.Fatal(err)
	}
	icc, err := r.cardKey(issuer, 0x9F46, 0x9F47, 0x9F48, r.static)
	if err != nil {
		t.Fatal(err)
	}
	cdol1 := r.term.fill(t, r.records[0x8C])
	check := func(name string, body []byte, cid byte, sent ...[]byte) {
		t.Helper()
		sig, _ := tlv.Find(body, 0x9F4B)
		f, err := icc.open(sig, unhex(t, r.term[0x9F37]))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d := f[3 : 3+int(f[2])]
		h := sha1.New()
		for _, s := range sent {
			h.Write(s)
		}
		inner, _ := tlv.Find(body, 0x77)
		for o, err := range tlv.All(inner) {
			if err != nil {
				t.Fatal(err)
			}
			if o.Tag != 0x9F4B {
				h.Write(tlv.Append(nil, o.Tag, o.Value))
			}
		}
		if len(d) != 9+1+8+20 || d[9] != cid || !bytes.Equal(d[18:], h.Sum(nil)) {
			t.Errorf("%s: CID %02X, or the transaction data hash is wrong", name, d[9])
		}
		if _, ok := tlv.Find(body, 0x9F26); ok {
			t.Errorf("%s: the cryptogram is outside the signature, too", name)
		}
	}
	body := must(t, r.card, apdu.GenerateAC(apdu.RefARQC|apdu.RefCDA, cdol1))
	check("first", body, 0x80, r.pdolData, cdol1)
	cdol2 := r.term.fill(t, r.records[0x8D])
	body = must(t, r.card, apdu.GenerateAC(apdu.RefTC|apdu.RefCDA, cdol2))
	check("second", body, 0x40, r.pdolData, cdol1, cdol2)

	// An AAC is never signed.
	r = start(t, r.card, 0, sale())
	body = must(t, r.card, apdu.GenerateAC(apdu.RefAAC|apdu.RefCDA, r.term.fill(t, r.records[0x8C])))
	if _, ok := tlv.Find(body, 0x9F26); !ok || bytes.Contains(body, []byte{0x9F, 0x4B}) {
		t.Errorf("AAC: % X", body)
	}
	// A card without CDA is not asked for it.
	c := card(t, "default")
	reach(t, c, 3)
	expect(t, c, apdu.GenerateAC(apdu.RefARQC|apdu.RefCDA, cdol1), 0x6A86)
}

// encipher is Book 2, 7.2, from the terminal's side.
func encipher(k public, block, challenge []byte, header byte) []byte {
	b := append([]byte{header}, block...)
	b = append(b, challenge...)
	for i := byte(1); len(b) < len(k.modulus); i++ {
		b = append(b, i)
	}
	m := new(big.Int).SetBytes(k.modulus)
	return new(big.Int).Exp(new(big.Int).SetBytes(b), new(big.Int).SetBytes(k.exponent), m).FillBytes(make([]byte, len(k.modulus)))
}

func TestEncipheredPIN(t *testing.T) {
	right, wrong := unhex(t, "241234FFFFFFFFFF"), unhex(t, "241235FFFFFFFFFF")
	c := card(t, "offline-pin-enciphered")
	var pin public
	begin := func() {
		t.Helper()
		r := start(t, c, 0, sale())
		issuer, err := r.issuer()
		if err != nil {
			t.Fatal(err)
		}
		if pin, err = r.cardKey(issuer, 0x9F2D, 0x9F2E, 0x9F2F, nil); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(block []byte) apdu.Command { return apdu.Verify(apdu.VerifyEnciphered, block) }

	begin()
	expect(t, c, verify(encipher(pin, right, make([]byte, 8), 0x7F)), 0x6985) // no challenge
	challenge := must(t, c, apdu.GetChallenge())
	expect(t, c, verify(encipher(pin, right, challenge, 0x7F)), 0x9000)
	expect(t, c, verify(encipher(pin, right, challenge, 0x7F)), 0x6985) // a challenge serves once

	old := challenge
	challenge = must(t, c, apdu.GetChallenge())
	if bytes.Equal(old, challenge) {
		t.Error("the same challenge twice")
	}
	must(t, c, apdu.GetData(0x9F17))
	expect(t, c, verify(encipher(pin, right, challenge, 0x7F)), 0x6985) // not the next command
	challenge = must(t, c, apdu.GetChallenge())
	expect(t, c, apdu.Command{INS: 0xFA}, 0x6D00)
	expect(t, c, verify(encipher(pin, right, challenge, 0x7F)), 0x6985) // nor after one that was refused

	for name, bad := range map[string]func(challenge []byte) []byte{
		"wrong PIN":         func(ch []byte) []byte { return encipher(pin, wrong, ch, 0x7F) },
		"wrong challenge":   func([]byte) []byte { return encipher(pin, right, old, 0x7F) },
		"wrong header":      func(ch []byte) []byte { return encipher(pin, right, ch, 0x6A) },
		"above the modulus": func([]byte) []byte { return bytes.Repeat([]byte{0xFF}, len(pin.modulus)) },
	} {
		begin()
		expect(t, c, verify(bad(must(t, c, apdu.GetChallenge()))), 0x63C2)
		expect(t, c, verify(encipher(pin, right, must(t, c, apdu.GetChallenge()), 0x7F)), 0x9000)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	challenge = must(t, c, apdu.GetChallenge())
	expect(t, c, verify(encipher(pin, right, challenge, 0x7F)[1:]), 0x6700)
	expect(t, c, apdu.Verify(apdu.VerifyPlaintext, right), 0x6A86) // this card takes no plain PIN
}
