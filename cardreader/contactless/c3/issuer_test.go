package c3_test

import (
	"encoding/binary"
	"testing"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c3"
	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

func program(id []byte, s contactless.Settings) c3.Program { return c3.Program{ID: id, Settings: s} }

// issuer holds the keys of the software card of a session.
type issuer struct {
	scheme cryptogram.Scheme
	keys   cryptogram.Keys
	fields map[tlv.Tag][]byte
}

func newIssuer(t testing.TB, s *contactless.Session) *issuer {
	t.Helper()
	scheme, err := cryptogram.ParseScheme("A", "csk", "18")
	if err != nil {
		t.Fatal(err)
	}
	pki := testkeys.PKI()
	keys, err := scheme.CardKeys(cryptogram.Keys{AC: pki.AC, SMI: pki.SMI, SMC: pki.SMC}, s.Authorize().PAN, 0)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{scheme: scheme, keys: keys, fields: map[tlv.Tag][]byte{}}
	for o, err := range tlv.All(s.Authorize().Field55()) {
		if err != nil {
			t.Fatal(err)
		}
		i.fields[o.Tag] = o.Value
	}
	return i
}

// genuine reports whether the cryptogram is over what field 55 says.
func (i *issuer) genuine(t testing.TB) bool {
	t.Helper()
	ac, err := i.scheme.Cryptogram(i.keys.AC, func(tag tlv.Tag) ([]byte, bool) { v, ok := i.fields[tag]; return v, ok }, cryptogram.Card{
		AIP: [2]byte(i.fields[tags.AIP]), ATC: binary.BigEndian.Uint16(i.fields[tags.ATC]), IAD: i.fields[tags.IssuerApplicationData],
	})
	if err != nil {
		t.Fatal(err)
	}
	return ac == [8]byte(i.fields[tags.ApplicationCryptogram])
}

// answer is the issuer authentication data of an approval.
func answer(t testing.TB, s *contactless.Session) []byte {
	t.Helper()
	i := newIssuer(t, s)
	if !i.genuine(t) {
		t.Fatal("the cryptogram does not verify")
	}
	b, err := i.scheme.Answer(i.keys.AC, cryptogram.Transaction{
		ATC: binary.BigEndian.Uint16(i.fields[tags.ATC]), UN: [4]byte(i.fields[tags.UnpredictableNumber]), AC: [8]byte(i.fields[tags.ApplicationCryptogram]),
	}, cryptogram.Response{CSU: [4]byte{0x00, 0x80, 0x00, 0x00}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
