package acquirer

import (
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/tlv"
)

// Tags that a response carries to the card, EMV 4.4 Book 3, Annex A.
const (
	tagScript71   tlv.Tag = 0x71 // scripts before the second GENERATE AC
	tagScript72   tlv.Tag = 0x72 // scripts after it
	tagIssuerAuth tlv.Tag = 0x91 // issuer authentication data
)

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
