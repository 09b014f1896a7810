package tags

import "fmt"

// IADFormat is a known layout of the Issuer Application Data.
type IADFormat uint8

// The layouts. The zero value is one that is the issuer's own.
const (
	IADUnknown IADFormat = iota
	IADVisa              // 06 or 07, key index, version, CVR 03xxxxxx, issuer's; American Express, JCB and UnionPay too
	IADMChip             // key index, version, CVR of six bytes, DAC or dynamic number, counters
	IADCCD               // EMV 4.4 Book 3, C9: 0F, format A5 or A6, key index, CVR of five bytes
	IADVisa2             // Visa's second layout: 1F, version 2x, key index, CVR of five bytes, issuer's
)

// IAD is the Issuer Application Data, tag 9F10, taken apart.
type IAD struct {
	Format IADFormat
	// KeyIndex is the derivation key index, Version the cryptogram version.
	KeyIndex, Version byte
	// CVR are the card verification results; it points into the value.
	CVR []byte
	// Rest is what follows: the issuer's own, counters.
	Rest []byte
}

// ParseIAD recognises the layout of tag 9F10 by its length and constant bytes.
// A value that fits none is returned as Rest, with Format IADUnknown.
func ParseIAD(v []byte) IAD {
	switch {
	case len(v) == 32 && v[0] == 0x0F && v[16] == 0x0F && v[1]>>4 == 0xA:
		return IAD{IADCCD, v[2], v[1], v[3:8], v[8:]}
	case len(v) == 32 && v[0] == 0x1F && v[1]>>4 == 2:
		return IAD{IADVisa2, v[2], v[1], v[3:8], v[8:]}
	case len(v) >= 7 && (v[0] == 0x06 || v[0] == 0x07) && v[3] == 0x03:
		return IAD{IADVisa, v[1], v[2], v[3:7], v[7:]}
	case (len(v) == 18 || len(v) == 20 || len(v) == 26 || len(v) == 28) && (v[1]>>4 == 1 || v[1]>>4 == 2):
		return IAD{IADMChip, v[0], v[1], v[2:8], v[8:]}
	}
	return IAD{Rest: v}
}

// Describe returns the parts in words.
func (d IAD) Describe() []string {
	if d.Format == IADUnknown {
		if len(d.Rest) == 0 {
			return []string{}
		}
		return []string{"A layout of the issuer's own"}
	}
	version := fmt.Sprintf("Cryptogram version %02X", d.Version)
	if d.Format == IADVisa && d.Version >= 0x0A {
		// Visa and American Express call theirs by the decimal number.
		version += fmt.Sprintf(", CVN %d", d.Version)
	}
	out := []string{fmt.Sprintf("Derivation key index %02X", d.KeyIndex), version,
		fmt.Sprintf("Card verification results %X", d.CVR)}
	switch d.Format {
	case IADVisa:
		out = append(out, visaCVR(d.CVR)...)
	case IADMChip:
		out = append(out, mchipCVR(d.CVR)...)
	case IADCCD:
		out = append(out, ccdCVR(d.CVR)...)
	}
	return append(out, d.rest()...)
}

// rest says what follows the card verification results.
func (d IAD) rest() []string {
	if len(d.Rest) == 0 {
		return nil
	}
	switch d.Format {
	case IADMChip:
		out := []string{fmt.Sprintf("Data authentication code or ICC dynamic number %X", d.Rest[:2])}
		if len(d.Rest) > 2 {
			out = append(out, fmt.Sprintf("Counters, plain or enciphered %X", d.Rest[2:]))
		}
		return out
	case IADCCD:
		return []string{fmt.Sprintf("Counters %X", d.Rest[:8]), fmt.Sprintf("Issuer's own data %X", d.Rest[9:])}
	case IADVisa:
		if n := len(d.Rest); n > 1 && int(d.Rest[0]) == n-1 {
			return []string{fmt.Sprintf("Issuer's own data, of form %X, %X", d.Rest[1]&0x0F, d.Rest[1:])}
		}
	}
	return []string{fmt.Sprintf("Issuer's own data %X", d.Rest)}
}

