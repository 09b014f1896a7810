package emv

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// OnlineRequest is what an authorisation request says about the card. PAN and
// Track2 are wiped with the session.
type OnlineRequest struct {
	s interface{ Field55(...tlv.Tag) []byte }

	PAN secret.PAN
	// PSN is the PAN sequence number, two digits, empty for none.
	PSN string
	// Expiry is YYMM.
	Expiry string
	Track2 secret.Track2
	CVM    CVMethod
}

// Field55 returns the present values of tags as BER-TLV in the order asked for;
// absent ones are left out. Without tags it takes RequestTags. It reads the
// session as it is now, which after Close has nothing of the card.
func (r OnlineRequest) Field55(list ...tlv.Tag) []byte {
	if r.s == nil {
		return nil
	}
	if len(list) == 0 {
		list = RequestTags()
	}
	return r.s.Field55(list...)
}

// Completion55 is Field55 of CompletionTags: what a message after the second
// GENERATE AC carries.
func (r OnlineRequest) Completion55() []byte { return r.Field55(CompletionTags()...) }

// CVMethod is the cardholder verification that counts in the end.
type CVMethod struct {
	results tags.CVMResultsValue
	// device: the consumer's device verified its holder.
	device bool
}

// DeviceCVM is the method of a contactless device that verified its holder
// itself (EMV Contactless Book A, 5.9).
func DeviceCVM() CVMethod { return CVMethod{device: true} }

// MethodOf is the method that CVM results name.
func MethodOf(r tags.CVMResultsValue) CVMethod { return CVMethod{results: r} }

// Device reports whether the consumer's device verified its holder.
func (m CVMethod) Device() bool { return m.device }

// Code returns the method's code; tags.CVMNotAvailable when none was carried
// out.
func (m CVMethod) Code() tags.CVM {
	if m.results == (tags.CVMResultsValue{}) {
		return tags.CVMNotAvailable
	}
	return m.results.CVM().Method()
}

// Failed reports that verification was not successful.
func (m CVMethod) Failed() bool { return m.results[2] == tags.CVMResultFailed }

// String returns the method in words.
func (m CVMethod) String() string {
	if m.device {
		return "verified by the cardholder's device"
	}
	s := m.Code().String()
	if m.Failed() {
		s += ": failed"
	}
	return s
}

// Signature reports whether the cardholder has to sign.
func (m CVMethod) Signature() bool {
	c := m.Code()
	return !m.Failed() && (c == tags.CVMSignature || c == tags.CVMPlaintextPINSignature || c == tags.CVMEncipheredPINSignature)
}

// Statement is the line for a receipt, empty when there is nothing to state.
func (m CVMethod) Statement() string {
	switch {
	case m.device:
		return "VERIFIED BY DEVICE"
	case m.Failed():
		return "NOT VERIFIED"
	}
	switch m.Code() {
	case tags.CVMPlaintextPIN, tags.CVMEncipheredPIN:
		return "PIN VERIFIED"
	case tags.CVMOnlinePIN:
		return "PIN ENTERED"
	case tags.CVMPlaintextPINSignature, tags.CVMEncipheredPINSignature:
		return "PIN VERIFIED, SIGNATURE"
	case tags.CVMSignature:
		return "SIGNATURE"
	}
	return "NO VERIFICATION"
}

// RequestTags are the data objects of an authorisation request's field 55.
func RequestTags() []tlv.Tag {
	return []tlv.Tag{
		tags.ApplicationCryptogram, tags.CID, tags.IssuerApplicationData, tags.UnpredictableNumber, tags.ATC,
		tags.TVR, tags.TransactionDate, tags.TransactionType, tags.AmountAuthorised, tags.TransactionCurrencyCode,
		tags.AIP, tags.TerminalCountryCode, tags.AmountOther, tags.TerminalCapabilities, tags.CVMResults,
		tags.TerminalType, tags.IFDSerialNumber, tags.DFName, tags.TerminalVersionNumber,
		tags.TransactionSequenceCounter, tags.PANSequenceNumber,
	}
}

