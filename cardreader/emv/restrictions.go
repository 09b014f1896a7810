package emv

import (
	"context"
	"errors"
	"time"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Transaction types of tag 9C (ISO 8583:1987, processing code).
const (
	typeGoods    = 0x00
	typeCash     = 0x01
	typeCashback = 0x09
	typeManual   = 0x17
)

func (s *Session) cash() bool { return s.t.Type == typeCash || s.t.Type == typeManual }

// cashback reports a purchase with cash.
func (s *Session) cashback() bool {
	return s.t.Type == typeCashback || !s.cash() && s.t.Other.Minor > 0
}

// restrictions checks version, usage control and dates (Book 3, 10.4).
func (s *Session) restrictions(context.Context) error {
	if v := s.get(tags.CardVersionNumber); len(v) == 2 && [2]byte(v) != s.app.Version {
		s.tvr.Set(tags.TVRVersionsDiffer)
		s.because(StepRestrictions, "the card's application version is not the terminal's")
	}
	if auc := s.get(tags.AUC); len(auc) == 2 && !s.serviceAllowed(tags.AUCValue(auc)) {
		s.tvr.Set(tags.TVRServiceNotAllowed)
		s.because(StepRestrictions, "the card is not for this service or place")
	}
	today := s.date()
	if v := s.get(tags.EffectiveDate); len(v) > 0 {
		if d, err := dateOf(v); err == nil && today.Before(d) {
			s.tvr.Set(tags.TVRNotYetEffective)
			s.because(StepRestrictions, "the card is not valid yet")
		}
	}
	if d, err := dateOf(s.get(tags.ExpirationDate)); err != nil || today.After(d) {
		s.tvr.Set(tags.TVRExpired)
		s.because(StepRestrictions, "the card has expired")
	}
	s.tell(StepRestrictions, "TVR %s", s.tvr)
	return nil
}

// serviceAllowed judges the application usage control (Book 3, 10.4.2).
func (s *Session) serviceAllowed(auc tags.AUCValue) bool {
	term := &s.k.c.Terminal
	atm := !term.Type.Attended() && term.Additional.Has(tags.AddCash) && byte(term.Type)>>4 == 1
	where := tags.AUCOtherThanATMs
	if atm {
		where = tags.AUCATMs
	}
	if auc[0]&where == 0 {
		return false
	}
	country := s.get(tags.IssuerCountryCode)
	if len(country) != 2 {
		return true
	}
	n, err := tlv.ParseN(country)
	domestic := err == nil && n == uint64(term.Country)
	pick := func(home, abroad byte) byte {
		if domestic {
			return home
		}
		return abroad
	}
	switch {
	case s.cash():
		return auc[0]&pick(tags.AUCDomesticCash, tags.AUCInternationalCash) != 0
	case s.t.Type != typeGoods && s.t.Type != typeCashback:
		// A refund or an inquiry is neither: 10.4.2 has no row for it.
		return true
	case auc[0]&(pick(tags.AUCDomesticGoods, tags.AUCInternationalGoods)|pick(tags.AUCDomesticServices, tags.AUCInternationalServices)) == 0:
		// The terminal does not tell goods from services: either will do.
		return false
	}
	return !s.cashback() || auc[1]&pick(tags.AUCDomesticCashback, tags.AUCInternationalCashback) != 0
}

// dateOf reads YYMMDD. Years below 50 are of this century (Book 4, 6.7.3).
func dateOf(b []byte) (time.Time, error) {
	n, err := tlv.ParseN(b)
	if err != nil {
		return time.Time{}, err
	}
	y, m, d := int(n/10000), time.Month(n/100%100), int(n%100)
	if y < 50 {
		y += 2000
	} else {
		y += 1900
	}
	t := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	if len(b) != 3 || t.Month() != m || t.Day() != d {
		return time.Time{}, errors.New("no date of the form YYMMDD")
	}
	return t, nil
}