// ccdCVR says the card verification results of EMV 4.4 Book 3, C7.3.
func ccdCVR(v []byte) []string {
	out := append([]string{secondGAC(v[0] >> 6), returned("First", v[0]>>4)}, describe(v, []bitWord{
		{0, 0x08, "CDA performed"},
		{0, 0x04, "Offline DDA performed"},
		{0, 0x02, "Issuer authentication not performed"},
		{0, 0x01, "Issuer authentication failed"},
	})...)
	out = append(out, fmt.Sprintf("PIN try counter %d", v[1]>>4))
	out = append(out, describe(v, []bitWord{
		{1, 0x08, "Offline PIN verification performed"},
		{1, 0x04, "Offline PIN verification performed and PIN not successfully verified"},
		{1, 0x02, "PIN Try Limit exceeded"},
		{1, 0x01, "Last online transaction not completed"},
		{2, 0x80, "Lower offline transaction count limit exceeded"},
		{2, 0x40, "Upper offline transaction count limit exceeded"},
		{2, 0x20, "Lower cumulative offline amount limit exceeded"},
		{2, 0x10, "Upper cumulative offline amount limit exceeded"},
		{2, 0x08, "Issuer-discretionary bit 1"},
		{2, 0x04, "Issuer-discretionary bit 2"},
		{2, 0x02, "Issuer-discretionary bit 3"},
		{2, 0x01, "Issuer-discretionary bit 4"},
	})...)
	out = append(out, fmt.Sprintf("Issuer script commands with secure messaging processed: %d", v[3]>>4))
	return append(out, describe(v, []bitWord{
		{3, 0x08, "Issuer script processing failed"},
		{3, 0x04, "Offline data authentication failed on previous transaction"},
		{3, 0x02, "Go online on next transaction was set"},
		{3, 0x01, "Unable to go online"},
	})...)
}

// returned says a two-bit field of a CVR: the cryptogram of a GENERATE AC.
func returned(which string, bits byte) string {
	return which + " GENERATE AC: " + [4]string{"AAC", "TC", "ARQC", "RFU"}[bits&3]
}

func secondGAC(bits byte) string {
	if bits&3 == 2 {
		return "Second GENERATE AC: not requested"
	}
	return returned("Second", bits)
}

func visaCVR(v []byte) []string {
	out := append([]string{secondGAC(v[1] >> 6), returned("First", v[1]>>4)}, describe(v, []bitWord{
		{1, 0x08, "Issuer authentication performed and failed"},
		{1, 0x04, "Offline PIN verification performed"},
		{1, 0x02, "Offline PIN verification failed"},
		{1, 0x01, "Unable to go online"},
		{2, 0x80, "Last online transaction not completed"},
		{2, 0x40, "PIN Try Limit exceeded"},
		{2, 0x20, "Exceeded velocity checking counters"},
		{2, 0x10, "New card"},
		{2, 0x08, "Issuer authentication failure on last online transaction"},
		{2, 0x04, "Issuer authentication not performed after online authorisation"},
		{2, 0x02, "Application blocked by card because PIN Try Limit exceeded"},
		{2, 0x01, "Offline static data authentication failed on last transaction"},
	})...)
	out = append(out, fmt.Sprintf("Issuer script commands on last transaction: %d", v[3]>>4))
	return append(out, describe(v, []bitWord{
		{3, 0x08, "Issuer script processing failed on last transaction"},
		{3, 0x04, "Offline dynamic data authentication failed on last transaction"},
		{3, 0x02, "Offline dynamic data authentication performed"},
		{3, 0x01, "PIN verification command not received for a PIN-expecting card"},
	})...)
}

func mchipCVR(v []byte) []string {
	out := append([]string{secondGAC(v[0] >> 6), returned("First", v[0]>>4)}, describe(v, []bitWord{
		{0, 0x04, "Offline PIN verification performed"},
		{0, 0x02, "Offline encrypted PIN verification performed"},
		{0, 0x01, "Offline PIN verification successful"},
		{1, 0x80, "DDA returned"},
		{1, 0x40, "CDA returned in first GENERATE AC"},
		{1, 0x20, "CDA returned in second GENERATE AC"},
		{1, 0x10, "Issuer authentication performed"},
		{1, 0x08, "CIAC-Default skipped on CAT3"},
	})...)
	out = append(out, fmt.Sprintf("Script counter %d, PIN try counter %d", v[2]>>4, v[2]&0x0F))
	return append(out, describe(v, []bitWord{
		{3, 0x40, "Unable to go online"},
		{3, 0x20, "Offline PIN verification not performed"},
		{3, 0x10, "Offline PIN verification failed"},
		{3, 0x08, "PIN Try Limit exceeded"},
		{3, 0x04, "International transaction"},
		{3, 0x02, "Domestic transaction"},
		{3, 0x01, "Terminal erroneously considers offline PIN OK"},
		{4, 0x80, "Lower consecutive offline limit exceeded"},
		{4, 0x40, "Upper consecutive offline limit exceeded"},
		{4, 0x20, "Lower cumulative offline limit exceeded"},
		{4, 0x10, "Upper cumulative offline limit exceeded"},
		{4, 0x08, "Go online on next transaction was set"},
		{4, 0x04, "Issuer authentication failed"},
		{4, 0x02, "Script received"},
		{4, 0x01, "Script failed"},
		{5, 0x02, "Match found in additional check table"},
		{5, 0x01, "No match found in additional check table"},
	})...)
}
