package contactless

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// Data is what a kernel works on and leaves behind: the card's data objects, the
// terminal's, and what was made of them. It holds cardholder data until Wipe;
// its methods on nil are those of no data.
type Data struct {
	card, terminal map[tlv.Tag][]byte
	// Records are those under data authentication, in the order of the AFL.
	Records []oda.Record

	TVR tags.TVRValue
	TSI tags.TSIValue
	// CVM is the CVM Results (9F34) of a kernel that makes some, nil else;
	// Method what was chosen, in the outcome's terms.
	CVM    *tags.CVMResultsValue
	Method CVM
	ODA    emv.ODA
	// Cryptogram is the card's last answer.
	Cryptogram tags.Cryptogram

	Label, PreferredName string
	PAN                  secret.PAN
	Track2               secret.Track2

	// discretionary are the tags of the discretionary data.
	discretionary []tlv.Tag
	record        bool
	wiped         bool
	_             [0]func()
}

// NewData begins with an activation's terminal data and the card's FCI (Book A,
// 5.2.1). An FCI that is no template, or says something twice, is a *CardError.
func NewData(a *Activation) (*Data, error) {
	d := &Data{card: make(map[tlv.Tag][]byte, 32), terminal: a.Terminal, Cryptogram: tags.AAC}
	fci, ok, err := tlv.Child(a.FCI, tags.FCITemplate)
	if err != nil || !ok {
		return nil, &emv.CardError{Step: emv.StepSelect, Tag: tags.FCITemplate, Reason: "malformed file control information", Err: err}
	}
	if err := d.Collect(emv.StepSelect, fci); err != nil {
		return nil, err
	}
	if name := d.Get(tags.DFName); !bytes.HasPrefix(name, a.AID) {
		// Another application's description would have its data taken for
		// this one's.
		return nil, &emv.CardError{Step: emv.StepSelect, Tag: tags.DFName, Reason: "the card selected another name"}
	}
	c := emv.Describe(a.Config.Terminal.Additional, fci)
	d.Label, d.PreferredName = c.Label, c.PreferredName
	return d, nil
}

// Get returns a card's data object, nil when it is absent.
func (d *Data) Get(t tlv.Tag) []byte {
	if d == nil {
		return nil
	}
	return d.card[t]
}

// Put keeps a data object of the card. The same one twice is a *CardError
// (Book 3, 10.2; Book C-3, 5.4.2.2); an empty value counts as absent.
func (d *Data) Put(step emv.Step, t tlv.Tag, v []byte) error {
	if len(v) == 0 {
		return nil
	}
	if i, known := tags.Lookup(t); !known || i.Source != tags.FromCard {
		// What the card says under a terminal's tag is not taken for it.
		return nil
	}
	if _, twice := d.card[t]; twice {
		return &emv.CardError{Step: step, Tag: t, Reason: "given twice"}
	}
	d.card[t] = bytes.Clone(v)
	return nil
}

// Replace keeps a data object of the card, or forgets it when v is empty.
func (d *Data) Replace(t tlv.Tag, v []byte) {
	clear(d.card[t])
	delete(d.card, t)
	if len(v) > 0 {
		d.card[t] = bytes.Clone(v)
	}
}

// Set gives the terminal a data object.
func (d *Data) Set(t tlv.Tag, v []byte) { d.terminal[t] = v }

