package acquirer

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// ExplainedField is an element of a message for people, masked.
type ExplainedField struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	Format string `json:"format"` // "n 6", "ans ..64"
	Offset int    `json:"offset"`
	// Value is the element as text or hexadecimal; PAN, tracks and PIN data
	// are masked.
	Value string `json:"value"`
	// Meaning says the value in words, "" when there is nothing to say.
	Meaning string `json:"meaning,omitempty"`
	// Tags are the data objects of field 55, in their order.
	Tags []ExplainedTag `json:"tags,omitempty"`
}

// ExplainedTag is a data object of field 55.
type ExplainedTag struct {
	Tag   string `json:"tag"`
	Name  string `json:"name,omitempty"`
	Value string `json:"value"`
}

// Explanation is a message for people, masked.
type Explanation struct {
	Dialect string           `json:"dialect"`
	Length  int              `json:"length_prefix,omitempty"` // of the frame, when there is one
	TPDU    string           `json:"tpdu,omitempty"`
	MTI     string           `json:"mti"`
	Meaning string           `json:"meaning"`
	Fields  []ExplainedField `json:"fields"`
}

// Explain decodes a message and says what is in it, whether or not it is
// complete and fit to be processed: only its form is judged. With an error, a
// *FieldError that wraps ErrMalformed, the explanation holds what came before.
func (d *Dialect) Explain(b []byte) (Explanation, error) {
	x := Explanation{Dialect: d.Name(), Fields: []ExplainedField{}}
	w := d.space()
	defer w.release()
	els, err := w.split(b)
	for i, e := range els {
		if i == 0 {
			x.MTI = string(e.Value())
			x.Meaning = describeMTI("0" + x.MTI[1:])
			if x.MTI[0] != '0'+d.t.Version {
				return x, d.fail(0, 0, "is of another edition of the standard", ErrMalformed)
			}
			continue
		}
		f := explainElement(e)
		f.Offset = len(b) - e.rest
		x.Fields = append(x.Fields, f)
		if reason := explainReason(e); reason != "" && err == nil {
			err = d.fail(e.def.Number, f.Offset, reason, ErrMalformed)
		}
	}
	return x, err
}

// explainReason judges a field 55 that pretends to be TLV.
func explainReason(e *element) string {
	if e.def.Member == MemberICC && looksTLV(e.Value()) {
		return field55(e.Value())
	}
	return ""
}

// looksTLV tells ICC data from the free text that some put into 55: a tag that
// EMV uses comes first.
func looksTLV(v []byte) bool {
	t, _, err := tlv.ParseTag(v)
	if err != nil {
		return false
	}
	_, ok := tags.Lookup(t)
	return ok
}

// ExplainAny tries the dialects of this package on bytes that may begin with a
// two-byte length and a TPDU, and returns the first explanation without an
// error, else the one that got furthest, with its error.
func ExplainAny(b []byte) (Explanation, error) {
	best, bestErr, far := Explanation{}, error(nil), -1
	for _, frame := range [...][2]int{{0, 0}, {2, 0}, {2, 5}, {0, 5}} {
		if len(b) <= frame[0]+frame[1] || frame[1] > 0 && b[frame[0]] != tpduID {
			continue
		}
		if frame[0] > 0 && int(b[0])<<8|int(b[1])-(len(b)-2) > 16 && frame[1] == 0 {
			continue
		}
		inner := b[frame[0]+frame[1]:]
		for _, d := range Dialects() {
			x, err := d.Explain(inner)
			if frame[0] > 0 {
				x.Length = int(b[0])<<8 | int(b[1])
			}
			x.TPDU = strings.ToUpper(hex.EncodeToString(b[frame[0] : frame[0]+frame[1]]))
			if err == nil && frame[0] > 0 && x.Length != len(b)-2 {
				err = &FieldError{Field: -1, Offset: 0, Reason: fmt.Sprintf("length %d, and %d bytes follow", x.Length, len(b)-2), Err: ErrMalformed}
			}
			if err == nil {
				return x, nil
			}
			if n := progress(x, err); n > far {
				best, bestErr, far = x, err, n
			}
		}
	}
	if bestErr == nil {
		bestErr = &FieldError{Field: -1, Offset: 0, Reason: "is empty", Err: ErrMalformed}
	}
	return best, bestErr
}

