package acquirer

import (
	"fmt"
	"slices"
)

// Rule makes members mandatory for some message types.
type Rule struct {
	// Messages are message types in 1987 terms without their last digit, which
	// tells repeats and origin: "020".
	Messages []string
	// Members have to be there.
	Members []Member
}

func (r *Rule) check() error {
	for _, m := range r.Messages {
		if len(m) != 3 || !digitsOnly(m) {
			return fmt.Errorf("rule for message type %q: want three digits", m)
		}
	}
	for _, m := range r.Members {
		if m == NoMember || m >= memberCount {
			return fmt.Errorf("rule for %v: unknown member", r.Messages)
		}
	}
	return nil
}

// DefaultRules returns the mandatory fields of the dialects of this package.
// Beyond them, each message type has conditions of its own: a request names an
// account by PAN or track 2, an advice by that or by its original; a purchase
// with cashback says how much cash is in it.
func DefaultRules() []Rule {
	return []Rule{
		{[]string{"010", "020"}, []Member{MemberProcessingCode, MemberAmount, MemberTransmissionTime, MemberSTAN, MemberLocalTime, MemberEntryMode, MemberTerminalID, MemberMerchantID}},
		{[]string{"012", "022", "032"}, []Member{MemberProcessingCode, MemberAmount, MemberTransmissionTime, MemberSTAN, MemberTerminalID, MemberMerchantID}},
		{[]string{"040", "042"}, []Member{MemberProcessingCode, MemberAmount, MemberTransmissionTime, MemberSTAN, MemberTerminalID, MemberOriginal}},
		{[]string{"011", "013", "021", "023", "033", "041", "043"}, []Member{MemberSTAN, MemberResponseCode, MemberTerminalID}},
		{[]string{"050", "052"}, []Member{MemberTransmissionTime, MemberSTAN, MemberTerminalID, MemberNetSettlement}},
		{[]string{"051", "053"}, []Member{MemberSTAN, MemberResponseCode, MemberTerminalID}},
		{[]string{"080", "082"}, []Member{MemberTransmissionTime, MemberSTAN, MemberNetworkCode}},
		{[]string{"081", "083"}, []Member{MemberSTAN, MemberResponseCode, MemberNetworkCode}},
	}
}

// has reports whether a member is present.
func (m *Message) has(mem Member) bool {
	if p := m.plain(mem); p != nil {
		return *p != ""
	}
	switch mem {
	case MemberPAN:
		return !m.PAN.IsZero()
	case MemberAmount, MemberCurrency:
		return m.Amount != nil
	case MemberTransmissionTime:
		return !m.TransmissionTime.IsZero()
	case MemberLocalTime, MemberLocalDate, MemberLocalDateTime:
		return !m.LocalTime.IsZero()
	case MemberPointOfService:
		return m.EntryMode != ""
	case MemberTrack2:
		return !m.Track2.IsZero()
	case MemberRRN:
		return m.RRN != ""
	case MemberAuthCode:
		return m.AuthCode != ""
	case MemberActionCode:
		return m.ResponseCode != ""
	case MemberTerminalID:
		return m.TerminalID != ""
	case MemberMerchantID:
		return m.MerchantID != ""
	case MemberMerchantName:
		return m.MerchantName != ""
	case MemberPINBlock, MemberPINSecurity:
		return m.PINBlock != nil
	case MemberOther:
		return len(m.Other) > 0
	case MemberICC:
		return m.ICC != nil
	case MemberOriginal, MemberOriginalElements:
		return m.Original != nil
	case MemberReplacement:
		return m.Replacement != nil
	case MemberReason:
		return m.Reason != ""
	case MemberFunctionCode:
		return m.Function != ""
	case MemberPrivate:
		return len(m.MACKSN) > 0 || m.CVV2.Len() > 0
	case MemberMAC:
		return m.MAC != nil
	}
	return m.Totals != nil
}

