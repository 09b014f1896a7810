package c3

import (
	"bytes"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// Transaction types of tag 9C.
const (
	typeCash     = 0x01
	typeCashback = 0x09
	typeManual   = 0x17
)

// decide carries out what follows the reading (5.4.3 to 5.8).
func (t *transaction) decide() contactless.Outcome {
	switch {
	case !t.ofScheme():
		t.decline = true
		t.because("the card number is not of the scheme of application %X", t.a.AID[:5])
	case t.kind == tags.ARQC:
		t.online = true
	case t.kind == tags.TC:
		t.online = t.ttq.Has(tags.TTQOnlineCryptogramRequired)
	default:
		t.decline = true
		t.because("the card declined")
	}
	if out, switched := t.restrictions(); switched {
		return out
	}
	if out, switched := t.authenticate(); switched {
		return out
	}
	cvm := contactless.CVMNone
	if !t.decline {
		cvm = t.chooseCVM()
	}
	t.note(cvm)
	switch {
	case t.decline:
		return t.declined()
	case t.online && t.ttq.Has(tags.TTQOfflineOnly):
		t.because("the reader can't go online")
		return t.declined()
	case t.online:
		return t.goOnline(cvm)
	}
	return t.approved(cvm)
}

// restrictions are the checks of 5.5: expiry, exception file, usage control. They
// report an outcome that ends the transaction at once.
func (t *transaction) restrictions() (contactless.Outcome, bool) {
	if t.kind == tags.TC && t.expired() {
		if t.ctq.Has(tags.CTQOnlineIfExpired) {
			t.online = true
		} else {
			t.decline = true
		}
		t.because("the card has expired")
	}
	if x := t.k.c.Exceptions; t.kind == tags.TC && x != nil && x.Listed(t.d.PAN, t.d.PSN()) {
		t.decline = true
		t.because("the card is on the exception file")
	}
	cash := t.a.Transaction.Type == typeCash || t.a.Transaction.Type == typeManual
	if t.k.c.CheckCash && cash && !t.allowed(0, tags.AUCDomesticCash, tags.AUCInternationalCash) {
		t.because("the card is not for cash")
		if t.ctq.Has(tags.CTQSwitchForCash) {
			return anotherInterface(), true
		}
		t.decline = true
	}
	if t.k.c.CheckCashback && t.a.Transaction.Type == typeCashback && !t.allowed(1, tags.AUCDomesticCashback, tags.AUCInternationalCashback) {
		t.because("the card is not for cashback")
		if t.ctq.Has(tags.CTQSwitchForCashback) {
			return anotherInterface(), true
		}
		t.decline = true
	}
	return contactless.Outcome{}, false
}

// expired judges the expiration date; a card without one counts as expired
// (5.5.1.1).
func (t *transaction) expired() bool {
	d, err := emv.ParseDate(t.d.Get(tags.ExpirationDate))
	if err != nil {
		return true
	}
	y, m, day := t.a.Transaction.Time.Date()
	ye, me, de := d.Date()
	return y > ye || y == ye && (m > me || m == me && day > de)
}

// allowed looks at the application usage control; without it or the issuer's
// country nothing is (5.5.1.3, 5.5.1.4).
func (t *transaction) allowed(i int, home, abroad byte) bool {
	auc, country := t.d.Get(tags.AUC), t.d.Get(tags.IssuerCountryCode)
	if len(auc) != 2 || country == nil {
		return false
	}
	here, _ := t.d.Value(tags.TerminalCountryCode)
	if bytes.Equal(country, here) {
		return auc[i]&home != 0
	}
	return auc[i]&abroad != 0
}

func anotherInterface() contactless.Outcome {
	return contactless.Outcome{
		Kind: contactless.TryAnotherInterface,
		UI:   &contactless.UIRequest{Message: contactless.MessageInsertOrSwipe, Status: contactless.StatusProcessingError},
	}
}

// chooseCVM chooses the cardholder verification (5.7.1). It may set decline and
// online.
func (t *transaction) chooseCVM() contactless.CVM {
	required := t.ttq.Has(tags.TTQCVMRequired)
	if !t.hasCTQ {
		switch {
		case !required:
			return contactless.CVMNoCVM
		case t.ttq.Has(tags.TTQSignature):
			return contactless.CVMSignature
		case t.ttq.Has(tags.TTQOnlinePIN):
			t.online = true
			return contactless.CVMOnlinePIN
		}
		return t.noCVM()
	}
	switch {
	case t.ctq.Has(tags.CTQOnlinePINRequired) && t.ttq.Has(tags.TTQOnlinePIN):
		t.online = true
		return contactless.CVMOnlinePIN
	case t.ctq.Has(tags.CTQConsumerDeviceCVM):
		return t.deviceCVM()
	case t.ctq.Has(tags.CTQSignatureRequired) && t.ttq.Has(tags.TTQSignature):
		return contactless.CVMSignature
	case required:
		return t.noCVM()
	}
	return contactless.CVMNoCVM
}

func (t *transaction) noCVM() contactless.CVM {
	t.decline = true
	t.because("the cardholder has to be verified, and card and reader have no method in common")
	return contactless.CVMNone
}

// deviceCVM takes the card's word that its holder was verified on the device: the
// qualifiers among the authenticated data must be the same; without those, only
// the issuer can tell (5.7.1.2).
func (t *transaction) deviceCVM() contactless.CVM {
	related := t.d.Get(tags.CardAuthenticationRelatedData)
	switch {
	case len(related) >= 7:
		if !bytes.Equal(related[5:7], t.ctq[:]) {
			t.decline = true
			t.because("the card's qualifiers are not those that it authenticates")
			return contactless.CVMNone
		}
	case t.kind != tags.ARQC:
		t.decline = true
		t.because("verification on the device is claimed and not authenticated")
		return contactless.CVMNone
	}
	return contactless.CVMConfirmationCode
}

// note writes what was chosen into the CVM Results, by which the issuer compares
// it with what the card signed: the kernel's own are none (Book C-3, 5.7), and
// acquirers take those of EMV 4.4 Book 4, A4.
func (t *transaction) note(cvm contactless.CVM) {
	t.d.Method = cvm
	results := map[contactless.CVM]tags.CVMResultsValue{
		contactless.CVMNoCVM:            {byte(tags.CVMNone), 0, tags.CVMResultSuccessful},
		contactless.CVMSignature:        {byte(tags.CVMSignature), 0, tags.CVMResultUnknown},
		contactless.CVMOnlinePIN:        {byte(tags.CVMOnlinePIN), 0, tags.CVMResultUnknown},
		contactless.CVMConfirmationCode: {byte(tags.CVMPlaintextPIN), 0, tags.CVMResultSuccessful},
	}
	if v, ok := results[cvm]; ok {
		t.d.CVM = &v
	}
}

// risks are what the protocol does not authenticate.
func (t *transaction) risks(cvm contactless.CVM) []string {
	out := []string{"how far away the card is was not measured: a relay would not be noticed"}
	if t.d.ODA.OK {
		return out
	}
	out = append(out, "nothing of the card was authenticated here: its number, dates and qualifiers are its word until the issuer answers")
	switch {
	case cvm == contactless.CVMConfirmationCode:
		out = append(out, "that the device verified its holder is its word: the issuer sees in the cryptogram whether it did")
	case cvm == contactless.CVMSignature && t.hasCTQ:
		out = append(out, "that a signature will do is the card's word")
	}
	return out
}