// tpduID is the first byte of a TPDU that carries transactions.
const tpduID = 0x60

// progress is how far an explanation got.
func progress(x Explanation, err error) int {
	var f *FieldError
	if len(x.Fields) == 0 || !errors.As(err, &f) {
		return 0
	}
	return len(x.Fields)
}

// format is the element's format as the standard writes it.
func (e *Element) format() string {
	if e.Prefix > 0 {
		return fmt.Sprintf("%s ..%d", e.Class, e.Length)
	}
	return fmt.Sprintf("%s %d", e.Class, e.Length)
}

func explainElement(e *element) ExplainedField {
	f := ExplainedField{Number: e.def.Number, Name: e.def.Name, Format: e.def.format()}
	f.Value = masked(e.def, e.Value())
	if e.def.Member == MemberICC && looksTLV(e.Value()) {
		f.Tags = explainTags(e.Value())
		f.Value = fmt.Sprintf("%d bytes", len(e.Value()))
	}
	f.Meaning = meaning(e.def.Member, e.Value())
	return f
}

// masked is a value as it may be seen.
func masked(def *Element, v []byte) string {
	switch {
	case def.Number == 2, def.Number == 34, def.Number == 102, def.Number == 103, def.Member == MemberPAN:
		return maskDigits(v)
	case def.Number == 35, def.Number == 36, def.Number == 45, def.Member == MemberTrack2, def.Member == MemberPINBlock, def.Number == 52:
		return hidden(v)
	case def.Member == MemberPrivate:
		return maskPrivate(v)
	case def.Member == MemberICC, def.Class == B && def.Member == NoMember:
		return maskBytes(v)
	case def.Class == B:
		return strings.ToUpper(hex.EncodeToString(v))
	case def.Prefix > 0 && def.Member == NoMember:
		return maskRuns(v)
	}
	return string(v)
}

// maskPrivate is the private field in hexadecimal, with a CVV2 hidden; what is no
// private field of this package's dialects is hidden in whole.
func maskPrivate(v []byte) string {
	var b strings.Builder
	for o, err := range tlv.All(v) {
		if err != nil {
			return hidden(v)
		}
		s := strings.ToUpper(hex.EncodeToString(tlv.Append(nil, o.Tag, o.Value)))
		if o.Tag == tagCVV2 {
			s = s[:len(s)-2*len(o.Value)] + strings.Repeat("*", 2*len(o.Value))
		}
		b.WriteString(s)
	}
	return b.String()
}

// maskDigits is secret.PAN.Masked for bytes that may be no PAN.
func maskDigits(v []byte) string {
	if p, err := secret.NewPAN(v); err == nil {
		defer p.Wipe()
		return p.Masked()
	}
	return hidden(v)
}

func hidden(v []byte) string { return fmt.Sprintf("[%d, hidden]", len(v)) }

// digitRun is how many digits in a row may be a PAN, or hold one.
const digitRun = 12

// maskBytes is hexadecimal of bytes that nobody knows the meaning of, hidden in
// whole where a PAN or a track may be among them, in BCD or in ASCII.
func maskBytes(v []byte) string {
	s := strings.ToUpper(hex.EncodeToString(v))
	run := 0
	for i := range len(s) {
		if run++; !isDigit(s[i]) {
			run = 0
		}
		if run >= digitRun {
			return hidden(v)
		}
	}
	return s
}

// maskRuns hides long runs of digits in free text: a PAN in a private field is
// still a PAN, also with other digits before and behind it.
func maskRuns(v []byte) string {
	out := append([]byte(nil), v...)
	for i := 0; i < len(out); {
		j := i
		for j < len(out) && isDigit(out[j]) {
			j++
		}
		if j-i >= digitRun {
			for k := i; k < j-4; k++ {
				out[k] = '*'
			}
		}
		i = j + 1
	}
	return string(out)
}

