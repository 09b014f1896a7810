package acquirer

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// Message is an ISO 8583 message in typed members; a zero member is absent.
// Numbers in the comments are those of ISO 8583:1987; a dialect may carry the
// member elsewhere. Strings are as they stand in the 1987 message, leading
// zeros included; a Dialect translates.
type Message struct {
	MTI              string         // message type, "0200"; a repeat ends in 1
	PAN              secret.PAN     // 2
	ProcessingCode   string         // 3, six digits: type, from account, to account
	Amount           *money.Amount  // 4 and 49
	TransmissionTime time.Time      // 7, UTC
	STAN             string         // 11, six digits, not all zero
	LocalTime        time.Time      // 12 and 13, the wall clock of the terminal; unpacked as UTC
	Expiry           string         // 14, YYMM
	SettlementDate   string         // 15, MMDD
	MerchantType     string         // 18, four digits of ISO 18245
	EntryMode        string         // 22, three digits: how the PAN was read, PIN capability
	PSN              string         // 23, "001"; two digits are taken as well
	NetworkID        string         // 24, three digits
	ConditionCode    string         // 25, two digits
	AcquirerID       string         // 32, up to 11 digits
	Track2           secret.Track2  // 35
	CVV2             secret.Bytes   // private: the value printed on the card, three or four digits
	RRN              string         // 37, twelve characters
	AuthCode         string         // 38, six characters
	ResponseCode     string         // 39, two characters
	TerminalID       string         // 41, up to eight characters
	MerchantID       string         // 42, up to fifteen characters
	MerchantName     string         // 43, up to forty characters: name and location
	PINBlock         []byte         // 52, enciphered: 8 bytes, or the 16 of format 4
	PINFormat        uint8          // 53, ISO 9564-1 format of PINBlock: 0 to 4
	PINKSN           []byte         // 53, 10 (TDES) or 12 (AES) bytes
	Other            []OtherAmount  // 54
	ICC              []byte         // 55, BER-TLV
	NetworkCode      string         // 70, three digits: what a 08xx is for
	Function         string         // 24 of 1993, three digits, where it is not the one that follows from the rest
	Totals           *Totals        // 50, 74-77, 86-89, 97
	Original         *Original      // 90
	Replacement      *money.Amount  // 95, actual amount of a partial reversal; currency of Amount
	Order            string         // private: the caller's order id, up to 64 printable ASCII
	MACKSN           []byte         // private: KSN of the MAC's key, 10 or 12 bytes
	Reason           Reason         // private (1993: 25): why a reversal or advice is sent
	MAC              []byte         // 64 or 128, 8 bytes; set by Open and Seal, left out by Pack
	Extra            map[int][]byte // other fields of the dialect, as they stand: digits, text or bytes
}

// Original identifies the request that a reversal, advice or completion is
// about (field 90).
type Original struct {
	MTI              string
	STAN             string
	TransmissionTime time.Time
	// AcquirerID is the acquirer of the original, "" when the same.
	AcquirerID string
}

// OtherAmount is one amount of field 54: a balance, or the cash of a sale with
// cashback.
type OtherAmount struct {
	// Account is the two digits of the account type, "00" unspecified.
	Account string
	// Type is the two digits of the amount type.
	Type string
	// Amount may be negative (a debit).
	Amount money.Amount
}

// Amount types of OtherAmount, as ISO 8583 lists them.
const (
	AmountLedgerBalance    = "01"
	AmountAvailableBalance = "02"
	AmountCashback         = "40"
	AmountTip              = "44" // gratuity, as schemes list it
)

// Totals are the sums of a 0500 or a 0510.
type Totals struct {
	Currency        money.Currency
	Credits         Total
	CreditReversals Total
	Debits          Total
	DebitReversals  Total
	// Net is credits less debits, reversals taken back; negative is a debit.
	Net int64
}

// Total is a number of transactions and their sum in minor units.
type Total struct {
	Count uint64
	Minor uint64
}

// Wipe zeroes what is secret: PAN, track, CVV2, PIN block, field 55, MAC, extra
// fields. The members are absent afterwards. The KSNs are public and stay.
func (m *Message) Wipe() {
	m.PAN.Wipe()
	m.Track2.Wipe()
	m.CVV2.Wipe()
	clear(m.PINBlock)
	clear(m.ICC)
	clear(m.MAC)
	for _, v := range m.Extra {
		clear(v)
	}
	m.PAN, m.Track2, m.CVV2 = secret.PAN{}, secret.Track2{}, secret.Bytes{}
	m.PINBlock, m.ICC, m.MAC, m.Extra = nil, nil, nil, nil
}

// Clone returns an independent copy, which needs its own Wipe.
func (m *Message) Clone() *Message {
	c := *m
	if !m.PAN.IsZero() {
		c.PAN = m.PAN.Clone()
	}
	if !m.Track2.IsZero() {
		c.Track2 = m.Track2.Clone()
	}
	if m.CVV2.Len() > 0 {
		c.CVV2 = secret.CopyBytes(m.CVV2.Reveal())
	}
	c.Amount, c.Replacement = clonePtr(m.Amount), clonePtr(m.Replacement)
	c.Totals, c.Original = clonePtr(m.Totals), clonePtr(m.Original)
	c.PINBlock, c.PINKSN = bytes.Clone(m.PINBlock), bytes.Clone(m.PINKSN)
	c.ICC, c.MACKSN, c.MAC = bytes.Clone(m.ICC), bytes.Clone(m.MACKSN), bytes.Clone(m.MAC)
	c.Other = slices.Clone(m.Other)
	if m.Extra != nil {
		c.Extra = maps.Clone(m.Extra)
		for k, v := range c.Extra {
			c.Extra[k] = bytes.Clone(v)
		}
	}
	return &c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