// Check says whether m is complete for its message type and carries no values
// that its members can't have; Pack and Unpack do it too. Errors are
// *FieldError and wrap ErrInvalid; a field that is wrong in form only is
// Pack's to find.
func (d *Dialect) Check(m *Message) error { return d.check(m) }

func (d *Dialect) check(m *Message) error {
	class, function, reason := parseMTI(m.MTI)
	if reason != "" {
		return d.fail(0, -1, reason, ErrInvalid)
	}
	for _, r := range d.rules {
		if !slices.Contains(r.Messages, m.MTI[:3]) {
			continue
		}
		for _, mem := range r.Members {
			if !m.has(mem) {
				return d.at(mem, "is missing, mandatory in "+m.MTI)
			}
		}
	}
	if m.STAN == "000000" {
		return d.at(MemberSTAN, "is zero")
	}
	if m.PSN != "" && len(m.PSN) == 3 && m.PSN[0] != '0' {
		return d.at(MemberPSN, "is over 99")
	}
	if len(m.Order) > 64 {
		return d.at(MemberOrder, "has more than 64 characters")
	}
	for i := range len(m.Order) {
		if m.Order[i] < 0x20 || m.Order[i] > 0x7E {
			return d.at(MemberOrder, fmt.Sprintf("character %d is not printable ASCII", i))
		}
	}
	if m.Reason != "" && (len(m.Reason) != 4 || !digitsOnly(string(m.Reason))) {
		return d.at(MemberReason, "is not four digits")
	}
	if m.Function != "" && (len(m.Function) != 3 || !digitsOnly(m.Function)) {
		return d.at(MemberFunctionCode, "is not three digits")
	}
	if m.ConditionCode != "" && (len(m.ConditionCode) != 2 || !digitsOnly(m.ConditionCode)) {
		return d.at(MemberConditionCode, "is not two digits")
	}
	if len(d.rules) == 0 {
		return nil
	}
	if err := d.conditions(m, class, function); err != nil {
		return err
	}
	return d.business(m, function)
}

// conditions are the rules that depend on more than the message type.
func (d *Dialect) conditions(m *Message, class, function byte) error {
	request := function == '0' || function == '2'
	account := m.has(MemberPAN) || m.has(MemberTrack2)
	if (class == '1' || class == '2') && request && !account && (m.Original == nil || class == '2' && function == '0') {
		// An increment (0100) is of the account of its original.
		return d.at(MemberPAN, "and track 2 are missing, and the message names no original")
	}
	if m.has(MemberPAN) && m.has(MemberTrack2) {
		p, err := m.Track2.PAN()
		same := err == nil && p.Equal(m.PAN)
		p.Wipe()
		if !same {
			return d.at(MemberPAN, "is another one than that of track 2")
		}
	}
	if m.has(MemberExpiry) && !month(m.Expiry) {
		return d.at(MemberExpiry, "is no year and month")
	}
	if request && m.has(MemberResponseCode) && class != '4' {
		return d.at(MemberResponseCode, "stands in a request")
	}
	if !request && m.PINBlock != nil {
		return d.at(MemberPINBlock, "stands in a response")
	}
	if request && class != '8' && len(m.ProcessingCode) == 6 && m.ProcessingCode[:2] == ProcessingCashback[:2] && function == '0' && class != '4' {
		return d.cashback(m)
	}
	return nil
}

// cashback checks that a purchase with cashback says how much cash is in it, and
// that it is not more than the whole.
func (d *Dialect) cashback(m *Message) error {
	for _, o := range m.Other {
		if o.Type != AmountCashback {
			continue
		}
		if o.Amount.Minor <= 0 || o.Amount.Currency != m.Amount.Currency || o.Amount.Minor > m.Amount.Minor {
			return d.at(MemberOther, "holds cash that is no part of the amount")
		}
		return nil
	}
	return d.at(MemberOther, "is missing, mandatory in a purchase with cashback")
}

func month(yymm string) bool {
	if len(yymm) != 4 || !digitsOnly(yymm) {
		return false
	}
	return yymm[2:] >= "01" && yymm[2:] <= "12"
}
