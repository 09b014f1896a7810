package c2

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// terminal sets the terminal's own data: the capabilities, whose byte 2 is not
// known before the amount is judged, and what the book adds (S1.9).
func (t *transaction) terminal(context.Context) error {
	t.capabilities = t.a.Config.Terminal.Capabilities
	t.setCapabilities(0)
	t.d.CVM = &tags.CVMResultsValue{}
	t.d.Set(tags.MobileSupportIndicator, []byte{0x01})
	t.d.Set(tags.TerminalVersionNumber, bytes.Clone(t.k.c.Application.Version[:]))
	if len(t.k.c.Application.RiskData) > 0 {
		t.d.Set(tags.TerminalRiskManagementData, t.k.c.Application.RiskData)
	}
	return nil
}

func (t *transaction) setCapabilities(cvm byte) {
	t.capabilities[1] = cvm
	t.d.Set(tags.TerminalCapabilities, t.capabilities[:])
}

// options sends GET PROCESSING OPTIONS and decides the mode (S1 to S3).
func (t *transaction) options(ctx context.Context) error {
	r, data, err := t.d.Options(ctx, t.a)
	switch {
	case contactless.Lost(err):
		// S3.5
		return stop{contactless.Outcome{Kind: contactless.TryAgain, Start: contactless.StartB, Reasons: []string{"the card was taken away before it was read"}}}
	case err != nil:
		return err
	case !r.SW.OK():
		// S3.9
		return stop{t.selectNext("GET PROCESSING OPTIONS was answered " + r.SW.String())}
	}
	t.pdol = data
	if err := t.d.TakeOptions(r.Data); err != nil {
		return err
	}
	aip := t.d.Get(tags.AIP)
	if len(aip) != 2 || len(t.d.Get(tags.AFL)) == 0 {
		return &emv.CardError{Step: emv.StepInitiate, Tag: tags.AIP, Reason: "AIP or AFL missing, or of another length"}
	}
	t.aip = tags.AIPValue(aip)
	if t.aip[1]&aipEMVMode == 0 {
		return &emv.CardError{Step: emv.StepInitiate, Tag: tags.AIP, Reason: "the card has no EMV mode, and magnetic stripe mode is not taken"}
	}
	t.device = t.aip.Has(tags.AIPOnDeviceCVM) && !t.k.c.NoDeviceCVM
	return nil
}

// read reads the records and sees what authentication there will be (S3R1, S4).
func (t *transaction) read(ctx context.Context) error {
	t.cda = t.aip.Has(tags.AIPCDA) && t.capabilities.Security(tags.CapCDA)
	if !t.cda {
		t.d.TVR.Set(tags.TVRODANotPerformed)
	}
	return t.d.ReadRecords(ctx, t.a)
}

// lengths are those that the steps below rely on.
var lengths = [...]struct {
	tag      tlv.Tag
	min, max int
}{
	{tags.ExpirationDate, 3, 3}, {tags.EffectiveDate, 3, 3}, {tags.PANSequenceNumber, 1, 1}, {tags.AUC, 2, 2}, {tags.IssuerCountryCode, 2, 2},
	{tags.ApplicationCurrencyCode, 2, 2}, {tags.CardVersionNumber, 2, 2}, {tags.CAPublicKeyIndex, 1, 1},
	{tags.IACDefault, 5, 5}, {tags.IACDenial, 5, 5}, {tags.IACOnline, 5, 5},
}

