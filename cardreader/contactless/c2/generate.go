package c2

import (
	"bytes"
	"context"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// stepRecover names RECOVER AC in errors and events.
const stepRecover emv.Step = "recovery of a torn transaction"

// Bits of byte 2 of the application capabilities information, 9F5D (Book C-2,
// A.1.9).
const (
	aciFieldOff byte = 0x04
	aciBalance  byte = 0x02
	aciCDAEver  byte = 0x01 // a combined signature over an AAC too
)

// capability reports a bit of the card's application capabilities information.
func (t *transaction) capability(bit byte) bool {
	v := t.d.Get(tags.AvailableOfflineSpending)
	return len(v) == 3 && v[1]&bit != 0
}

// balance reads the card's balance where it tells it (Book C-2, 7.1 and 7.3).
func (t *transaction) balance(ctx context.Context, into tlv.Tag) error {
	if !t.k.c.ReadBalance || !t.capability(aciBalance) {
		return nil
	}
	r, err := t.a.Send(ctx, emv.StepRead, "GET DATA balance", apdu.GetData(uint16(tags.OfflineAccumulatorBalance)))
	switch {
	case err != nil:
		return err
	case !r.SW.OK():
		return nil
	}
	// A balance that is not one is none.
	if list, err := tlv.Parse(r.Data); err == nil && len(list) == 1 && list[0].Tag == tags.OfflineAccumulatorBalance && len(list[0].Value) == 6 {
		t.d.Replace(into, list[0].Value)
	}
	return nil
}

// cryptogram recovers a torn transaction or asks for a cryptogram, and judges the
// answer (S456.43 to S11).
func (t *transaction) cryptogram(ctx context.Context) (contactless.Outcome, error) {
	if torn := t.k.torn.take(t.d.PAN, t.d.PSN(), t.a.Config.Now()); torn != nil && t.recoverable() && torn.of(t) {
		x := t.recover(torn)
		r, err := t.a.Send(ctx, stepRecover, "RECOVER AC", x.command)
		switch {
		case contactless.Lost(err):
			// S10.5: it stays torn.
			t.k.torn.put(torn)
			return t.presentAgain("the card was taken away while it was asked for its last answer"), nil
		case err != nil:
			torn.wipe()
			return contactless.Outcome{}, err
		case r.SW.OK():
			x.restore()
			return t.judge(ctx, r.Data, true)
		}
		torn.wipe()
	} else if torn != nil {
		torn.wipe()
	}
	return t.generate(ctx)
}

// generate sends GENERATE AC (Book C-2, 7.6).
func (t *transaction) generate(ctx context.Context) (contactless.Outcome, error) {
	if !t.cda || t.d.TVR.Has(tags.TVRCDAFailed) {
		if t.device {
			// GAC.23: a device whose word can't be authenticated.
			t.request = apdu.RefAAC
		}
	} else if t.request != apdu.RefAAC || t.capability(aciCDAEver) {
		t.signed = true
	}
	reference := t.request
	if t.signed {
		reference |= apdu.RefCDA
	}
	data, err := t.d.Fill(emv.StepGenerate, tags.CDOL1, t.d.Get(tags.CDOL1))
	if err != nil {
		return contactless.Outcome{}, err
	}
	t.cdol1 = data
	r, err := t.a.Send(ctx, emv.StepGenerate, "GENERATE AC for "+tags.Cryptogram(t.request).String(), apdu.GenerateAC(reference, data))
	switch {
	case contactless.Lost(err):
		return t.lostAtCryptogram()
	case err != nil:
		return contactless.Outcome{}, err
	case !r.SW.OK():
		return contactless.Outcome{}, &emv.StatusError{Step: emv.StepGenerate, Command: "GENERATE AC", SW: r.SW}
	}
	return t.judge(ctx, r.Data, false)
}

// judge takes the answer with the cryptogram (S9, S10, S910).
func (t *transaction) judge(ctx context.Context, b []byte, recovered bool) (contactless.Outcome, error) {
	objects, response, err := emv.ParseCryptogramResponse(b)
	if err != nil {
		return contactless.Outcome{}, err
	}
	if recovered && response == nil {
		return contactless.Outcome{}, &emv.CardError{Step: stepRecover, Tag: tags.ResponseFormat1, Reason: "the recovered answer is not format 2"}
	}
	if len(objects[tags.ATC]) != 2 || len(objects[tags.CID]) != 1 {
		return contactless.Outcome{}, &emv.CardError{Step: emv.StepGenerate, Tag: tags.CID, Reason: "CID or ATC missing, or of another length"}
	}
	kind := tags.CIDValue(objects[tags.CID][0]).Cryptogram()
	if !allowed(t.request, kind) {
		return contactless.Outcome{}, &emv.CardError{Step: emv.StepGenerate, Tag: tags.CID, Reason: "the card answers " + tags.Cryptogram(t.request).String() + " with " + kind.String()}
	}
	for _, tag := range []tlv.Tag{tags.ApplicationCryptogram, tags.IssuerApplicationData} {
		t.d.Replace(tag, nil)
	}
	for tag, v := range objects {
		t.d.Replace(tag, v)
	}
	t.d.Cryptogram = kind
	if err := t.balance(ctx, tags.BalanceAfter); err != nil && !contactless.Lost(err) {
		return contactless.Outcome{}, err
	}
	t.a.Show(contactless.UIRequest{Message: contactless.MessageClear, Status: contactless.StatusCardRead})
	if sdad := objects[tags.SignedDynamicData]; sdad != nil {
		if err := t.combined(sdad, response, objects); err != nil {
			t.d.TVR.Set(tags.TVRCDAFailed)
			t.d.ODA = emv.ODA{Method: emv.CDA, Reason: err.Error()}
			return contactless.Outcome{}, &emv.CardError{Step: emv.StepODA, Tag: tags.SignedDynamicData, Reason: "the combined signature does not verify", Err: err}
		}
		t.d.ODA = emv.ODA{Method: emv.CDA, OK: true}
		return t.valid(), nil
	}
	if len(objects[tags.ApplicationCryptogram]) != 8 {
		return contactless.Outcome{}, &emv.CardError{Step: emv.StepGenerate, Tag: tags.ApplicationCryptogram, Reason: "missing or not 8 bytes"}
	}
	if t.signed && (kind != tags.AAC || t.request == apdu.RefAAC) {
		// S910.35: what was to be signed is not.
		return contactless.Outcome{}, &emv.CardError{Step: emv.StepODA, Tag: tags.SignedDynamicData, Reason: "asked for and missing"}
	}
	if t.relay != nil && kind != tags.AAC {
		if err := t.relayInTrack2(); err != nil {
			return contactless.Outcome{}, err
		}
	}
	return t.valid(), nil
}

// allowed reports whether a card may give a cryptogram for what it was asked
// (S9.23).
func allowed(request byte, kind tags.Cryptogram) bool {
	switch kind {
	case tags.AAC:
		return true
	case tags.ARQC:
		return request == apdu.RefTC || request == apdu.RefARQC
	case tags.TC:
		return request == apdu.RefTC
	}
	return false
}

// combined verifies the combined signature and takes what it signs (S910.1 to
// S910.6).
func (t *transaction) combined(sdad, response []byte, objects map[tlv.Tag][]byte) error {
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
	un, _ := t.d.Value(tags.UnpredictableNumber)
	c, err := oda.VerifyCDA(icc.Key, sdad, un, oda.TransactionData(t.pdol, t.cdol1, nil, response))
	switch {
	case err != nil:
		return err
	case c.CID != objects[tags.CID][0]:
		return &oda.Failure{Step: oda.StepDynamic, Reason: "the signed cryptogram information is not the one outside"}
	case t.relay != nil && !bytes.Equal(c.More, t.relay.signedRelay()):
		return &oda.Failure{Step: oda.StepDynamic, Reason: "the signed relay resistance data are not those that were exchanged"}
	}
	t.d.Replace(tags.ApplicationCryptogram, c.Cryptogram[:])
	t.d.Replace(tags.ICCDynamicNumber, c.Number)
	return nil
}
