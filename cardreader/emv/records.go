package emv

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// readRecords reads what the AFL names (Book 3, 10.2).
func (s *Session) readRecords(ctx context.Context) error {
	for i := 0; i < len(s.afl); i += 4 {
		sfi, first, last, signed := s.afl[i]>>3, s.afl[i+1], s.afl[i+2], int(s.afl[i+3])
		switch {
		case s.afl[i]&0x07 != 0 || sfi < 1 || sfi > 30:
			return breach(StepRead, tags.AFL, fmt.Sprintf("entry %d: no short file identifier", i/4+1))
		case first == 0 || last < first:
			return breach(StepRead, tags.AFL, fmt.Sprintf("entry %d: records %d to %d", i/4+1, first, last))
		case signed > int(last-first)+1:
			return breach(StepRead, tags.AFL, fmt.Sprintf("entry %d: %d records signed of %d", i/4+1, signed, last-first+1))
		}
		for n := range int(last-first) + 1 {
			if err := s.readRecord(ctx, sfi, first+byte(n), n < signed); err != nil {
				return err
			}
		}
	}
	return s.mandatory()
}

func (s *Session) readRecord(ctx context.Context, sfi, record byte, signed bool) error {
	name := fmt.Sprintf("READ RECORD %d of file %d", record, sfi)
	r, err := s.send(ctx, StepRead, name, apdu.ReadRecord(sfi, record))
	if err != nil {
		return err
	}
	if !r.SW.OK() {
		return &StatusError{StepRead, name, r.SW}
	}
	// Files 1 to 10 hold templates 70 by the standard; what is in the others
	// is the scheme's or the issuer's own.
	list, err := tlv.Parse(r.Data)
	template := err == nil && len(list) == 1 && list[0].Tag == tags.RecordTemplate
	if sfi <= 10 && !template {
		return &CardError{Step: StepRead, Tag: tags.RecordTemplate, Reason: name + ": no record template", Err: err}
	}
	if signed {
		s.sign(sfi, r.Data, list, template)
	}
	if !template {
		return nil
	}
	for o, err := range tlv.All(list[0].Value) {
		if err != nil {
			if sfi > 10 {
				return nil
			}
			return &CardError{Step: StepRead, Tag: tags.RecordTemplate, Reason: name + ": malformed", Err: err}
		}
		if err := s.store(StepRead, o); err != nil {
			return err
		}
	}
	return nil
}

// sign adds a record to the data that is authenticated (Book 3, 10.3): the
// template's value for files 1 to 10, the whole record for others.
func (s *Session) sign(sfi byte, record []byte, list []tlv.Object, template bool) {
	switch {
	case !template:
		s.staticBad = "a record to be authenticated is no record template"
	case sfi <= 10:
		s.staticData = append(s.staticData, list[0].Value...)
	default:
		s.staticData = append(s.staticData, record...)
	}
}

// mandatory checks for what every card has (Book 3, 7.2), and that PAN and
// track 2 can be read.
func (s *Session) mandatory() error {
	for _, t := range []tlv.Tag{tags.ExpirationDate, tags.PAN, tags.CDOL1, tags.CDOL2} {
		if len(s.get(t)) == 0 {
			return breach(StepRead, t, "mandatory and missing")
		}
	}
	pan, err := secret.PANFromCN(s.get(tags.PAN))
	if err != nil {
		return &CardError{Step: StepRead, Tag: tags.PAN, Reason: "malformed", Err: err}
	}
	s.pan = pan
	for _, t := range []tlv.Tag{tags.ExpirationDate, tags.EffectiveDate} {
		if v := s.get(t); len(v) > 0 {
			if _, err := dateOf(v); err != nil {
				return &CardError{Step: StepRead, Tag: t, Reason: "no date", Err: err}
			}
		}
	}
	for t, n := range map[tlv.Tag]int{
		tags.IACDefault: 5, tags.IACDenial: 5, tags.IACOnline: 5, tags.AUC: 2, tags.CardVersionNumber: 2,
		tags.PANSequenceNumber: 1, tags.IssuerCountryCode: 2, tags.ApplicationCurrencyCode: 2,
		tags.LowerConsecutiveOfflineLimit: 1, tags.UpperConsecutiveOfflineLimit: 1, tags.CAPublicKeyIndex: 1,
	} {
		if v := s.get(t); len(v) > 0 && len(v) != n {
			return breach(StepRead, t, fmt.Sprintf("%d bytes, want %d", len(v), n))
		}
	}
	s.tell(StepRead, "read: card %s, %d bytes to be authenticated", s.pan.Masked(), len(s.staticData))
	return nil
}

// tagAIP is what 9F4A may name, and nothing else (Book 3, 10.3).
const tagAIP = byte(0x82)

// static returns what offline data authentication hashes, or why there is
// nothing to hash.
func (s *Session) static() ([]byte, error) {
	if s.staticBad != "" {
		return nil, &oda.Failure{Step: oda.StepStatic, Reason: s.staticBad}
	}
	list, ok := s.fromCard[tags.SDATagList]
	if !ok {
		return s.staticData, nil
	}
	if len(list) != 1 || list[0] != tagAIP {
		return nil, &oda.Failure{Step: oda.StepStatic, Reason: "the SDA tag list names more than the AIP"}
	}
	return append(append([]byte(nil), s.staticData...), s.aip[:]...), nil
}
