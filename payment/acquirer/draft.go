package acquirer

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// unpadded takes the fill off again.
func unpadded(v []byte) (string, string) {
	s := strings.TrimRight(string(v), " ")
	if s == "" {
		return "", "is blank"
	}
	return s, ""
}

func parseOthers(v []byte) ([]OtherAmount, string) {
	if len(v) == 0 || len(v)%20 != 0 {
		return nil, "is not made of amounts of 20 characters"
	}
	var out []OtherAmount
	for i := 0; i < len(v); i += 20 {
		p := string(v[i : i+20])
		if !digitsOnly(p[:7]) || !digitsOnly(p[8:]) || p[7] != 'C' && p[7] != 'D' {
			return nil, fmt.Sprintf("amount %d is malformed", i/20)
		}
		c, reason := parseCurrency(v[i+4 : i+7])
		if reason != "" {
			return nil, reason
		}
		n, _ := strconv.ParseInt(p[8:], 10, 64)
		if p[7] == 'D' {
			if n == 0 {
				return nil, fmt.Sprintf("amount %d is a negative zero", i/20)
			}
			n = -n
		}
		out = append(out, OtherAmount{Account: p[:2], Type: p[2:4], Amount: money.New(n, c)})
	}
	return out, ""
}

func parseCurrency(v []byte) (money.Currency, string) {
	n, err := strconv.ParseUint(string(v), 10, 16)
	if err != nil {
		return money.Currency{}, "is no currency"
	}
	c, err := money.ByNumeric(uint16(n))
	if err != nil {
		return money.Currency{}, "is an unknown currency"
	}
	return c, ""
}

// parsePrivate is the inverse of private, and takes nothing that private would
// not write.
func (w *draft) parsePrivate(v []byte) string {
	if len(v) == 0 {
		return "is empty"
	}
	for o, err := range tlv.All(v) {
		if err != nil {
			return "is no BER-TLV"
		}
		switch o.Tag {
		case tagMACKSN:
			w.m.MACKSN = bytes.Clone(o.Value)
		case tagOrder:
			w.m.Order = string(o.Value)
		case tagReason:
			w.m.Reason = Reason(o.Value)
		case tagCondition:
			w.m.ConditionCode = string(o.Value)
		case tagCVV2:
			w.m.CVV2 = secret.CopyBytes(o.Value)
		default:
			return "holds the unknown tag " + o.Tag.String()
		}
	}
	again, reason := w.d.private(&Message{MACKSN: w.m.MACKSN, Order: w.m.Order, Reason: w.m.Reason, ConditionCode: w.m.ConditionCode, CVV2: w.m.CVV2})
	defer clear(again)
	if reason == "" && !bytes.Equal(again, v) {
		reason = "is not in the dialect's form"
	}
	return reason
}

// draft is a message while its elements come in.
type draft struct {
	m        *Message
	d        *Dialect
	minor    *int64
	currency money.Currency
	replaced *int64
	clock    string // hhmmss
	date     string // MMDD
	security []byte
	secured  bool
	action   string
	function string
	totals   int
}

// set takes the value of an element and says what is wrong with it.
func (w *draft) set(mem Member, v []byte) (reason string) {
	m := w.m
	switch mem {
	case MemberPAN:
		var err error
		if m.PAN, err = secret.NewPAN(v); err != nil {
			return "is no PAN of 8 to 19 digits"
		}
	case MemberTrack2:
		m.Track2, reason = track2(v)
	case MemberAmount:
		n, _ := strconv.ParseInt(string(v), 10, 64)
		w.minor = &n
	case MemberCurrency:
		w.currency, reason = parseCurrency(v)
	case MemberReplacement:
		if string(v[12:]) != replacementRest || !digitsOnly(string(v[:12])) {
			return "holds more than a replacement amount"
		}
		n, _ := strconv.ParseInt(string(v[:12]), 10, 64)
		w.replaced = &n
	case MemberTransmissionTime:
		m.TransmissionTime, reason = w.d.dated(string(v))
	case MemberLocalTime:
		w.clock = string(v)
	case MemberLocalDate:
		w.date = string(v)
	case MemberLocalDateTime:
		m.LocalTime, reason = w.d.centuried(string(v))
	case MemberRRN:
		m.RRN, reason = unpadded(v)
	case MemberAuthCode:
		m.AuthCode, reason = unpadded(v)
	case MemberTerminalID:
		m.TerminalID, reason = unpadded(v)
	case MemberMerchantID:
		m.MerchantID, reason = unpadded(v)
	case MemberMerchantName:
		m.MerchantName, reason = unpadded(v)
		if len(m.MerchantName) != len(v) && w.d.members[mem].Prefix > 0 {
			return "ends in a space"
		}
	case MemberPointOfService:
		m.EntryMode, reason = parsePointOfService(v)
	case MemberActionCode:
		w.action = string(v)
	case MemberFunctionCode:
		w.function = string(v)
	case MemberPINBlock:
		m.PINBlock = bytes.Clone(v)
	case MemberPINSecurity:
		w.security, w.secured = bytes.Clone(v), true
	case MemberOther:
		m.Other, reason = parseOthers(v)
	case MemberICC:
		if len(v) == 0 {
			return "is empty"
		}
		m.ICC, reason = bytes.Clone(v), field55(v)
	case MemberOriginal, MemberOriginalElements:
		m.Original, reason = w.d.parseOriginal(mem, v)
	case MemberPrivate:
		reason = w.parsePrivate(v)
	default:
		if p := m.plain(mem); p != nil {
			if len(v) == 0 {
				return "is empty"
			}
			*p = string(v)
			return ""
		}
		if mem == MemberReason {
			m.Reason = Reason(v)
			return ""
		}
		if m.Totals == nil {
			m.Totals = &Totals{}
		}
		w.totals++
		reason = m.Totals.set(mem, v)
	}
	return reason
}

