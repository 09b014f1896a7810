package emv

import (
	"context"
	"strings"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
)

// actionCode returns an issuer action code; a card without one has all bits
// clear for denial and all set for the others (Book 3, 10.7).
func (s *Session) actionCode(t tlv.Tag) [5]byte {
	if v := s.get(t); len(v) == 5 {
		return [5]byte(v)
	}
	if t == tags.IACDenial {
		return [5]byte{}
	}
	return [5]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
}

// analyse is terminal action analysis: what to ask of the card (Book 3, 10.7).
func (s *Session) analyse(context.Context) error {
	s.request = s.wish()
	s.tell(StepAction, "TVR %s: ask the card for %s", s.tvr, tags.Cryptogram(s.request))
	return nil
}

func (s *Session) wish() byte {
	kind := s.k.c.Terminal.Type
	if s.tvr.Matches(s.actionCode(tags.IACDenial)) || s.tvr.Matches(s.app.TACDenial) {
		s.because(StepAction, "an action code denies it: %s", s.matched(s.actionCode(tags.IACDenial), s.app.TACDenial))
		return apdu.RefAAC
	}
	switch {
	case kind.OnlineOnly():
		return apdu.RefARQC
	case !kind.OfflineOnly():
		if s.tvr.Matches(s.actionCode(tags.IACOnline)) || s.tvr.Matches(s.app.TACOnline) {
			return apdu.RefARQC
		}
		return apdu.RefTC
	}
	return s.wishOffline()
}

// wishOffline decides by the default codes where the issuer can't be asked.
func (s *Session) wishOffline() byte {
	if s.tvr.Matches(s.actionCode(tags.IACDefault)) || s.tvr.Matches(s.app.TACDefault) {
		s.because(StepAction, "a default action code denies it offline: %s", s.matched(s.actionCode(tags.IACDefault), s.app.TACDefault))
		return apdu.RefAAC
	}
	return apdu.RefTC
}

// matched says in words which bits of the TVR an action code names.
func (s *Session) matched(issuer, terminal [5]byte) string {
	var v tags.TVRValue
	for i := range v {
		v[i] = s.tvr[i] & (issuer[i] | terminal[i])
	}
	return strings.Join(v.Describe(), ", ")
}
