package tags

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// CVM is the method byte of a cardholder verification rule (EMV 4.4 Book 3,
// C3).
type CVM byte

// The methods, without the bit that says what follows a failure.
const (
	CVMFail                   CVM = 0x00
	CVMPlaintextPIN           CVM = 0x01
	CVMOnlinePIN              CVM = 0x02
	CVMPlaintextPINSignature  CVM = 0x03
	CVMEncipheredPIN          CVM = 0x04
	CVMEncipheredPINSignature CVM = 0x05
	CVMSignature              CVM = 0x1E
	CVMNone                   CVM = 0x1F
	CVMNotAvailable           CVM = 0x3F
)

// Method returns the method without bit 7.
func (c CVM) Method() CVM { return c & 0x3F }

// ContinueOnFailure reports whether the next rule applies when this one fails.
func (c CVM) ContinueOnFailure() bool { return c&0x40 != 0 }

// String returns the method in words.
func (c CVM) String() string {
	switch c.Method() {
	case CVMFail:
		return "Fail CVM processing"
	case CVMPlaintextPIN:
		return "Plaintext PIN verification performed by ICC"
	case CVMOnlinePIN:
		return "Enciphered PIN verified online"
	case CVMPlaintextPINSignature:
		return "Plaintext PIN verification performed by ICC and signature"
	case CVMEncipheredPIN:
		return "Enciphered PIN verification performed by ICC"
	case CVMEncipheredPINSignature:
		return "Enciphered PIN verification performed by ICC and signature"
	case CVMSignature:
		return "Signature"
	case 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F:
		// Biometrics come in pairs: verified by the card, and online.
		kind := [5]string{"Facial", "Finger", "Palm", "Iris", "Voice"}[(c.Method()-0x06)/2]
		if c&1 == 0 {
			return kind + " biometric verified offline"
		}
		return kind + " biometric verified online"
	case CVMNone:
		return "No CVM required"
	case CVMNotAvailable:
		return "No CVM performed"
	}
	return fmt.Sprintf("CVM %02X", byte(c.Method()))
}

// CVMCondition is the condition byte of a rule (Book 3, C3).
type CVMCondition byte

// The conditions.
const (
	CVMAlways                CVMCondition = 0x00
	CVMIfUnattendedCash      CVMCondition = 0x01
	CVMIfNotCash             CVMCondition = 0x02
	CVMIfTerminalSupports    CVMCondition = 0x03
	CVMIfManualCash          CVMCondition = 0x04
	CVMIfPurchaseCashback    CVMCondition = 0x05
	CVMIfCurrencyUnderX      CVMCondition = 0x06
	CVMIfCurrencyOverX       CVMCondition = 0x07
	CVMIfCurrencyUnderY      CVMCondition = 0x08
	CVMIfCurrencyOverY       CVMCondition = 0x09
	CVMConditionLastAssigned              = CVMIfCurrencyOverY
)

// String returns the condition in words.
func (c CVMCondition) String() string {
	switch c {
	case CVMAlways:
		return "Always"
	case CVMIfUnattendedCash:
		return "If unattended cash"
	case CVMIfNotCash:
		return "If not unattended cash and not manual cash and not purchase with cashback"
	case CVMIfTerminalSupports:
		return "If terminal supports the CVM"
	case CVMIfManualCash:
		return "If manual cash"
	case CVMIfPurchaseCashback:
		return "If purchase with cashback"
	case CVMIfCurrencyUnderX:
		return "If transaction is in the application currency and is under X value"
	case CVMIfCurrencyOverX:
		return "If transaction is in the application currency and is over X value"
	case CVMIfCurrencyUnderY:
		return "If transaction is in the application currency and is under Y value"
	case CVMIfCurrencyOverY:
		return "If transaction is in the application currency and is over Y value"
	}
	return fmt.Sprintf("Condition %02X", byte(c))
}

// CVMRule is one rule of a CVM list.
type CVMRule struct {
	CVM       CVM
	Condition CVMCondition
}

// CVMListValue is the CVM list, tag 8E: amounts X and Y in minor units of the
// application currency, and rules.
type CVMListValue struct {
	X, Y  uint32
	Rules []CVMRule
}

// ErrCVMList: a CVM list is shorter than its amounts or holds half a rule.
var ErrCVMList = errors.New("tags: malformed CVM list")

// ParseCVMList reads tag 8E. A list without rules is returned as such. Errors
// wrap ErrCVMList.
func ParseCVMList(b []byte) (CVMListValue, error) {
	if len(b) < 8 || len(b)%2 != 0 {
		return CVMListValue{}, fmt.Errorf("%w: %d bytes", ErrCVMList, len(b))
	}
	l := CVMListValue{X: binary.BigEndian.Uint32(b), Y: binary.BigEndian.Uint32(b[4:])}
	for i := 8; i < len(b); i += 2 {
		l.Rules = append(l.Rules, CVMRule{CVM(b[i]), CVMCondition(b[i+1])})
	}
	return l, nil
}

// Describe returns the rules in words.
func (l CVMListValue) Describe() []string {
	out := []string{}
	for _, r := range l.Rules {
		after := "fail"
		if r.CVM.ContinueOnFailure() {
			after = "next"
		}
		out = append(out, fmt.Sprintf("%s; %s; if unsuccessful: %s", r.CVM, r.Condition, after))
	}
	return out
}

// CVMResultsValue is the CVM Results, tag 9F34 (Book 4, A4): method, condition,
// result.
type CVMResultsValue [3]byte

// The results of the third byte.
const (
	CVMResultUnknown    byte = 0
	CVMResultFailed     byte = 1
	CVMResultSuccessful byte = 2
)

// CVM returns the method.
func (v CVMResultsValue) CVM() CVM { return CVM(v[0]) }

// String returns six hex digits.
func (v CVMResultsValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the three parts in words.
func (v CVMResultsValue) Describe() []string {
	r := fmt.Sprintf("result %02X", v[2])
	switch v[2] {
	case CVMResultUnknown:
		r = "Unknown"
	case CVMResultFailed:
		r = "Failed"
	case CVMResultSuccessful:
		r = "Successful"
	}
	return []string{v.CVM().String(), CVMCondition(v[1]).String(), r}
}