// meaning says a value in words.
func meaning(mem Member, v []byte) string {
	s := string(v)
	switch mem {
	case MemberProcessingCode:
		return ProcessingText(s)
	case MemberResponseCode:
		r, _ := LookupResponse(s)
		return r.Merchant
	case MemberActionCode:
		for _, r := range responses {
			if r.Action == s {
				return r.Merchant
			}
		}
	case MemberCurrency, MemberSettlementCurrency:
		if c, reason := parseCurrency(v); reason == "" {
			return c.Code()
		}
	case MemberNetworkCode:
		return networkText(s)
	case MemberFunctionCode:
		return functionText(s)
	case MemberReason:
		return Reason(s).String()
	case MemberEntryMode:
		return entryText(s)
	}
	return ""
}

func entryText(s string) string {
	if len(s) != 3 {
		return ""
	}
	switch s[:2] {
	case EntryManual:
		return "keyed"
	case EntryMagstripe, EntryTrack:
		return "magnetic stripe"
	case EntryChip:
		return "chip"
	case EntryContactless:
		return "contactless chip"
	case EntryFallback:
		return "magnetic stripe after the chip failed"
	case EntryContactlessM:
		return "contactless magnetic stripe data"
	}
	return ""
}

// explainTags lists the objects of field 55. Values of tags that hold PAN,
// track or PIN data, and those inside a template that does, are hidden.
func explainTags(v []byte) []ExplainedTag {
	var out []ExplainedTag
	for o, err := range tlv.All(v) {
		if err != nil {
			break
		}
		t := ExplainedTag{Tag: o.Tag.String(), Value: strings.ToUpper(hex.EncodeToString(o.Value))}
		info, known := tags.Lookup(o.Tag)
		if known {
			t.Name = info.Name
		}
		switch {
		case o.Tag == tags.PAN:
			t.Value = hidden(o.Value)
			if p, err := secret.PANFromCN(o.Value); err == nil {
				t.Value = p.Masked()
				p.Wipe()
			}
		case known && info.Secrecy != tags.Public:
			t.Value = hidden(o.Value)
		case o.Tag == tagScript71 || o.Tag == tagScript72:
			// Commands to the card: no cardholder data, and enciphered where
			// they are secret.
		case o.Tag.Constructed() && sensitive(o.Value, 0):
			t.Value = hidden(o.Value)
		case !known && !o.Tag.Constructed():
			t.Value = maskBytes(o.Value)
		}
		out = append(out, t)
	}
	return out
}

// sensitive reports whether a template holds a tag that is not public, or can't
// be read, so that nobody knows what it holds.
func sensitive(v []byte, depth int) bool {
	if depth > 8 {
		return true
	}
	for o, err := range tlv.All(v) {
		if err != nil {
			return true
		}
		if info, ok := tags.Lookup(o.Tag); ok && info.Secrecy != tags.Public {
			return true
		}
		if o.Tag.Constructed() && sensitive(o.Value, depth+1) {
			return true
		}
	}
	return false
}

// String renders the explanation, a line a field.
func (x Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s (%s)\n", x.MTI, x.Meaning, x.Dialect)
	if x.TPDU != "" {
		fmt.Fprintf(&b, "  TPDU %s\n", x.TPDU)
	}
	for _, f := range x.Fields {
		fmt.Fprintf(&b, "  %3d %-38s %-9s %s", f.Number, f.Name, f.Format, f.Value)
		if f.Meaning != "" {
			b.WriteString("  (" + f.Meaning + ")")
		}
		b.WriteByte('\n')
		for _, t := range f.Tags {
			fmt.Fprintf(&b, "        %-6s %-40s %s\n", t.Tag, t.Name, t.Value)
		}
	}
	return b.String()
}
