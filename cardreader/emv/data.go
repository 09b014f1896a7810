package emv

import (
	"encoding/binary"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// terminalData sets the values that stand before a card is there.
func (s *Session) terminalData() error {
	term, t := &s.k.c.Terminal, s.t
	if t.Amount.Currency.IsZero() {
		return fmt.Errorf("%w: an amount without currency", ErrConfig)
	}
	amount, err := t.Amount.BCD12()
	if err != nil {
		return fmt.Errorf("%w: amount: %w", ErrConfig, err)
	}
	other := t.Other
	if other.Currency.IsZero() {
		other = money.New(0, t.Amount.Currency)
	}
	if other.Currency != t.Amount.Currency || other.Minor > t.Amount.Minor {
		return fmt.Errorf("%w: the other amount is in another currency or more than the whole", ErrConfig)
	}
	cash, err := other.BCD12()
	if err != nil {
		return fmt.Errorf("%w: other amount: %w", ErrConfig, err)
	}
	set := func(tag tlv.Tag, v []byte) { s.fromTerminal[tag] = v }
	set(tags.AmountAuthorised, amount[:])
	set(tags.AmountOther, cash[:])
	// The binary amounts hold less; a greater amount has none.
	if t.Amount.Minor <= 0xFFFFFFFF {
		set(tags.AmountAuthorisedBinary, binary.BigEndian.AppendUint32(nil, uint32(t.Amount.Minor)))
		set(tags.AmountOtherBinary, binary.BigEndian.AppendUint32(nil, uint32(other.Minor)))
	}
	c := t.Amount.Currency
	set(tags.TransactionCurrencyCode, tlv.AppendN(nil, uint64(c.Numeric()), 2))
	set(tags.TransactionCurrencyExponent, []byte{c.Exponent()})
	set(tags.TransactionType, []byte{t.Type})
	set(tags.TransactionSequenceCounter, tlv.AppendN(nil, uint64(t.Counter), 4))
	y, mo, d := t.Time.Date()
	set(tags.TransactionDate, tlv.AppendN(nil, uint64(y%100*10000+int(mo)*100+d), 3))
	h, mi, sec := t.Time.Clock()
	set(tags.TransactionTime, tlv.AppendN(nil, uint64(h*10000+mi*100+sec), 3))
	set(tags.TerminalType, []byte{byte(term.Type)})
	set(tags.TerminalCapabilities, term.Capabilities[:])
	set(tags.AdditionalTerminalCapabilities, term.Additional[:])
	set(tags.TerminalCountryCode, tlv.AppendN(nil, uint64(term.Country), 2))
	// IC read by contact (ISO 8583:1987 DE 22, as Book 4, A2 refers to it).
	set(tags.PointOfServiceEntryMode, []byte{0x05})
	for tag, text := range map[tlv.Tag]string{
		tags.IFDSerialNumber:        term.IFDSerial,
		tags.TerminalIdentification: term.ID,
		tags.MerchantIdentifier:     term.MerchantID,
		tags.MerchantName:           term.MerchantName,
	} {
		if text != "" {
			set(tag, []byte(text))
		}
	}
	if term.MerchantCategory != "" {
		set(tags.MerchantCategoryCode, digits(term.MerchantCategory, 2))
	}
	if term.AcquirerID != "" {
		set(tags.AcquirerIdentifier, digits(term.AcquirerID, 6))
	}
	return nil
}

// digits packs decimal digits, which were checked, right justified.
func digits(s string, n int) []byte {
	var v uint64
	for _, c := range []byte(s) {
		v = v*10 + uint64(c-'0')
	}
	return tlv.AppendN(nil, v, n)
}

// applicationData sets what depends on the selected application.
func (s *Session) applicationData() {
	s.fromTerminal[tags.TerminalAID] = s.cand.AID
	s.fromTerminal[tags.TerminalVersionNumber] = s.app.Version[:]
	floor := min(s.app.FloorLimit, 0xFFFFFFFF)
	s.fromTerminal[tags.TerminalFloorLimit] = binary.BigEndian.AppendUint32(nil, uint32(floor))
	delete(s.fromTerminal, tags.TerminalRiskManagementData)
	if len(s.app.RiskData) > 0 {
		s.fromTerminal[tags.TerminalRiskManagementData] = s.app.RiskData
	}
}

// value returns the present value of a tag, whoever holds it.
func (s *Session) value(t tlv.Tag) ([]byte, bool) {
	switch t {
	case tags.TVR:
		return s.tvr[:], true
	case tags.TSI:
		return s.tsi[:], true
	case tags.CVMResults:
		return s.cvm[:], true
	}
	if v, ok := s.fromTerminal[t]; ok {
		return v, true
	}
	// What the card says under a terminal's tag is not taken for it.
	if i, known := tags.Lookup(t); known && i.Source != tags.FromCard {
		return nil, false
	}
	v, ok := s.fromCard[t]
	return v, ok
}

// fill makes the data that a list asks for.
func (s *Session) fill(step Step, tag tlv.Tag, list []byte) ([]byte, error) {
	d, err := tlv.ParseDOL(list)
	if err != nil {
		return nil, &CardError{Step: step, Tag: tag, Reason: "malformed list", Err: err}
	}
	if tag != tags.TDOL && d.Contains(tags.TCHashValue) {
		if err := s.hashTDOL(step); err != nil {
			return nil, err
		}
	}
	out, err := d.Append(make([]byte, 0, d.Len()), func(t tlv.Tag) ([]byte, tlv.Format, bool) {
		v, ok := s.value(t)
		i, _ := tags.Lookup(t)
		return v, i.Format, ok
	})
	if err != nil {
		return nil, &CardError{Step: step, Tag: tag, Reason: "list can't be filled", Err: err}
	}
	return out, nil
}

// field55 returns the present values of tags in order, absent ones left out.
func (s *Session) field55(list []tlv.Tag) []byte {
	var out []byte
	for _, t := range list {
		if v, ok := s.value(t); ok {
			out = tlv.Append(out, t, v)
		}
	}
	return out
}
