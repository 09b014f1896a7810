package acquirer

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Describe renders m for people, a line a member, masked: PAN with its middle
// hidden, no track, no PIN block, no PAN or track inside field 55, extra fields
// by their length only.
func (m *Message) Describe() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-16s %s\n", name, value)
		}
	}
	fmt.Fprintf(&b, "%s %s\n", m.MTI, describeMTI(m.MTI))
	line("PAN", m.PAN.Masked())
	line("processing code", words(m.ProcessingCode, ProcessingText(m.ProcessingCode)))
	if m.Amount != nil {
		line("amount", m.Amount.String())
	}
	if m.Replacement != nil {
		line("of which stands", m.Replacement.String())
	}
	for _, o := range m.Other {
		line("other amount", fmt.Sprintf("type %s account %s: %s", o.Type, o.Account, o.Amount))
	}
	if !m.TransmissionTime.IsZero() {
		line("transmitted", m.TransmissionTime.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	line("STAN", m.STAN)
	if !m.LocalTime.IsZero() {
		line("local time", m.LocalTime.Format("2006-01-02 15:04:05"))
	}
	if m.Expiry != "" {
		line("expiry", hidden([]byte(m.Expiry)))
	}
	line("settlement date", m.SettlementDate)
	line("merchant type", m.MerchantType)
	line("entry mode", words(m.EntryMode, entryText(m.EntryMode)))
	line("PAN sequence", m.PSN)
	line("network", m.NetworkID)
	line("condition code", m.ConditionCode)
	line("acquirer", m.AcquirerID)
	if !m.Track2.IsZero() {
		line("track 2", hidden(m.Track2.Reveal()))
	}
	if m.CVV2.Len() > 0 {
		line("CVV2", "[hidden]")
	}
	line("RRN", m.RRN)
	line("approval code", m.AuthCode)
	if m.ResponseCode != "" {
		text, _ := ResponseText(m.ResponseCode)
		line("response code", words(m.ResponseCode, text))
	}
	line("terminal", m.TerminalID)
	line("merchant", m.MerchantID)
	line("merchant name", m.MerchantName)
	if m.PINBlock != nil {
		line("PIN block", fmt.Sprintf("[%d, hidden], format %d, KSN %X", len(m.PINBlock), m.PINFormat, m.PINKSN))
	}
	line("network code", words(m.NetworkCode, networkText(m.NetworkCode)))
	if o := m.Original; o != nil {
		line("original", fmt.Sprintf("%s STAN %s of %s", o.MTI, o.STAN, o.TransmissionTime.UTC().Format("01-02 15:04:05 UTC")))
	}
	line("reason", words(string(m.Reason), m.Reason.String()))
	line("order", m.Order)
	if t := m.Totals; t != nil {
		line("totals", fmt.Sprintf("%d debits %d, %d taken back %d, %d credits %d, %d taken back %d, net %d %s",
			t.Debits.Count, t.Debits.Minor, t.DebitReversals.Count, t.DebitReversals.Minor, t.Credits.Count, t.Credits.Minor,
			t.CreditReversals.Count, t.CreditReversals.Minor, t.Net, t.Currency))
	}
	for _, t := range explainTags(m.ICC) {
		line("ICC "+t.Tag, words(t.Value, t.Name))
	}
	for _, n := range slices.Sorted(maps.Keys(m.Extra)) {
		line(fmt.Sprintf("field %d", n), hidden(m.Extra[n]))
	}
	line("MAC KSN", strings.ToUpper(hex.EncodeToString(m.MACKSN)))
	if m.MAC != nil {
		line("MAC", "present")
	}
	return b.String()
}

// String is Describe, so that printing a Message never prints its secrets.
func (m Message) String() string { return m.Describe() }

// GoString is Describe too.
func (m Message) GoString() string { return m.Describe() }

func words(value, text string) string {
	if value == "" || text == "" {
		return value
	}
	return value + " (" + text + ")"
}
