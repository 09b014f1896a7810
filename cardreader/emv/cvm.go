package emv

import (
	"context"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// cvmOutcome is what became of one rule.
type cvmOutcome uint8

const (
	cvmFailed       cvmOutcome = iota
	cvmSuccessful              // 02 in CVM Results
	cvmUnknown                 // successful as far as the terminal can tell: 00
	cvmNotPerformed            // the terminal does not know or have the method
)

// verifyCardholder processes the CVM list (Book 3, 10.5).
func (s *Session) verifyCardholder(ctx context.Context) error {
	if !s.aip.Has(tags.AIPCVM) {
		s.tell(StepCVM, "the card does not ask for it")
		return nil
	}
	raw := s.get(tags.CVMList)
	if len(raw) == 0 {
		s.tvr.Set(tags.TVRICCDataMissing)
		s.tell(StepCVM, "the card has no CVM list")
		return nil
	}
	list, err := tags.ParseCVMList(raw)
	if err != nil {
		return &CardError{Step: StepCVM, Tag: tags.CVMList, Reason: "malformed", Err: err}
	}
	if len(list.Rules) == 0 {
		// 10.5: the same as no list.
		s.tvr.Set(tags.TVRICCDataMissing)
		return nil
	}
	s.tsi.Set(tags.TSICVMPerformed)
	for _, rule := range list.Rules {
		if !s.applies(rule, list) {
			continue
		}
		out, err := s.perform(ctx, rule.CVM.Method())
		if err != nil {
			return err
		}
		s.note(rule, out)
		switch {
		case out == cvmSuccessful || out == cvmUnknown:
			return nil
		case rule.CVM.Method() == tags.CVMFail, !rule.CVM.ContinueOnFailure():
			s.cvmUnsuccessful(rule.CVM.String())
			return nil
		}
		s.tell(StepCVM, "%s: not successful, the next rule applies", rule.CVM)
	}
	s.cvmUnsuccessful("no rule of the card's list is left")
	return nil
}

// cvmUnsuccessful ends the list. Results that name a method name the last one
// that was performed (Book 4, table 2 of 6.3.4.5).
func (s *Session) cvmUnsuccessful(why string) {
	s.cvm[2] = tags.CVMResultFailed
	s.tvr.Set(tags.TVRCVMFailed)
	s.because(StepCVM, "cardholder verification was not successful: %s", why)
}

// note writes a rule that was performed into the CVM Results.
func (s *Session) note(rule tags.CVMRule, out cvmOutcome) {
	result := tags.CVMResultFailed
	switch out {
	case cvmNotPerformed:
		return
	case cvmSuccessful:
		result = tags.CVMResultSuccessful
		s.tell(StepCVM, "%s: successful", rule.CVM)
	case cvmUnknown:
		result = tags.CVMResultUnknown
		s.tell(StepCVM, "%s: the terminal can't tell, others will", rule.CVM)
	}
	s.cvm = tags.CVMResultsValue{byte(rule.CVM), byte(rule.Condition), result}
}

// applies judges a rule's condition (Book 3, C3). One that the terminal does
// not know is not met.
func (s *Session) applies(rule tags.CVMRule, l tags.CVMListValue) bool {
	unattended := !s.k.c.Terminal.Type.Attended()
	switch rule.Condition {
	case tags.CVMAlways:
		return true
	case tags.CVMIfUnattendedCash:
		return s.cash() && unattended
	case tags.CVMIfNotCash:
		return !s.cash() && !s.cashback()
	case tags.CVMIfTerminalSupports:
		return s.supports(rule.CVM.Method())
	case tags.CVMIfManualCash:
		return s.cash() && !unattended
	case tags.CVMIfPurchaseCashback:
		return s.cashback()
	case tags.CVMIfCurrencyUnderX:
		return s.inCardCurrency() && s.t.Amount.Minor < int64(l.X)
	case tags.CVMIfCurrencyOverX:
		return s.inCardCurrency() && s.t.Amount.Minor > int64(l.X)
	case tags.CVMIfCurrencyUnderY:
		return s.inCardCurrency() && s.t.Amount.Minor < int64(l.Y)
	case tags.CVMIfCurrencyOverY:
		return s.inCardCurrency() && s.t.Amount.Minor > int64(l.Y)
	}
	return false
}

func (s *Session) inCardCurrency() bool {
	c := s.get(tags.ApplicationCurrencyCode)
	n, err := tlv.ParseN(c)
	return len(c) == 2 && err == nil && n == uint64(s.t.Amount.Currency.Numeric())
}

// supports reports whether the terminal has a method.
func (s *Session) supports(m tags.CVM) bool {
	c := s.k.c.Terminal.Capabilities
	switch m {
	case tags.CVMFail:
		return true
	case tags.CVMPlaintextPIN:
		return c.CVM(tags.CapPlaintextPIN)
	case tags.CVMOnlinePIN:
		return c.CVM(tags.CapOnlinePIN)
	case tags.CVMPlaintextPINSignature:
		return c.CVM(tags.CapPlaintextPIN) && c.CVM(tags.CapSignature)
	case tags.CVMEncipheredPIN:
		return c.CVM(tags.CapEncipheredPIN)
	case tags.CVMEncipheredPINSignature:
		return c.CVM(tags.CapEncipheredPIN) && c.CVM(tags.CapSignature)
	case tags.CVMSignature:
		return c.CVM(tags.CapSignature)
	case tags.CVMNone:
		return c.CVM(tags.CapNoCVM)
	}
	return false
}

// perform carries one method out.
func (s *Session) perform(ctx context.Context, m tags.CVM) (cvmOutcome, error) {
	if !s.supports(m) {
		s.unsupported(m)
		return cvmNotPerformed, nil
	}
	switch m {
	case tags.CVMNone:
		return cvmSuccessful, nil
	case tags.CVMSignature:
		return cvmUnknown, nil
	case tags.CVMOnlinePIN:
		return s.onlinePIN(ctx)
	case tags.CVMPlaintextPIN, tags.CVMPlaintextPINSignature:
		return s.offlinePIN(ctx, m, OfflinePlaintext)
	case tags.CVMEncipheredPIN, tags.CVMEncipheredPINSignature:
		return s.offlinePIN(ctx, m, OfflineEnciphered)
	}
	return cvmFailed, nil
}

// unsupported sets the bits for a method that the terminal can't carry out
// (Book 3, 10.5, 10.5.1 and 10.5.2).
func (s *Session) unsupported(m tags.CVM) {
	c := s.k.c.Terminal.Capabilities
	switch m {
	case tags.CVMPlaintextPIN, tags.CVMPlaintextPINSignature, tags.CVMEncipheredPIN, tags.CVMEncipheredPINSignature:
		// A terminal with one of the two has offline PIN: 10.5.1's footnote.
		if !c.CVM(tags.CapPlaintextPIN) && !c.CVM(tags.CapEncipheredPIN) {
			s.tvr.Set(tags.TVRPINPadAbsent)
		}
	case tags.CVMOnlinePIN:
		s.tvr.Set(tags.TVRPINPadAbsent)
	case tags.CVMSignature, tags.CVMNone:
	default:
		s.tvr.Set(tags.TVRUnrecognisedCVM)
	}
}

func (s *Session) pinRequest(m PINMethod) PINRequest {
	return PINRequest{Method: m, PAN: s.pan, Card: s.card, TriesLeft: -1, Amount: s.t.Amount, Label: s.cand.Name(), Languages: s.cand.Languages}
}

// entered judges how an entry ended; false means that the method failed.
func (s *Session) entered(r PINResult) bool {
	switch r.Entry {
	case PINEntered:
		return true
	case PINBypassed:
		s.bypassed = true
		s.tvr.Set(tags.TVRPINNotEntered)
		s.because(StepCVM, "the PIN was not entered")
	default:
		s.tvr.Set(tags.TVRPINPadAbsent)
		s.because(StepCVM, "the PIN pad does not work")
	}
	return false
}

func (s *Session) onlinePIN(ctx context.Context) (cvmOutcome, error) {
	if s.bypassed {
		return cvmFailed, nil
	}
	began := s.k.c.Now()
	r, err := s.k.c.PIN.VerifyPIN(ctx, s.pinRequest(OnlinePIN))
	if err != nil {
		return cvmFailed, fmt.Errorf("emv: %s: online PIN: %w", StepCVM, err)
	}
	if !s.entered(r) {
		return cvmFailed, nil
	}
	s.tvr.Set(tags.TVROnlinePINEntered)
	s.k.c.Observe(Event{Step: StepCVM, Text: "online PIN entered and encrypted on the pad", Took: s.k.c.Now().Sub(began)})
	return cvmUnknown, nil
}

// offlinePIN lets the card verify a PIN until it is right, given up or blocked
// (Book 3, 10.5.1). With a signature on top the result is open. Whoever passed
// one PIN entry over is not asked for another (Book 4, 6.3.4.3).
func (s *Session) offlinePIN(ctx context.Context, m tags.CVM, how PINMethod) (cvmOutcome, error) {
	if s.bypassed {
		return cvmFailed, nil
	}
	right := cvmSuccessful
	if m == tags.CVMPlaintextPINSignature || m == tags.CVMEncipheredPINSignature {
		right = cvmUnknown
	}
	tries, err := s.pinTries(ctx)
	if err != nil {
		return cvmFailed, err
	}
	if tries == 0 {
		s.pinBlocked()
		return cvmFailed, nil
	}
	req := s.pinRequest(how)
	if how == OfflineEnciphered {
		if req.Key, err = s.pinKey(); err != nil {
			s.because(StepCVM, "no key to encipher the PIN under: %v", err)
			return cvmFailed, nil
		}
	}
	for req.TriesLeft = tries; ; req.Attempt++ {
		r, err := s.k.c.PIN.VerifyPIN(ctx, req)
		switch {
		case how == OfflineEnciphered && errors.Is(err, oda.ErrFailed):
			// No challenge, or a key that does nothing: the method fails, and
			// the transaction goes on (Book 2, 7.2).
			s.because(StepCVM, "the PIN could not be enciphered: %v", err)
			return cvmFailed, nil
		case errors.Is(err, apdu.ErrMalformed):
			return cvmFailed, &CardError{Step: StepCVM, Reason: "VERIFY: no response APDU", Err: err}
		case err != nil:
			return cvmFailed, fmt.Errorf("emv: %s: %s: %w", StepCVM, req.Method, err)
		}
		if !s.entered(r) {
			return cvmFailed, nil
		}
		s.tell(StepCVM, "VERIFY: %s", r.Status.Meaning())
		left, wrong := r.Status.TriesLeft()
		switch {
		case r.Status.OK():
			return right, nil
		case wrong && left == 0, r.Status == apdu.StatusBlocked, r.Status == apdu.StatusReferenceInvalidated:
			s.pinBlocked()
			return cvmFailed, nil
		case wrong:
			req.TriesLeft = left
		default:
			return cvmFailed, &StatusError{StepCVM, "VERIFY", r.Status}
		}
		// A counter of 4 bits ends; a card that counts up does not.
		if req.Attempt > 15 {
			return cvmFailed, breach(StepCVM, tags.PINTryCounter, "the card never runs out of tries")
		}
	}
}

func (s *Session) pinBlocked() {
	s.tvr.Set(tags.TVRPINTryLimitExceeded)
	s.because(StepCVM, "the PIN try limit is exceeded")
}

// pinTries reads the PIN try counter, -1 where the card does not tell.
func (s *Session) pinTries(ctx context.Context) (int, error) {
	v, err := s.getData(ctx, StepCVM, tags.PINTryCounter, "PIN try counter")
	if err != nil || len(v) != 1 {
		return -1, err
	}
	return int(v[0]), nil
}

// getData asks for an object that is in no record, nil when the card does not
// give it.
func (s *Session) getData(ctx context.Context, step Step, t tlv.Tag, name string) ([]byte, error) {
	r, err := s.send(ctx, step, "GET DATA "+name, apdu.GetData(uint16(t)))
	if err != nil || !r.SW.OK() {
		return nil, err
	}
	list, err := tlv.Parse(r.Data)
	if err != nil || len(list) != 1 || list[0].Tag != t {
		// 7.5: what can't be read counts as not given.
		return nil, nil
	}
	return append([]byte(nil), list[0].Value...), nil
}

// pinKey recovers the key to encipher a PIN under: the PIN encipherment key, or
// the card's own where not all of the other's objects were read (Book 2, 7.1).
func (s *Session) pinKey() (*oda.PublicKey, error) {
	if err := s.recoverIssuer(); err != nil {
		return nil, err
	}
	if cert := s.get(tags.PINEnciphermentCertificate); len(cert) > 0 {
		k, err := oda.RecoverPINKey(s.issuerKey.Key, cert, s.get(tags.PINEnciphermentRemainder), s.get(tags.PINEnciphermentExponent), s.pan, s.date())
		switch {
		case err == nil:
			return &k.Key, nil
		case !errors.Is(err, oda.ErrMissingData):
			return nil, err
		}
	}
	if s.iccKey != nil {
		return s.iccKey, nil
	}
	static, err := s.static()
	if err != nil {
		return nil, err
	}
	defer clear(static)
	k, err := s.recoverICC(static)
	if err != nil {
		return nil, err
	}
	return &k.Key, nil
}