// CompletionTags are the data objects of a completion's field 55.
func CompletionTags() []tlv.Tag {
	return []tlv.Tag{
		tags.ApplicationCryptogram, tags.CID, tags.IssuerApplicationData, tags.UnpredictableNumber, tags.ATC,
		tags.TVR, tags.TSI, tags.CVMResults, tags.TransactionDate, tags.TransactionType, tags.AmountAuthorised,
		tags.TransactionCurrencyCode, tags.AIP, tags.TerminalCountryCode, tags.AmountOther, tags.DFName,
		tags.IssuerScriptResults,
	}
}

// Authorize returns what to ask the issuer. It makes sense after a Decision of
// Online, and before Close.
func (s *Session) Authorize() OnlineRequest {
	r := OnlineRequest{s: s, PAN: s.pan, PSN: s.psn(), Track2: s.track2, CVM: CVMethod{results: s.cvm}}
	if d := s.get(tags.ExpirationDate); len(d) == 3 {
		r.Expiry = fmt.Sprintf("%X", d[:2])
	}
	return r
}

// Field55 returns the present values of tags as BER-TLV in the order asked for;
// absent ones are left out.
func (s *Session) Field55(list ...tlv.Tag) []byte {
	if len(s.scriptResults) > 0 {
		s.fromTerminal[tags.IssuerScriptResults] = s.scriptResults
	}
	return s.field55(list)
}

func (s *Session) psn() string {
	if v := s.get(tags.PANSequenceNumber); len(v) == 1 {
		return fmt.Sprintf("%02X", v[0])
	}
	return ""
}

func (s *Session) recent(l TransactionLog) money.Amount {
	return money.New(l.Recent(s.pan, s.psn(), s.t.Amount.Currency), s.t.Amount.Currency)
}

// Outcome is how a transaction stands. It holds no secret.
type Outcome struct {
	Decision Decision
	// CryptogramType and Cryptogram are the card's last ones.
	CryptogramType tags.Cryptogram
	Cryptogram     []byte
	// CID is the card's last cryptogram information: a reason code and
	// whether it wants an advice sent.
	CID           tags.CIDValue
	TVR           tags.TVRValue
	TSI           tags.TSIValue
	CVMResults    tags.CVMResultsValue
	CVM           CVMethod
	ODA           ODA
	AID           []byte
	Label         string
	PreferredName string
	// ARC is tag 8A, the issuer's or the terminal's own.
	ARC string
	// ScriptResults is five bytes a script (Book 4, A5).
	ScriptResults []byte
	// Reasons say in words what went against the transaction.
	Reasons []string
	// Risks say in words what a contactless kernel could not check and left to
	// the issuer, or to nobody.
	Risks []string
}

// Name is the application's name for a receipt.
func (o Outcome) Name() string {
	return Candidate{AID: o.AID, Label: o.Label, PreferredName: o.PreferredName}.Name()
}

// Outcome returns how the transaction stands.
func (s *Session) Outcome() Outcome {
	return Outcome{
		Decision:       s.decision,
		CryptogramType: s.cryptogram,
		CID:            s.cid,
		Cryptogram:     bytes.Clone(s.get(tags.ApplicationCryptogram)),
		TVR:            s.tvr,
		TSI:            s.tsi,
		CVMResults:     s.cvm,
		CVM:            CVMethod{results: s.cvm},
		ODA:            s.oda,
		AID:            bytes.Clone(s.cand.AID),
		Label:          s.cand.Label,
		PreferredName:  s.cand.PreferredName,
		ARC:            string(s.fromTerminal[tags.ARC]),
		ScriptResults:  bytes.Clone(s.scriptResults),
		Reasons:        slices.Clone(s.reasons),
	}
}
