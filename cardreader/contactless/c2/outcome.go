package c2

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// keep makes the data the outcome's record.
func (t *transaction) keep() *contactless.Data {
	t.d.Keep(tags.BalanceBefore, tags.BalanceAfter, tags.RelayMeasured, tags.RelayCounter)
	return t.d
}

// valid makes the outcome of a cryptogram that was judged (S910.70 to S910.81).
func (t *transaction) valid() contactless.Outcome {
	out := contactless.Outcome{CVM: t.cvm, Receipt: t.receipt, Data: t.keep(), Risks: t.risks()}
	if t.wantsSecondTap() {
		m := t.phoneMessage()
		see := contactless.UIRequest{Message: m.Message, Status: m.Status, Hold: t.k.c.Hold, Languages: t.d.Languages()}
		t.a.Show(see)
		see.Status, see.Hold = contactless.StatusReadyToRead, 0
		out.Kind, out.Start, out.UIRestart, out.CVM = contactless.EndApplication, contactless.StartB, &see, contactless.CVMNone
		out.Reasons = []string{"the cardholder has to act on the device first"}
		return out
	}
	u := contactless.UIRequest{Status: contactless.StatusNotReady, Languages: t.d.Languages()}
	switch t.d.Cryptogram {
	case tags.TC:
		out.Kind, u.Message, u.Hold = contactless.Approved, contactless.MessageApproved, t.k.c.Hold
		if t.cvm == contactless.CVMSignature {
			u.Message = contactless.MessageApprovedSign
		}
		t.showBalance(&u)
	case tags.ARQC:
		out.Kind, u.Message = contactless.OnlineRequest, contactless.MessageAuthorising
		if t.cvm == contactless.CVMOnlinePIN {
			u.Message = contactless.MessageEnterPIN
		}
	default:
		return t.refused()
	}
	out.UI = &u
	return out
}

// risks are what the protocol did not authenticate.
func (t *transaction) risks() []string {
	var out []string
	switch {
	case t.relay == nil:
		out = append(out, "how far away the card is was not measured: a relay would not be noticed")
	case t.d.TVR.Has(tvrRelayTimeLimits) || t.d.TVR.Has(tvrRelayThreshold):
		out = append(out, "the card may be farther away than the reader's field: its answer took too long")
	}
	if !t.d.ODA.OK {
		out = append(out, "nothing of the card was authenticated here: its number, dates and verification list are its word until the issuer answers")
	}
	if t.cvm == contactless.CVMConfirmationCode {
		out = append(out, "that the device verified its holder is in the cryptogram, which the issuer alone reads")
	}
	return out
}

// wantsSecondTap reports whether the device asks its holder for something (Book
// C-2, S910.71).
func (t *transaction) wantsSecondTap() bool {
	v := t.d.Get(tags.CardholderInteraction)
	return len(v) == 3 && (v[1]&0x03 != 0 || v[2]&0x0F != 0)
}

// PhoneMessage is an entry of the phone message table (Book C-2, A.1.126): the
// message for a device whose interaction information (DF4B) under Mask is Value.
type PhoneMessage struct {
	Mask, Value [3]byte
	Message     contactless.MessageID
	Status      contactless.Status
}

// phoneMessages is the book's table (table 4.3).
func phoneMessages() []PhoneMessage {
	var out []PhoneMessage
	for _, bits := range [][3]byte{{0, 0, 0x01}, {0, 0x08, 0}, {0, 0x04, 0}, {0, 0x01, 0}, {0, 0x02, 0}} {
		out = append(out, PhoneMessage{bits, bits, contactless.MessageSeePhone, contactless.StatusNotReady})
	}
	return append(out, PhoneMessage{Message: contactless.MessageNotAuthorised, Status: contactless.StatusNotReady})
}

// phoneMessage is the first entry that fits the device's information (S910.73).
func (t *transaction) phoneMessage() PhoneMessage {
	v := t.d.Get(tags.CardholderInteraction)
	for _, m := range t.k.c.PhoneMessages {
		if v[0]&m.Mask[0] == m.Value[0] && v[1]&m.Mask[1] == m.Value[1] && v[2]&m.Mask[2] == m.Value[2] {
			return m
		}
	}
	return PhoneMessage{}
}

// Transaction types of tag 9C.
const (
	typePurchase = 0x00
	typeCash     = 0x01
	typeCashback = 0x09
	typeManual   = 0x17
)