// check judges the amount against the reader's limit and looks for what the card
// has to have given (S456.12 to S456.30).
func (t *transaction) check(ctx context.Context) error {
	limit := t.k.c.TransactionLimit
	if t.device {
		limit = t.k.c.DeviceLimit
	}
	if t.over(limit) {
		return stop{t.selectNext("the amount is over the contactless limit")}
	}
	for _, tag := range []tlv.Tag{tags.ExpirationDate, tags.PAN, tags.CDOL1} {
		if t.d.Get(tag) == nil {
			return &emv.CardError{Step: emv.StepRead, Tag: tag, Reason: "mandatory and missing"}
		}
	}
	for _, l := range lengths {
		if v := t.d.Get(l.tag); v != nil && (len(v) < l.min || len(v) > l.max) {
			return &emv.CardError{Step: emv.StepRead, Tag: l.tag, Reason: fmt.Sprintf("%d bytes, want %d to %d", len(v), l.min, l.max)}
		}
	}
	if err := t.d.Identify(); err != nil {
		return err
	}
	if !t.ofScheme() {
		t.because("the card number is not of the scheme of application %X", t.a.AID[:5])
		return stop{t.declined()}
	}
	if t.cda {
		if err := t.checkKeys(); err != nil {
			return err
		}
	}
	t.setCapabilities(t.k.c.CVMNotRequired)
	if t.over(t.k.c.CVMLimit) {
		t.receipt = true
		required := t.k.c.CVMRequired
		if required == 0 {
			required = t.a.Config.Terminal.Capabilities[1]
		}
		t.setCapabilities(required &^ offlinePIN)
	}
	return t.balance(ctx, tags.BalanceBefore)
}

// checkKeys notes what a combined signature will lack (S456.25 to S456.27).
func (t *transaction) checkKeys() error {
	for _, tag := range []tlv.Tag{tags.CAPublicKeyIndex, tags.IssuerCertificate, tags.IssuerExponent, tags.ICCCertificate, tags.ICCExponent, tags.SDATagList} {
		if t.d.Get(tag) == nil {
			t.d.TVR.Set(tags.TVRICCDataMissing)
			t.d.TVR.Set(tags.TVRCDAFailed)
		}
	}
	if index := t.d.Get(tags.CAPublicKeyIndex); len(index) == 1 {
		if _, ok := t.k.c.CAKeys.CAKey(oda.RID(t.a.AID[:5]), index[0]); !ok {
			t.d.TVR.Set(tags.TVRCDAFailed)
			t.because("the certification authority's key %02X is not there", index[0])
		}
	}
	if list := t.d.Get(tags.SDATagList); list != nil && !bytes.Equal(list, []byte{byte(tags.AIP)}) {
		return &emv.CardError{Step: emv.StepODA, Tag: tags.SDATagList, Reason: "names something else than the AIP"}
	}
	return nil
}

// ofScheme reports whether the card number is one of the combination's scheme.
func (t *transaction) ofScheme() bool {
	if t.k.c.Accounts == nil {
		return true
	}
	pan := string(t.d.PAN.Reveal())
	for _, a := range t.k.c.Accounts {
		if strings.HasPrefix(pan, a) {
			return true
		}
	}
	return false
}

// restrict are the processing restrictions (Book C-2, 7.7).
func (t *transaction) restrict(ctx context.Context) error {
	tvr, why, err := emv.Restrictions(ctx, t.a.Config.Terminal, t.k.c.Application, t.a.Transaction, t.d.TVR, t.d.Get)
	t.d.TVR = tvr
	t.reasons = append(t.reasons, why...)
	return err
}

// analyse is terminal action analysis (Book C-2, 7.8).
func (t *transaction) analyse(context.Context) error {
	if x := t.k.c.Exceptions; x != nil && x.Listed(t.d.PAN, t.d.PSN()) {
		t.d.TVR.Set(tags.TVRExceptionFile)
		t.because("the card is on the exception file")
	}
	if t.over(t.k.c.FloorLimit) {
		t.d.TVR.Set(tags.TVRFloorLimitExceeded)
	}
	if t.a.Transaction.ForceOnline {
		t.d.TVR.Set(tags.TVRMerchantForcedOnline)
	}
	var why []string
	t.request, why = emv.ActionAnalysis(t.a.Config.Terminal, t.k.c.Application, t.d.TVR, t.d.Get)
	if t.a.Transaction.ForceOnline && t.request == apdu.RefTC {
		// Whatever the action codes make of that bit.
		t.request = apdu.RefARQC
	}
	if len(why) > 0 {
		// Byte 5 of the TVR means other things here than by contact: the bits
		// are not put in words.
		t.because("an action code denies it: TVR %s", t.d.TVR)
	}
	t.a.Tell(emv.StepAction, "TVR %s: ask the card for %s", t.d.TVR, tags.Cryptogram(t.request))
	return nil
}
