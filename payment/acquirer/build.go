package acquirer

import (
	"time"

	"github.com/payunit/payunit/payment/money"
)

// original returns the data elements that identify m.
func (m *Message) original() *Original {
	return &Original{MTI: m.MTI[:3] + "0", STAN: m.STAN, TransmissionTime: m.TransmissionTime, AcquirerID: m.AcquirerID}
}

// followUp begins a message about m: what identifies it, and no card data.
func (m *Message) followUp(mti string) (*Message, error) {
	if _, f, reason := parseMTI(m.MTI); reason != "" {
		return nil, invalid(0, reason)
	} else if f != '0' && f != '2' {
		return nil, invalid(0, "is that of an answer, which nothing follows")
	}
	return &Message{
		MTI: mti, ProcessingCode: m.ProcessingCode, Amount: clonePtr(m.Amount), TransmissionTime: m.TransmissionTime,
		STAN: m.STAN, LocalTime: m.LocalTime, MerchantType: m.MerchantType, EntryMode: m.EntryMode, PSN: m.PSN, NetworkID: m.NetworkID,
		ConditionCode: m.ConditionCode, AcquirerID: m.AcquirerID, RRN: m.RRN, TerminalID: m.TerminalID,
		MerchantID: m.MerchantID, MerchantName: m.MerchantName, Order: m.Order, Original: m.original(),
	}, nil
}

// Reversal makes the 0420 that takes m, a request or advice, back in whole. It
// has the STAN, RRN and times of m and m's data elements in Original, and no
// card data. Errors are *FieldError: m is an answer or no message.
func (m *Message) Reversal(reason Reason) (*Message, error) {
	r, err := m.followUp("0420")
	if err != nil {
		return nil, err
	}
	r.Reason = reason
	return r, nil
}

// PartialReversal makes a Reversal that leaves actual of the amount standing.
func (m *Message) PartialReversal(actual money.Amount) (*Message, error) {
	r, err := m.Reversal(ReasonPartial)
	if err != nil {
		return nil, err
	}
	r.Replacement = &actual
	return r, nil
}

// Completion makes the 0220 that tells the host how m, which was approved with
// authCode, ended: icc holds the card's final data. An amount other than m's,
// for the completion of a pre-authorisation, is set on the result.
func (m *Message) Completion(authCode string, icc []byte) (*Message, error) {
	c, err := m.followUp("0220")
	if err != nil {
		return nil, err
	}
	c.AuthCode, c.ICC = authCode, icc
	return c, nil
}

// Repeat makes the repeat of m: the same message with the repeat's type and
// without MAC and MAC KSN, which Seal wants fresh. Errors are *FieldError.
func (m *Message) Repeat() (*Message, error) {
	mti, err := RepeatMTI(m.MTI)
	if err != nil {
		return nil, err
	}
	c := m.Clone()
	c.MTI, c.MAC, c.MACKSN = mti, nil, nil
	return c, nil
}

// Response makes the answer to m with a response code: everything that Matches
// compares, the MAC KSN, and no card data. Errors are *FieldError.
func (m *Message) Response(code string) (*Message, error) {
	mti, err := ResponseMTI(m.MTI)
	if err != nil {
		return nil, err
	}
	r := &Message{
		MTI: mti, ResponseCode: code, ProcessingCode: m.ProcessingCode, Amount: clonePtr(m.Amount), TransmissionTime: m.TransmissionTime,
		STAN: m.STAN, LocalTime: m.LocalTime, NetworkID: m.NetworkID, AcquirerID: m.AcquirerID, RRN: m.RRN, TerminalID: m.TerminalID,
		MerchantID: m.MerchantID, NetworkCode: m.NetworkCode, Order: m.Order, Original: clonePtr(m.Original),
		MACKSN: append([]byte(nil), m.MACKSN...),
	}
	return r, nil
}

// NewNetworkManagement makes a 0800: sign-on, echo and so on.
func NewNetworkManagement(code, stan, terminal string, now time.Time) *Message {
	return &Message{MTI: "0800", NetworkCode: code, STAN: stan, TerminalID: terminal, TransmissionTime: now.UTC().Truncate(time.Second)}
}
