package acquirer

import (
	"fmt"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// names are the members as errors call them.
var names = [memberCount]string{
	"none", "PAN", "ProcessingCode", "Amount", "TransmissionTime", "STAN", "LocalTime", "LocalTime (date)",
	"LocalTime (date and time)", "Expiry", "SettlementDate", "MerchantType", "EntryMode", "EntryMode (point of service)",
	"PSN", "NetworkID", "ConditionCode", "AcquirerID", "Track2", "RRN", "AuthCode", "ResponseCode", "ResponseCode (action code)",
	"TerminalID", "MerchantID", "MerchantName", "Amount (currency)", "Totals (currency)", "PINBlock", "PINFormat and PINKSN",
	"Other", "ICC", "NetworkCode", "Function", "Totals (credits)", "Totals (credit reversals)", "Totals (debits)", "Totals (debit reversals)",
	"Totals (credit amount)", "Totals (credit reversal amount)", "Totals (debit amount)", "Totals (debit reversal amount)",
	"Totals (net)", "Original", "Original (data elements)", "Replacement", "Order", "Reason", "private data", "MAC",
}

// String names the member of Message.
func (m Member) String() string {
	if m < memberCount {
		return names[m]
	}
	return fmt.Sprintf("member %d", uint8(m))
}

// otherForm is the form in which another edition writes the same member.
func (m Member) otherForm() Member {
	switch m {
	case MemberLocalTime, MemberLocalDate:
		return MemberLocalDateTime
	case MemberLocalDateTime:
		return MemberLocalTime
	case MemberEntryMode:
		return MemberPointOfService
	case MemberPointOfService:
		return MemberEntryMode
	case MemberResponseCode:
		return MemberActionCode
	case MemberActionCode:
		return MemberResponseCode
	case MemberNetworkCode:
		return MemberFunctionCode
	case MemberOriginal:
		return MemberOriginalElements
	case MemberOriginalElements:
		return MemberOriginal
	}
	return NoMember
}

// home is the element that carries a member, in whatever form; nil when the
// dialect has none.
func (d *Dialect) home(m Member) *Element {
	if e := d.members[m]; e != nil {
		return e
	}
	if o := m.otherForm(); o != NoMember && d.members[o] != nil {
		return d.members[o]
	}
	if m == MemberMAC || m == MemberPrivate || !m.private() {
		return nil
	}
	return d.members[MemberPrivate]
}

// private reports whether a member goes into the private field when it has no
// element of its own.
func (m Member) private() bool {
	return m == MemberOrder || m == MemberReason || m == MemberConditionCode
}

// get returns a member as the value of its element, nil when it is absent, and
// what is wrong with it.
func (d *Dialect) get(mem Member, m *Message) (v []byte, reason string) {
	switch mem {
	case MemberPAN:
		return m.PAN.Reveal(), ""
	case MemberProcessingCode:
		return text(m.ProcessingCode), ""
	case MemberAmount:
		return amount(m.Amount, 12)
	case MemberCurrency:
		if m.Amount == nil {
			return nil, ""
		}
		return currency(m.Amount.Currency)
	case MemberReplacement:
		return replacement(m)
	case MemberTransmissionTime:
		return stamp(m.TransmissionTime.UTC(), "0102150405", m.TransmissionTime.IsZero())
	case MemberSTAN:
		return text(m.STAN), ""
	case MemberLocalTime:
		return stamp(m.LocalTime, "150405", m.LocalTime.IsZero())
	case MemberLocalDate:
		return stamp(m.LocalTime, "0102", m.LocalTime.IsZero())
	case MemberLocalDateTime:
		return stamp(m.LocalTime, "060102150405", m.LocalTime.IsZero())
	case MemberExpiry:
		return text(m.Expiry), ""
	case MemberSettlementDate:
		return text(m.SettlementDate), ""
	case MemberMerchantType:
		return text(m.MerchantType), ""
	case MemberEntryMode:
		return text(m.EntryMode), ""
	case MemberPointOfService:
		return pointOfService(m.EntryMode)
	case MemberPSN:
		if len(m.PSN) == 2 {
			return []byte("0" + m.PSN), ""
		}
		return text(m.PSN), ""
	case MemberNetworkID:
		return text(m.NetworkID), ""
	case MemberConditionCode:
		return text(m.ConditionCode), ""
	case MemberAcquirerID:
		return text(m.AcquirerID), ""
	case MemberTrack2:
		return m.Track2.Reveal(), ""
	case MemberRRN:
		return d.padded(mem, m.RRN)
	case MemberAuthCode:
		return d.padded(mem, m.AuthCode)
	case MemberResponseCode:
		return text(m.ResponseCode), ""
	case MemberActionCode:
		return d.actionCode(m)
	case MemberTerminalID:
		return d.padded(mem, m.TerminalID)
	case MemberMerchantID:
		return d.padded(mem, m.MerchantID)
	case MemberMerchantName:
		return d.padded(mem, m.MerchantName)
	case MemberPINBlock, MemberPINSecurity:
		return d.pin(mem, m)
	case MemberOther:
		return others(m.Other)
	case MemberICC:
		return m.ICC, field55(m.ICC)
	case MemberNetworkCode:
		return text(m.NetworkCode), ""
	case MemberFunctionCode:
		return d.functionCode(m)
	case MemberOriginal, MemberOriginalElements:
		return d.original(mem, m.Original)
	case MemberOrder:
		return text(m.Order), ""
	case MemberReason:
		return text(string(m.Reason)), ""
	case MemberPrivate:
		return d.private(m)
	}
	if m.Totals == nil {
		return nil, ""
	}
	return m.Totals.get(mem)
}

// text is the value of a string member, nil when it is empty.
func text(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// padded fills a text to the element's length, where that is fixed.
func (d *Dialect) padded(mem Member, s string) ([]byte, string) {
	if s == "" {
		return nil, ""
	}
	if strings.HasSuffix(s, " ") {
		return nil, "ends in a space"
	}
	b := []byte(s)
	if e := d.members[mem]; e != nil && e.Prefix == 0 {
		for len(b) < e.Length {
			b = append(b, ' ')
		}
	}
	return b, ""
}

func stamp(t time.Time, layout string, absent bool) ([]byte, string) {
	if absent {
		return nil, ""
	}
	return t.AppendFormat(make([]byte, 0, len(layout)), layout), ""
}

func amount(a *money.Amount, digits int) ([]byte, string) {
	if a == nil {
		return nil, ""
	}
	if a.Minor < 0 || a.Minor > money.MaxMinor {
		return nil, "is no amount of 0 to 12 digits"
	}
	return number(uint64(a.Minor), digits), ""
}

// number is n in that many digits, in which it fits.
func number(n uint64, digits int) []byte {
	b := make([]byte, digits)
	for i := digits - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

func currency(c money.Currency) ([]byte, string) {
	if c.IsZero() {
		return nil, "is no currency"
	}
	return number(uint64(c.Numeric()), 3), ""
}

// replacement makes 95: actual amount of the transaction, of the settlement and
// two fees, of which only the first is used.
func replacement(m *Message) ([]byte, string) {
	if m.Replacement == nil {
		return nil, ""
	}
	if m.Amount == nil || m.Amount.Currency != m.Replacement.Currency {
		return nil, "is in another currency than Amount"
	}
	if m.Replacement.Minor > m.Amount.Minor {
		return nil, "is more than Amount"
	}
	v, reason := amount(m.Replacement, 12)
	return append(v, replacementRest...), reason
}

const replacementRest = "000000000000C00000000C00000000"

// pin makes the fields of the PIN block.
func (d *Dialect) pin(mem Member, m *Message) ([]byte, string) {
	if mem == MemberPINSecurity && d.members[mem] == nil {
		return nil, "" // judged with the block
	}
	if m.PINBlock == nil {
		if len(m.PINKSN) > 0 || m.PINFormat != 0 {
			return nil, "is given without a PIN block"
		}
		return nil, ""
	}
	if reason := pinShape(m.PINFormat, len(m.PINBlock), len(m.PINKSN)); reason != "" {
		return nil, reason
	}
	if mem == MemberPINBlock {
		if d.members[MemberPINSecurity] == nil && (m.PINFormat != 0 || len(m.PINKSN) > 0) {
			return nil, "has a format or KSN, for which the dialect has no field"
		}
		return m.PINBlock, ""
	}
	return append([]byte{m.PINFormat}, m.PINKSN...), ""
}

// pinShape is the rule of ISO 9564-1: format 4 has 16 bytes, the others 8. A
// DUKPT KSN has 10 bytes (ANSI X9.24-1) or 12 (X9.24-3).
func pinShape(format uint8, block, ksn int) string {
	switch {
	case format > 4:
		return "names an unknown PIN block format"
	case format == 4 && block != 16 || format < 4 && block != 8:
		return "has a PIN block of another size than its format"
	case ksn != 0 && ksn != 10 && ksn != 12:
		return fmt.Sprintf("has a KSN of %d bytes, want 10 or 12", ksn)
	}
	return ""
}

// others makes 54: account type, amount type, currency, C or D, twelve digits
// (ISO 8583:1987 as amended; the same in 1993).
func others(list []OtherAmount) ([]byte, string) {
	if len(list) == 0 {
		return nil, ""
	}
	var out []byte
	for i, o := range list {
		sign, minor := byte('C'), o.Amount.Minor
		if minor < 0 {
			sign, minor = 'D', -minor
		}
		if len(o.Account) != 2 || len(o.Type) != 2 || !digitsOnly(o.Account+o.Type) || o.Amount.Currency.IsZero() || minor < 0 || minor > money.MaxMinor {
			return nil, fmt.Sprintf("amount %d can't be written", i)
		}
		out = fmt.Appendf(out, "%s%s%03d%c%012d", o.Account, o.Type, o.Amount.Currency.Numeric(), sign, minor)
	}
	return out, ""
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

func digitsOnly(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// Tags of the private field, primitive and of the private class.
const (
	tagMACKSN    tlv.Tag = 0xC1 // 10 or 12 bytes
	tagOrder     tlv.Tag = 0xC2 // up to 64 characters
	tagReason    tlv.Tag = 0xC3 // four digits in ASCII
	tagCondition tlv.Tag = 0xC4 // two digits in ASCII
	tagCVV2      tlv.Tag = 0xC5 // three or four digits in ASCII
)

// private makes the private field: the tags above in ascending order, those
// members only that have no field of their own.
func (d *Dialect) private(m *Message) ([]byte, string) {
	var out []byte
	if len(m.MACKSN) > 0 {
		if len(m.MACKSN) != 10 && len(m.MACKSN) != 12 {
			return nil, fmt.Sprintf("has a MAC KSN of %d bytes, want 10 or 12", len(m.MACKSN))
		}
		out = tlv.Append(out, tagMACKSN, m.MACKSN)
	}
	for _, p := range []struct {
		tag    tlv.Tag
		member Member
		text   string
	}{{tagOrder, MemberOrder, m.Order}, {tagReason, MemberReason, string(m.Reason)}, {tagCondition, MemberConditionCode, m.ConditionCode}} {
		if d.members[p.member] == nil && p.text != "" {
			out = tlv.Append(out, p.tag, []byte(p.text))
		}
	}
	if v := m.CVV2.Reveal(); len(v) > 0 {
		if len(v) < 3 || len(v) > 4 || !isDigits(v) {
			return nil, "has a CVV2 of other than three or four digits"
		}
		out = tlv.Append(out, tagCVV2, v)
	}
	return out, ""
}
