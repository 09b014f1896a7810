package c3

import (
	"errors"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// authenticate is fast DDA (5.6): of a card that approves offline, and of one
// that goes online where card and reader have it for that. It reports an outcome
// that ends the transaction at once.
func (t *transaction) authenticate() (contactless.Outcome, bool) {
	offline := t.kind == tags.TC && !t.online
	forOnline := t.online && t.ttq.Has(tags.TTQODAForOnline) && t.aip.Has(tags.AIPDDA)
	if t.decline || !offline && !forOnline {
		return contactless.Outcome{}, false
	}
	t.d.ODA.Method = emv.DDA
	err := t.fdda()
	if err == nil {
		t.d.ODA.OK = true
		t.a.Tell(emv.StepODA, "fDDA: the card is authentic")
		return contactless.Outcome{}, false
	}
	t.d.ODA.Reason = err.Error()
	t.because("fDDA failed: %v", err)
	switch {
	case !offline && (errors.Is(err, oda.ErrMissingData) || errors.Is(err, oda.ErrNoCAKey)):
		// 5.4.2.1: what authentication for online takes is mandatory where
		// card and reader have it.
		return contactless.EndWith("what the card's authentication takes is not there"), true
	case !offline:
		t.decline = true
	case t.ctq.Has(tags.CTQOnlineIfODAFails) && !t.ttq.Has(tags.TTQOfflineOnly):
		t.online = true
	case t.ctq.Has(tags.CTQSwitchIfODAFails) && t.ttq.Has(tags.TTQContactChip):
		out := anotherInterface()
		out.Alternate = contactless.AlternateContact
		out.UI.Message = contactless.MessageInsertCard
		return out, true
	default:
		t.decline = true
	}
	return contactless.Outcome{}, false
}

// fdda verifies the chain of certificates and the dynamic signature, which is
// over the terminal's unpredictable number and, under version 01, amount,
// currency and the card authentication related data (Book C-3, annex C).
func (t *transaction) fdda() error {
	index := t.d.Get(tags.CAPublicKeyIndex)
	if len(index) != 1 {
		return &oda.Failure{Step: oda.StepCA, Reason: "the card names none", Err: oda.ErrMissingData}
	}
	now := t.a.Transaction.Time
	issuer, err := oda.RecoverIssuerFrom(t.k.c.CAKeys, oda.RID(t.a.AID[:5]), index[0],
		t.d.Get(tags.IssuerCertificate), t.d.Get(tags.IssuerRemainder), t.d.Get(tags.IssuerExponent), t.d.PAN, now)
	if err != nil {
		return err
	}
	static, err := oda.StaticData(t.d.Records, t.d.Get(tags.SDATagList), t.aip)
	if err != nil {
		return err
	}
	defer clear(static)
	icc, err := oda.RecoverICC(issuer.Key, t.d.Get(tags.ICCCertificate), t.d.Get(tags.ICCRemainder), t.d.Get(tags.ICCExponent), t.d.PAN, static, now)
	if err != nil {
		return err
	}
	related := t.d.Get(tags.CardAuthenticationRelatedData)
	if len(related) == 0 {
		return &oda.Failure{Step: oda.StepDynamic, Reason: "no card authentication related data", Err: oda.ErrMissingData}
	}
	un, _ := t.d.Value(tags.UnpredictableNumber)
	amount, _ := t.d.Value(tags.AmountAuthorised)
	currency, _ := t.d.Value(tags.TransactionCurrencyCode)
	if len(un) != 4 || len(amount) != 6 || len(currency) != 2 {
		return errors.New("c3: the terminal's data are incomplete")
	}
	data, err := oda.FDDAData([4]byte(un), [6]byte(amount), [2]byte(currency), related)
	if err != nil {
		return err
	}
	number, err := oda.VerifyDDA(icc.Key, t.d.Get(tags.SignedDynamicData), data)
	if err != nil {
		return err
	}
	t.d.Replace(tags.ICCDynamicNumber, number)
	return nil
}
