package taptest

import (
	"encoding/binary"
	"testing"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Issuer is the issuer of the software cards: it reads field 55 of a session.
type Issuer struct {
	scheme cryptogram.Scheme
	keys   cryptogram.Keys
	fields map[tlv.Tag][]byte
}

// NewIssuer takes a session's request. The card's keys are those of the number
// that the request is for.
func NewIssuer(t testing.TB, s *contactless.Session) *Issuer {
	t.Helper()
	return NewIssuerOf(t, s.Authorize().PAN, s.Authorize().Field55())
}

// NewIssuerOf takes a request's number and field 55.
func NewIssuerOf(t testing.TB, pan secret.PAN, field55 []byte) *Issuer {
	t.Helper()
	scheme, err := cryptogram.ParseScheme("A", "csk", "18")
	if err != nil {
		t.Fatal(err)
	}
	pki := testkeys.PKI()
	keys, err := scheme.CardKeys(cryptogram.Keys{AC: pki.AC, SMI: pki.SMI, SMC: pki.SMC}, pan, 0)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{scheme: scheme, keys: keys, fields: map[tlv.Tag][]byte{}}
	for o, err := range tlv.All(field55) {
		if err != nil {
			t.Fatal(err)
		}
		i.fields[o.Tag] = o.Value
	}
	return i
}

// Field returns a data object of field 55.
func (i *Issuer) Field(tag tlv.Tag) []byte { return i.fields[tag] }

// ATC is the transaction counter.
func (i *Issuer) ATC() uint16 { return binary.BigEndian.Uint16(i.fields[tags.ATC]) }

// Genuine reports whether the cryptogram is over what field 55 says, made by the
// card of the request's number.
func (i *Issuer) Genuine(t testing.TB) bool {
	t.Helper()
	lookup := func(tag tlv.Tag) ([]byte, bool) { v, ok := i.fields[tag]; return v, ok }
	return i.scheme.Verify(i.keys.AC, lookup, cryptogram.Card{
		AIP: [2]byte(i.fields[tags.AIP]), ATC: i.ATC(), IAD: i.fields[tags.IssuerApplicationData],
	}, i.fields[tags.ApplicationCryptogram]) == nil
}

// HolderVerified reports whether the card's own results say that its device
// verified its holder.
func (i *Issuer) HolderVerified() bool {
	d := tags.ParseIAD(i.fields[tags.IssuerApplicationData])
	return d.Format == tags.IADVisa && d.CVR[1]&0x06 == 0x04
}

// Answer is the issuer authentication data of an approval.
func (i *Issuer) Answer(t testing.TB) []byte {
	t.Helper()
	b, err := i.scheme.Answer(i.keys.AC, cryptogram.Transaction{
		ATC: i.ATC(), UN: [4]byte(i.fields[tags.UnpredictableNumber]), AC: [8]byte(i.fields[tags.ApplicationCryptogram]),
	}, cryptogram.Response{CSU: [4]byte{0x00, 0x80, 0x00, 0x00}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
