package issuer

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/host/ledger"
)

// fields are the data objects of field 55 that a decision rests on.
type fields struct {
	objects map[tlv.Tag][]byte
	ac      [8]byte // 9F26
	cid     byte    // 9F27
	unused  bool    // the transaction counter was not seen before
	card    cryptogram.Card
}

// lookup is what the terminal gave the card. Amount, other, is zero in a message
// that leaves it out, as it was for the card.
func (f *fields) lookup(t tlv.Tag) ([]byte, bool) {
	v, ok := f.objects[t]
	if !ok && t == tags.AmountOther {
		return make([]byte, 6), true
	}
	return v, ok
}

// dated reports whether the card's cryptogram is of a time: of its day, or of one
// beside it, since the card goes by the terminal's clock and zone.
func (f *fields) dated(at time.Time) bool {
	date := f.objects[tags.TransactionDate]
	for days := -1; days <= 1; days++ {
		if fmt.Sprintf("%X", date) == at.UTC().AddDate(0, 0, days).Format("060102") {
			return true
		}
	}
	return false
}

// onlinePIN reports whether the terminal says that a PIN was entered for the
// issuer to verify: in the CVM results (EMV 4.4 Book 4, A4), or in the TVR (Book
// 3, Annex C5).
func (f *fields) onlinePIN() bool {
	cvm, tvr := f.objects[tags.CVMResults], f.objects[tags.TVR]
	return len(cvm) == 3 && cvm[0]&0x3F == 0x02 || len(tvr) == 5 && tvr[2]&0x04 != 0
}

// parseICC reads field 55 and says what is wrong with it, "" when nothing is. An
// object that stands there twice is refused: two readers could take different
// ones. The fields point into b.
func parseICC(b []byte) (f fields, reason string) {
	f.objects = map[tlv.Tag][]byte{}
	for o, err := range tlv.All(b) {
		if err != nil {
			return fields{}, "field 55 is no BER-TLV"
		}
		if _, twice := f.objects[o.Tag]; twice {
			return fields{}, fmt.Sprintf("field 55 has tag %v twice", o.Tag)
		}
		f.objects[o.Tag] = o.Value
	}
	var atc [2]byte
	var cid [1]byte
	for _, v := range []struct {
		tag tlv.Tag
		dst []byte
	}{{tags.ApplicationCryptogram, f.ac[:]}, {tags.CID, cid[:]}, {tags.ATC, atc[:]}, {tags.AIP, f.card.AIP[:]}} {
		value, ok := f.objects[v.tag]
		if !ok {
			return fields{}, fmt.Sprintf("field 55 lacks tag %v", v.tag)
		}
		if len(value) != len(v.dst) {
			return fields{}, fmt.Sprintf("tag %v has %d bytes, want %d", v.tag, len(value), len(v.dst))
		}
		copy(v.dst, value)
	}
	f.cid = cid[0]
	f.card.ATC, f.card.IAD = binary.BigEndian.Uint16(atc[:]), f.objects[tags.IssuerApplicationData]
	return f, ""
}

// verify checks the cryptogram with the card's key. The version that the card
// says it used has to be the one that it was issued with.
func (f *fields) verify(k *card) error {
	number, _, err := k.scheme.VersionOf(f.card.IAD)
	if err != nil {
		return err
	}
	if number != k.scheme.CVN.Number() {
		return fmt.Errorf("issuer: %w: issuer application data is of another cryptogram version", cryptogram.ErrCryptogram)
	}
	return k.scheme.Verify(k.keys.AC, f.lookup, f.card, f.ac[:])
}

// transaction names the transaction to answer and scripts.
func (f *fields) transaction() cryptogram.Transaction {
	t := cryptogram.Transaction{ATC: f.card.ATC, AC: f.ac}
	copy(t.UN[:], f.objects[tags.UnpredictableNumber])
	return t
}

// Card status update, EMV 4.4 Book 3, Annex C10 (Common Core Definitions).
const (
	csuApproved = 0x80 // byte 2: the issuer approves the online transaction
	csuBlock    = 0x20 // byte 2: block the application
)

// answer makes field 55 of the answer: tag 91, which tells a card that is blocked
// so too.
func (i *Issuer) answer(k *card, state ledger.Card, f fields, code string) ([]byte, error) {
	if k.scheme.Method() == 0 {
		return nil, nil
	}
	r := cryptogram.Response{ARC: [2]byte{code[0], code[1]}}
	if code == CodeApproved || code == CodePartial {
		r.CSU[1] |= csuApproved
	}
	if i.c.BlockCards && (k.blocked || state.Blocked) {
		r.CSU[1] |= csuBlock
	}
	data, err := k.scheme.Answer(k.keys.AC, f.transaction(), r)
	if err != nil {
		return nil, fmt.Errorf("issuer: authentication data: %w", err)
	}
	return tlv.Append(nil, tags.IssuerAuthenticationData, data), nil
}
