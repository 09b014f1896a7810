package acquirer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/payunit/payunit/cardreader/tlv"
)

// Tags that a response carries to the card, EMV 4.4 Book 3, Annex A.
const (
	tagScript71   tlv.Tag = 0x71 // scripts before the second GENERATE AC
	tagScript72   tlv.Tag = 0x72 // scripts after it
	tagIssuerAuth tlv.Tag = 0x91 // issuer authentication data
	tagARC        tlv.Tag = 0x8A // authorisation response code
)

// schemeTags are the data objects that a scheme wants in a request's field 55
// beside those of every request, by the RID that its AIDs begin with.
var schemeTags = [...]struct {
	rid  string
	tags []tlv.Tag
}{
	{"\xA0\x00\x00\x00\x03", []tlv.Tag{0x9F6E, 0x9F7C}}, // Visa: form factor indicator, customer exclusive data
	{"\xA0\x00\x00\x00\x04", []tlv.Tag{0x9F53, 0x9F6E}}, // Mastercard: transaction category code, third party data
	{"\xA0\x00\x00\x00\x65", []tlv.Tag{0x9F6E}},         // JCB: device information
	{"\xA0\x00\x00\x03\x33", []tlv.Tag{0x9F63}},         // UnionPay: card product identification
}

// RequestTags returns the data objects that the scheme of an AID wants in a
// request's field 55 beside those of every request; none for a scheme that it
// does not know. What the card did not give is left out.
func RequestTags(aid []byte) []tlv.Tag {
	for _, s := range schemeTags {
		if strings.HasPrefix(string(aid), s.rid) {
			return slices.Clone(s.tags)
		}
	}
	return nil
}

// ResponseARC is the authorisation response code that a response's field 55 has
// for the card (tag 8A, two characters), "" for none: the card gets field 39
// then.
func ResponseARC(icc []byte) string {
	for o, err := range tlv.All(icc) {
		if err != nil {
			return ""
		}
		if o.Tag == tagARC && len(o.Value) == 2 {
			return string(o.Value)
		}
	}
	return ""
}

// field55 says what is wrong with a field 55, "" when nothing is. The bytes go
// through as they are, so that order, repeats and empty values stay. Only the
// top level is judged: what a script template holds is for the kernel, which
// has its own ending for a broken one (EMV 4.4 Book 3, 10.10).
func field55(v []byte) string {
	for _, err := range tlv.All(v) {
		if err == nil {
			continue
		}
		var e *tlv.Error
		if errors.As(err, &e) {
			return fmt.Sprintf("is no BER-TLV: %s at its byte %d", e.Reason, e.Offset)
		}
		return "is no BER-TLV"
	}
	return ""
}

// IssuerData takes what a response's field 55 holds for the card: the value of
// tag 91, and the scripts of templates 71 and 72 with their tags and lengths, in
// the order in which they came. It returns nil for what is absent, and nothing
// from bytes that are no BER-TLV. The results point into icc.
func IssuerData(icc []byte) (authentication, scripts []byte) {
	for o, err := range tlv.All(icc) {
		if err != nil {
			return nil, nil
		}
		switch o.Tag {
		case tagIssuerAuth:
			if authentication == nil {
				authentication = o.Value
			}
		case tagScript71, tagScript72:
			scripts = append(scripts, icc[o.Offset:o.Offset+o.HeaderLen+len(o.Value)]...)
		}
	}
	return authentication, scripts
}
