package c2

import (
	"context"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// chooseCVM is CVM selection (Book C-2, 7.5): the device's word where it verifies
// its holder, else the card's list under the reader's capabilities for the
// amount. Nothing is carried out by the kernel.
func (t *transaction) chooseCVM(context.Context) error {
	if t.device {
		t.byDevice()
		return nil
	}
	if !t.aip.Has(tags.AIPCVM) {
		t.choose(contactless.CVMNoCVM, tags.CVMResultsValue{byte(tags.CVMNotAvailable), 0, tags.CVMResultUnknown})
		return nil
	}
	raw := t.d.Get(tags.CVMList)
	if len(raw) == 0 {
		t.d.TVR.Set(tags.TVRICCDataMissing)
		t.choose(contactless.CVMNoCVM, tags.CVMResultsValue{byte(tags.CVMNotAvailable), 0, tags.CVMResultUnknown})
		return nil
	}
	list, err := tags.ParseCVMList(raw)
	if err != nil {
		return &emv.CardError{Step: emv.StepCVM, Tag: tags.CVMList, Reason: "malformed", Err: err}
	}
	terminal := t.a.Config.Terminal
	terminal.Capabilities = t.capabilities
	for n, rule := range list.Rules {
		if !emv.RuleApplies(terminal, t.a.Transaction, rule, list, t.d.Get) {
			continue
		}
		m := rule.CVM.Method()
		switch {
		case !known(m):
			t.d.TVR.Set(tags.TVRUnrecognisedCVM)
		case m != tags.CVMFail && emv.SupportsCVM(t.capabilities, m):
			t.take(rule)
			return nil
		}
		if rule.CVM.ContinueOnFailure() && n+1 < len(list.Rules) {
			// CVM.19: a rule that says "fail" too may leave it to the next.
			continue
		}
		results := tags.CVMResultsValue{byte(tags.CVMNotAvailable), 0, tags.CVMResultFailed}
		if m == tags.CVMFail {
			results = tags.CVMResultsValue{byte(rule.CVM), byte(rule.Condition), tags.CVMResultFailed}
		}
		t.unverified(results)
		return nil
	}
	t.unverified(tags.CVMResultsValue{byte(tags.CVMNotAvailable), 0, tags.CVMResultFailed})
	return nil
}

// byDevice takes the device's verification over the limit, none up to it (CVM.2
// to CVM.4). Whether it was carried out, only the cryptogram tells the issuer.
func (t *transaction) byDevice() {
	if t.over(t.k.c.CVMLimit) {
		t.choose(contactless.CVMConfirmationCode, tags.CVMResultsValue{byte(tags.CVMPlaintextPIN), 0, tags.CVMResultSuccessful})
		return
	}
	t.choose(contactless.CVMNoCVM, tags.CVMResultsValue{byte(tags.CVMNotAvailable), 0, tags.CVMResultSuccessful})
}

// offlinePIN are the methods of byte 2 of the terminal capabilities that the
// terminal may have by contact alone: a contactless card is sent no PIN, and one
// that nobody verified must not count as verified.
const offlinePIN = tags.CapPlaintextPIN | tags.CapEncipheredPIN

// take notes the method of a rule (CVM.18).
func (t *transaction) take(rule tags.CVMRule) {
	cvm, result := contactless.CVMNone, tags.CVMResultSuccessful
	switch rule.CVM.Method() {
	case tags.CVMOnlinePIN:
		cvm, result = contactless.CVMOnlinePIN, tags.CVMResultUnknown
		t.d.TVR.Set(tags.TVROnlinePINEntered)
	case tags.CVMSignature:
		cvm, result = contactless.CVMSignature, tags.CVMResultUnknown
		t.receipt = true
	case tags.CVMNone:
		cvm = contactless.CVMNoCVM
	}
	t.choose(cvm, tags.CVMResultsValue{byte(rule.CVM), byte(rule.Condition), result})
}

// unverified notes that no method was left (CVM.22 to CVM.25).
func (t *transaction) unverified(r tags.CVMResultsValue) {
	t.d.TVR.Set(tags.TVRCVMFailed)
	t.because("no way to verify the cardholder is left")
	t.choose(contactless.CVMNoCVM, r)
}

func (t *transaction) choose(cvm contactless.CVM, r tags.CVMResultsValue) {
	t.cvm, t.d.CVM = cvm, &r
	t.d.Method = cvm
	t.a.Tell(emv.StepCVM, "%s", cvm)
}

// known reports whether Book 3, C3 has the method. Offline PIN is, and is never
// supported: a contactless card takes none.
func known(m tags.CVM) bool {
	switch m {
	case tags.CVMFail, tags.CVMPlaintextPIN, tags.CVMOnlinePIN, tags.CVMPlaintextPINSignature, tags.CVMEncipheredPIN,
		tags.CVMEncipheredPINSignature, tags.CVMSignature, tags.CVMNone:
		return true
	}
	return false
}
