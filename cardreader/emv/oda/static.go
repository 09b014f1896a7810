package oda

import (
	"github.com/payunit/payunit/cardreader/tlv"
)

// Record is one record that the application file locator marks for offline data
// authentication.
type Record struct {
	SFI  byte
	Data []byte // the response to READ RECORD, without its status word
}

// The tags of AIP, template, AID and PDOL; oda needs no dictionary.
const (
	tagAIP      tlv.Tag = 0x82
	tagTemplate tlv.Tag = 0x70
	tagAID      tlv.Tag = 0x9F06
	tagPDOL     tlv.Tag = 0x9F38
)

// StaticData assembles what signatures over card data cover (Book 2, 5.1.1, and
// Book 3, 10.3): the records in the order of the AFL, those of files 1 to 10
// without the template's tag and length and the others whole, then the AIP when
// the static data authentication tag list, 9F4A, asks for it. A record of either
// kind that is no template 70 fails. tagList is nil when the card has none; any
// other tag in it fails. Errors are *Failure.
func StaticData(records []Record, tagList []byte, aip [2]byte) ([]byte, error) {
	var out []byte
	for i, r := range records {
		if r.SFI < 1 || r.SFI > 30 {
			return nil, failed(StepRecords, "record %d is of file %d", i+1, r.SFI)
		}
		objects, err := tlv.Parse(r.Data)
		if err != nil || len(objects) != 1 || objects[0].Tag != tagTemplate || objects[0].Offset != 0 ||
			objects[0].HeaderLen+len(objects[0].Value) != len(r.Data) {
			return nil, failed(StepRecords, "record %d, of file %d, is no template 70", i+1, r.SFI)
		}
		if r.SFI > 10 {
			out = append(out, r.Data...)
		} else {
			out = append(out, objects[0].Value...)
		}
	}
	if tagList == nil {
		return out, nil
	}
	list, err := tlv.ParseTagList(tagList)
	if err != nil || len(list) != 1 || list[0] != tagAIP {
		return nil, failed(StepRecords, "the tag list holds something else than the AIP")
	}
	return append(out, aip[:]...), nil
}

// FDDAData is what a contactless card that pays like Visa's signs in fast DDA
// (EMV Contactless Book C-3): the unpredictable number and, when the card sends
// card authentication related data (9F69, version 01), amount, currency and
// those. VerifyDDA takes it as its data.
func FDDAData(unpredictable [4]byte, amount [6]byte, currency [2]byte, related []byte) ([]byte, error) {
	if len(related) == 0 {
		return append([]byte(nil), unpredictable[:]...), nil
	}
	if related[0] != 0x01 || len(related) < 5 || len(related) > 16 {
		return nil, failed(StepDynamic, "fDDA of version %02X, or %d bytes of related data", related[0], len(related))
	}
	out := make([]byte, 0, 28)
	out = append(append(append(out, unpredictable[:]...), amount[:]...), currency[:]...)
	return append(out, related...), nil
}