// Collect keeps the primitive data objects in b, those of templates included.
// Errors are *CardError.
func (d *Data) Collect(step emv.Step, b []byte) error {
	for o, err := range tlv.All(b) {
		switch {
		case err != nil:
			return &emv.CardError{Step: step, Reason: "malformed data", Err: err}
		case o.Tag.Constructed():
			err = d.Collect(step, o.Value)
		default:
			err = d.Put(step, o.Tag, o.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Value returns the present value of a tag, whoever holds it.
func (d *Data) Value(t tlv.Tag) ([]byte, bool) {
	if d == nil {
		return nil, false
	}
	switch t {
	case tags.TVR:
		return d.TVR[:], true
	case tags.TSI:
		return d.TSI[:], true
	case tags.CVMResults:
		if d.CVM == nil {
			return nil, false
		}
		return d.CVM[:], true
	}
	if v, ok := d.terminal[t]; ok {
		return v, true
	}
	v, ok := d.card[t]
	return v, ok
}

// Fill makes the data that a data object list asks for (Book 3, 5.4). Errors
// are *CardError.
func (d *Data) Fill(step emv.Step, tag tlv.Tag, list []byte) ([]byte, error) {
	dol, err := tlv.ParseDOL(list)
	if err != nil {
		return nil, &emv.CardError{Step: step, Tag: tag, Reason: "malformed list", Err: err}
	}
	out, err := dol.Append(make([]byte, 0, dol.Len()), func(t tlv.Tag) ([]byte, tlv.Format, bool) {
		v, ok := d.Value(t)
		i, _ := tags.Lookup(t)
		return v, i.Format, ok
	})
	if err != nil {
		return nil, &emv.CardError{Step: step, Tag: tag, Reason: "list can't be filled", Err: err}
	}
	return out, nil
}

// Identify reads PAN and track 2, which have to agree (Book C-3, A.2; Book C-2,
// 6.1). Errors are *CardError.
func (d *Data) Identify() error {
	if v := d.Get(tags.Track2); v != nil {
		t, err := secret.Track2FromTag(v)
		if err != nil {
			return &emv.CardError{Step: emv.StepRead, Tag: tags.Track2, Reason: "malformed", Err: err}
		}
		d.Track2 = t
	}
	switch v := d.Get(tags.PAN); {
	case v != nil:
		pan, err := secret.PANFromCN(v)
		if err != nil {
			return &emv.CardError{Step: emv.StepRead, Tag: tags.PAN, Reason: "malformed", Err: err}
		}
		d.PAN = pan
		if d.Track2.IsZero() {
			return nil
		}
		other, err := d.Track2.PAN()
		if err != nil || !other.Equal(pan) {
			return &emv.CardError{Step: emv.StepRead, Tag: tags.Track2, Reason: "not of the card number in 5A", Err: err}
		}
	case !d.Track2.IsZero():
		pan, err := d.Track2.PAN()
		if err != nil {
			return &emv.CardError{Step: emv.StepRead, Tag: tags.Track2, Reason: "no card number", Err: err}
		}
		d.PAN = pan
	}
	return nil
}

// Keep makes the data the record of an outcome, with those tags as discretionary
// data.
func (d *Data) Keep(discretionary ...tlv.Tag) {
	d.record, d.discretionary = true, slices.Clone(discretionary)
}

// HasRecord reports whether there is a data record.
func (d *Data) HasRecord() bool { return d != nil && d.record }

// HasDiscretionary reports whether there are discretionary data.
func (d *Data) HasDiscretionary() bool { return d != nil && len(d.Discretionary()) > 0 }

// Discretionary returns the discretionary data as BER-TLV.
func (d *Data) Discretionary() []byte { return d.Field55(d.discretionary...) }

// Field55 returns the present values of tags as BER-TLV in the order asked for;
// absent ones are left out.
func (d *Data) Field55(list ...tlv.Tag) []byte {
	var out []byte
	for _, t := range list {
		if v, ok := d.Value(t); ok {
			out = tlv.Append(out, t, v)
		}
	}
	return out
}

// PSN is the PAN sequence number, two digits, empty for none.
func (d *Data) PSN() string {
	if v := d.Get(tags.PANSequenceNumber); len(v) == 1 {
		return fmt.Sprintf("%02X", v[0])
	}
	return ""
}

// Expiry is YYMM, from the application's date or track 2.
func (d *Data) Expiry() string {
	if v := d.Get(tags.ExpirationDate); len(v) == 3 {
		return fmt.Sprintf("%X", v[:2])
	}
	if d.Track2.IsZero() {
		return ""
	}
	return d.Track2.Expiry()
}

// Wipe clears the cardholder's data.
func (d *Data) Wipe() {
	if d == nil {
		return
	}
	for _, v := range d.card {
		clear(v)
	}
	for _, r := range d.Records {
		clear(r.Data)
	}
	d.PAN.Wipe()
	d.Track2.Wipe()
	d.PAN, d.Track2 = secret.PAN{}, secret.Track2{}
	d.card, d.Records, d.wiped = map[tlv.Tag][]byte{}, nil, true
}

// String returns a fixed text: the data are not to be printed.
func (d *Data) String() string { return secret.Redacted }

// Format implements fmt.Formatter with the fixed text.
func (d *Data) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Redacted)) }

// Languages are what the cardholder prefers, ISO 639-1, best first.
func (d *Data) Languages() []string {
	return emv.ParseLanguages(d.Get(tags.LanguagePreference))
}