// plain is the member that holds an element's characters as they are.
func (m *Message) plain(mem Member) *string {
	switch mem {
	case MemberProcessingCode:
		return &m.ProcessingCode
	case MemberSTAN:
		return &m.STAN
	case MemberExpiry:
		return &m.Expiry
	case MemberSettlementDate:
		return &m.SettlementDate
	case MemberMerchantType:
		return &m.MerchantType
	case MemberEntryMode:
		return &m.EntryMode
	case MemberPSN:
		return &m.PSN
	case MemberNetworkID:
		return &m.NetworkID
	case MemberConditionCode:
		return &m.ConditionCode
	case MemberAcquirerID:
		return &m.AcquirerID
	case MemberResponseCode:
		return &m.ResponseCode
	case MemberNetworkCode:
		return &m.NetworkCode
	case MemberOrder:
		return &m.Order
	}
	return nil
}

// finish puts together what comes in several elements.
func (w *draft) finish() error {
	m, d := w.m, w.d
	if (w.minor != nil) == w.currency.IsZero() {
		return d.at(MemberAmount, "comes without its currency, or a currency without it")
	}
	if w.minor != nil {
		a := money.New(*w.minor, w.currency)
		m.Amount = &a
	}
	if w.replaced != nil {
		if m.Amount == nil || *w.replaced > m.Amount.Minor {
			return d.at(MemberReplacement, "is more than the amount")
		}
		a := money.New(*w.replaced, w.currency)
		m.Replacement = &a
	}
	if (w.clock == "") != (w.date == "") {
		return d.at(MemberLocalTime, "is a time without a date, or a date without a time")
	}
	if w.clock != "" {
		t, reason := d.dated(w.date + w.clock)
		if reason != "" {
			return d.at(MemberLocalDate, reason)
		}
		m.LocalTime = t
	}
	if w.secured || m.PINBlock != nil && d.members[MemberPINSecurity] != nil {
		if m.PINBlock == nil || len(w.security) == 0 {
			return d.at(MemberPINSecurity, "and the PIN block come together")
		}
		m.PINFormat = w.security[0]
		if len(w.security) > 1 {
			m.PINKSN = w.security[1:]
		}
	}
	if m.PINBlock != nil {
		if reason := pinShape(m.PINFormat, len(m.PINBlock), len(m.PINKSN)); reason != "" {
			return d.at(MemberPINBlock, reason)
		}
	}
	if w.action != "" {
		code, reason := d.responseOfAction(m.MTI, w.action)
		if reason != "" {
			return d.at(MemberActionCode, reason)
		}
		m.ResponseCode = code
	}
	if w.function != "" {
		if reason := d.setFunction(m, w.function); reason != "" {
			return d.at(MemberFunctionCode, reason)
		}
	} else if implied, _ := d.functionCode(m); implied != nil {
		return d.at(MemberFunctionCode, "is missing: of this transaction it is "+string(implied))
	}
	if m.Totals != nil && w.totals != totalsElements {
		return d.at(MemberNetSettlement, "and the other totals come together")
	}
	return nil
}

// track2 reads a track in ASCII with = as its separator, by way of the form of
// tag 57, which secret.Track2 takes.
func track2(v []byte) (secret.Track2, string) {
	var buf [19]byte
	defer clear(buf[:])
	if len(v) > 37 {
		return secret.Track2{}, "is no track 2"
	}
	b := buf[:(len(v)+1)/2]
	putBCD(b, v, RightF)
	t, err := secret.Track2FromTag(b)
	if err != nil {
		return secret.Track2{}, "is no track 2"
	}
	return t, ""
}
