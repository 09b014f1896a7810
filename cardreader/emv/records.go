package emv

import (
	"bytes"
	"context"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// maxRecords bounds what a card may make a terminal read. The standard has no
// bound; cards have a dozen.
const maxRecords = 255

// readRecords reads what the AFL names (Book 3, 10.2), and looks at an entry once
// the records of those before it are read.
func (s *Session) readRecords(ctx context.Context) error {
	total := 0
	for i := 0; i+4 <= len(s.afl); i += 4 {
		f, err := entry(s.afl, i, &total)
		if err != nil {
			return err
		}
		for n := range f.count {
			if err := s.readRecord(ctx, f.sfi, f.first+byte(n), n < f.signed); err != nil {
				return err
			}
		}
	}
	return s.mandatory()
}

// file is an entry of the AFL: count records of a file from the first one on, of
// which the first so many are signed.
type file struct {
	sfi, first    byte
	count, signed int
}

// locate reads the whole application file locator.
func locate(afl []byte) ([]file, error) {
	var out []file
	total := 0
	for i := 0; i+4 <= len(afl); i += 4 {
		f, err := entry(afl, i, &total)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// entry reads the entry of the AFL at i, and adds its records to the total.
func entry(afl []byte, i int, total *int) (file, error) {
	e := afl[i : i+4]
	f := file{sfi: e[0] >> 3, first: e[1], count: int(e[2]) - int(e[1]) + 1, signed: int(e[3])}
	*total += f.count
	bad := func(format string, args ...any) (file, error) {
		return file{}, breach(StepRead, tags.AFL, fmt.Sprintf("entry %d: ", i/4+1)+fmt.Sprintf(format, args...))
	}
	switch {
	case f.sfi < 1 || f.sfi > 30:
		return bad("no short file identifier")
	case e[0]&0x07 != 0:
		return bad("the three bits beside the short file identifier are not 0")
	case f.first == 0 || f.count < 1:
		return bad("records %d to %d", e[1], e[2])
	case f.signed > f.count:
		return bad("%d records signed of %d", f.signed, f.count)
	case *total > maxRecords:
		return bad("more records than any card has")
	}
	return f, nil
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
	if signed {
		// Whether it can be authenticated is for oda.StaticData to say.
		s.records = append(s.records, oda.Record{SFI: sfi, Data: bytes.Clone(r.Data)})
	}
	// Files 1 to 10 hold templates 70 and nothing beside them; what is in the
	// others is the scheme's or the issuer's own (Book 3, 5.3 and 10.2).
	list, err := tlv.Parse(r.Data)
	template := err == nil && len(list) == 1 && list[0].Tag == tags.RecordTemplate &&
		list[0].HeaderLen+len(list[0].Value) == len(r.Data)
	if !template {
		if sfi > 10 {
			return nil
		}
		return &CardError{Step: StepRead, Tag: tags.RecordTemplate, Reason: name + ": not one record template", Err: err}
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

// store keeps a record's object that the dictionary knows and that belongs into
// a record. The same one twice is an error (Book 3, 10.2); an empty value counts
// as absent (5.2).
func (s *Session) store(step Step, o tlv.Object) error {
	if o.Tag.Constructed() || len(o.Value) == 0 || elsewhere(o.Tag) {
		return nil
	}
	if i, known := tags.Lookup(o.Tag); !known || i.Source != tags.FromCard {
		return nil
	}
	if _, twice := s.fromCard[o.Tag]; twice {
		return breach(step, o.Tag, "given twice")
	}
	s.fromCard[o.Tag] = bytes.Clone(o.Value)
	return nil
}

// elsewhere reports whether a card's object has its place in the answer to a
// command other than READ RECORD, or is computed. In a record it is ignored
// (Book 3, 7.5), so that it can't take the other one's place.
func elsewhere(t tlv.Tag) bool {
	switch t {
	case tags.AID, tags.ApplicationLabel, tags.PreferredName, tags.PriorityIndicator, tags.PDOL, tags.LanguagePreference,
		tags.IssuerCodeTableIndex, tags.DFName, tags.DDFName, tags.SFI,
		tags.IssuerIdentificationNumber, tags.IINExtended, tags.IssuerURL, tags.IBAN, tags.BankIdentifierCode,
		tags.IssuerCountryAlpha2, tags.IssuerCountryAlpha3, tags.LogEntry, tags.LogFormat, tags.ASRPD,
		tags.AIP, tags.AFL,
		tags.ATC, tags.LastOnlineATC, tags.PINTryCounter,
		tags.CID, tags.ApplicationCryptogram, tags.IssuerApplicationData, tags.SignedDynamicData,
		tags.DataAuthenticationCode, tags.ICCDynamicNumber:
		return true
	}
	return false
}

// fixed are the lengths that the steps below rely on (Book 3, Annex A).
var fixed = [...]struct {
	tag tlv.Tag
	n   int
}{
	{tags.ExpirationDate, 3}, {tags.EffectiveDate, 3}, {tags.IACDefault, 5}, {tags.IACDenial, 5}, {tags.IACOnline, 5},
	{tags.AUC, 2}, {tags.CardVersionNumber, 2}, {tags.PANSequenceNumber, 1}, {tags.IssuerCountryCode, 2},
	{tags.ApplicationCurrencyCode, 2}, {tags.LowerConsecutiveOfflineLimit, 1}, {tags.UpperConsecutiveOfflineLimit, 1},
	{tags.CAPublicKeyIndex, 1},
}

// mandatory checks for what every card has (Book 3, 7.2), and that what the
// later steps read is of its format (7.5).
func (s *Session) mandatory() error {
	for _, t := range []tlv.Tag{tags.ExpirationDate, tags.PAN, tags.CDOL1, tags.CDOL2} {
		if s.get(t) == nil {
			return breach(StepRead, t, "mandatory and missing")
		}
	}
	pan, err := secret.PANFromCN(s.get(tags.PAN))
	if err != nil {
		return &CardError{Step: StepRead, Tag: tags.PAN, Reason: "malformed", Err: err}
	}
	s.pan = pan
	if v := s.get(tags.Track2); v != nil {
		if s.track2, err = secret.Track2FromTag(v); err != nil {
			return &CardError{Step: StepRead, Tag: tags.Track2, Reason: "malformed", Err: err}
		}
	}
	for _, f := range fixed {
		if v := s.get(f.tag); v != nil && len(v) != f.n {
			return breach(StepRead, f.tag, fmt.Sprintf("%d bytes, want %d", len(v), f.n))
		}
	}
	for _, t := range []tlv.Tag{tags.ExpirationDate, tags.EffectiveDate} {
		if v := s.get(t); v != nil {
			if _, err := dateOf(v); err != nil {
				return &CardError{Step: StepRead, Tag: t, Reason: "no date", Err: err}
			}
		}
	}
	for _, t := range []tlv.Tag{tags.CDOL1, tags.CDOL2, tags.TDOL, tags.DDOL} {
		if _, err := tlv.ParseDOL(s.get(t)); err != nil {
			return &CardError{Step: StepRead, Tag: t, Reason: "malformed list", Err: err}
		}
	}
	s.tell(StepRead, "read: card %s, %d records to be authenticated", s.pan.Masked(), len(s.records))
	return nil
}