// refused is the outcome of an AAC (S910.74): a card may do better when it is
// inserted, a phone has no contacts.
func (t *transaction) refused() contactless.Outcome {
	t.because("the card declined")
	switch t.a.Transaction.Type {
	case typePurchase, typeCash, typeCashback, typeManual:
	default:
		return contactless.Outcome{Kind: contactless.EndApplication, Data: t.keep(), UI: &contactless.UIRequest{Message: contactless.MessageClear, Status: contactless.StatusNotReady}}
	}
	if t.capabilities[0]&capContacts == 0 || t.isDevice() {
		return t.declined()
	}
	return contactless.Outcome{
		Kind: contactless.TryAnotherInterface, Alternate: contactless.AlternateContact, Data: t.keep(),
		UI: &contactless.UIRequest{Message: contactless.MessageInsertCard, Status: contactless.StatusNotReady, Hold: t.k.c.Hold},
	}
}

// capContacts is "IC with contacts" in byte 1 of the terminal capabilities.
const capContacts byte = 0x20

func (t *transaction) declined() contactless.Outcome {
	return contactless.Outcome{
		Kind: contactless.Declined, Data: t.keep(),
		UI: &contactless.UIRequest{Message: contactless.MessageNotAuthorised, Status: contactless.StatusNotReady, Hold: t.k.c.Hold},
	}
}

// isDevice reports whether the third party data name another form than a card
// (Book C-2, A.1.172): a device type, which is there when the unique identifier's
// first bit says so, other than "00".
func (t *transaction) isDevice() bool {
	v := t.d.Get(tags.FormFactorIndicator)
	if len(v) < 5 || v[2]&0x80 != 0 {
		return false
	}
	return len(v) >= 6 && string(v[4:6]) != "00"
}

// showBalance adds the balance after the transaction.
func (t *transaction) showBalance(u *contactless.UIRequest) {
	v := t.d.Get(tags.BalanceAfter)
	n, err := tlv.ParseN(v)
	if len(v) != 6 || err != nil {
		return
	}
	c := t.a.Transaction.Amount.Currency
	if code, err := tlv.ParseN(t.d.Get(tags.ApplicationCurrencyCode)); err == nil {
		if own, err := money.ByNumeric(uint16(code)); err == nil {
			c = own
		}
	}
	u.Qualifier, u.Value = contactless.ValueBalance, money.New(int64(n), c)
}

// relayInTrack2 tells the issuer about the relay resistance exchange in the
// discretionary data of track 2 where no signature covers it (S910.39): the CA key
// index, the counter, digits of the card's entropy, the time in milliseconds.
func (t *transaction) relayInTrack2() error {
	if t.d.Track2.IsZero() {
		return nil
	}
	pan := t.d.PAN.Len()
	index := byte(0)
	if v := t.d.Get(tags.CAPublicKeyIndex); len(v) == 1 && v[0] < 0x0A {
		index = v[0]
	}
	counter, _ := t.d.Value(tags.RelayCounter)
	e := t.relay.device
	dd := fmt.Sprintf("%d%d%05d", index, counter[0], binary.BigEndian.Uint16(e[2:]))
	if pan <= 16 {
		dd += fmt.Sprintf("%03d", e[1])
	}
	dd += fmt.Sprintf("%03d", min(t.relay.measured/10, 999))
	track := t.d.Track2.Reveal()
	i := bytes.IndexAny(track, "=D")
	if i < 0 || len(track) < i+8 {
		return nil
	}
	digits := append(bytes.Clone(track[:i+8]), dd...)
	defer clear(digits)
	digits[i] = 'D'
	b, err := packed(digits)
	if err != nil {
		return &emv.CardError{Step: emv.StepGenerate, Tag: tags.Track2, Reason: "can't hold the relay resistance data", Err: err}
	}
	t.d.Replace(tags.Track2, b)
	t.d.Track2.Wipe()
	t.d.Track2, err = secret.Track2FromTag(b)
	clear(b)
	return err
}

// packed packs digits and D two a byte, with F at the end of an odd number.
func packed(s []byte) ([]byte, error) {
	b := make([]byte, (len(s)+1)/2)
	if len(s)%2 != 0 {
		b[len(b)-1] = 0x0F
	}
	for i := range s {
		c := s[i]
		var v byte
		switch {
		case c >= '0' && c <= '9':
			v = c - '0'
		case c == 'D':
			v = 0x0D
		default:
			return nil, fmt.Errorf("character %d is no digit", i+1)
		}
		if i%2 == 0 {
			v <<= 4
		}
		b[i/2] |= v
	}
	return b, nil
}
