package acquirer

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// names are the members as errors call them.
var names = [memberCount]string{
	"none", "PAN", "ProcessingCode", "Amount", "TransmissionTime", "STAN", "LocalTime", "LocalTime (date)",
	"LocalTime (date and time)", "Expiry", "SettlementDate", "MerchantType", "EntryMode", "EntryMode (point of service)",
	"PSN", "NetworkID", "ConditionCode", "AcquirerID", "Track2", "RRN", "AuthCode", "ResponseCode", "ResponseCode (action code)",
	"TerminalID", "MerchantID", "MerchantName", "Amount (currency)", "Totals (currency)", "PINBlock", "PINFormat and PINKSN",
	"Other", "ICC", "NetworkCode", "Totals (credits)", "Totals (credit reversals)", "Totals (debits)", "Totals (debit reversals)",
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
		return actionCode(m)
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

// unpadded takes the fill off again.
func unpadded(v []byte) (string, string) {
	s := strings.TrimRight(string(v), " ")
	if s == "" {
		return "", "is blank"
	}
	return s, ""
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
	return out, ""
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
		default:
			return "holds the unknown tag " + o.Tag.String()
		}
	}
	again, reason := w.d.private(&Message{MACKSN: w.m.MACKSN, Order: w.m.Order, Reason: w.m.Reason, ConditionCode: w.m.ConditionCode})
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
		code, reason := responseOfAction(m.MTI, w.action)
		if reason != "" {
			return d.at(MemberActionCode, reason)
		}
		m.ResponseCode = code
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
