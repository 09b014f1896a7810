package tags

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/tlv"
)

// contactless says the coded elements of EMV Contactless Books B, C-2 and C-3.
func contactless(t tlv.Tag, v []byte) ([]string, bool) {
	switch t {
	case KernelIdentifier:
		return kernel(v), true
	case CardAuthenticationRelatedData:
		return related(v), true
	case CardholderInteraction:
		return describe(v, []bitWord{
			{1, 0x10, "Verification on the device successful"},
			{1, 0x08, "Context is conflicting"},
			{1, 0x04, "Change of the device's PIN required"},
			{1, 0x02, "Acknowledgement required"},
			{1, 0x01, "Verification on the device required"},
		}), true
	case AvailableOfflineSpending:
		if len(v) == 3 {
			// Under Kernel 2 the tag is another element.
			return append([]string{fmt.Sprintf("Application capabilities information of kernel 2, version %d, data storage version %d", v[0]>>4, v[0]&0x0F)},
				describe(v, []bitWord{
					{1, 0x04, "Field off detection supported"},
					{1, 0x02, "Balance reading supported"},
					{1, 0x01, "CDA over TC, ARQC and AAC"},
				})...), true
		}
	case RelayMinTime, RelayMaxTime, RelayDeviceTransmission, RelayMeasured, 0xDF8132, 0xDF8133, 0xDF8134, 0xDF8135, 0xDF8136:
		n := int(v[0])<<8 | int(v[1])
		return []string{fmt.Sprintf("%d.%d ms", n/10, n%10)}, true
	case 0xDF811B:
		return describe(v, []bitWord{
			{0, 0x80, "Magnetic stripe mode not supported"},
			{0, 0x40, "EMV mode not supported"},
			{0, 0x20, "Verification on the device supported"},
			{0, 0x10, "Relay resistance protocol supported"},
			{0, 0x04, "All records are read without CDA too"},
		}), true
	case 0xDF8129:
		return outcome(v), true
	case 0xDF8116:
		return request(v), true
	}
	return nil, false
}

// kernel says a kernel identifier (EMV Contactless Book B, 3.3.2.5).
func kernel(v []byte) []string {
	name := map[byte]string{2: "Mastercard", 3: "Visa", 4: "American Express", 5: "JCB", 6: "Discover", 7: "UnionPay", 8: "Kernel 8"}
	short := v[0] & 0x3F
	switch v[0] >> 6 {
	case 0:
		if short == 0 {
			return []string{"No kernel preferred"}
		}
		if n, ok := name[short]; ok {
			return []string{fmt.Sprintf("International kernel %d: %s", short, n)}
		}
		return []string{fmt.Sprintf("International kernel %d", short)}
	case 1:
		return []string{fmt.Sprintf("Kernel of form 01, %d", short)}
	case 2:
		return []string{fmt.Sprintf("Domestic kernel in the EMVCo format, %X", v)}
	}
	return []string{fmt.Sprintf("Domestic kernel in a proprietary format, %X", v)}
}

// related says what fast DDA signs beside the terminal's data (EMV Contactless Book
// C-3, annex C).
func related(v []byte) []string {
	out := []string{fmt.Sprintf("fDDA version %02X", v[0]), fmt.Sprintf("Card's unpredictable number %X", v[1:5])}
	if len(v) < 7 {
		return out
	}
	for _, s := range CTQValue(v[5:7]).Describe() {
		out = append(out, "Qualifiers: "+s)
	}
	return out
}

// outcome says the Outcome Parameter Set (EMV Contactless Book C-2, A.1.118).
func outcome(v []byte) []string {
	pick := func(b byte, words ...string) string {
		if n := int(b >> 4); n < len(words) && words[n] != "" {
			return words[n]
		}
		return "N/A"
	}
	out := []string{
		"Status: " + pick(v[0], "", "Approved", "Declined", "Online Request", "End Application", "Select Next", "Try Another Interface", "Try Again"),
		"Start: " + pick(v[1], "A", "B", "C", "D"),
		"Online response data: " + pick(v[2], "EMV data"),
		"CVM: " + pick(v[3], "No CVM", "Obtain Signature", "Online PIN", "Confirmation Code Verified"),
	}
	out = append(out, describe(v, []bitWord{
		{4, 0x80, "User interface request on outcome"},
		{4, 0x40, "User interface request on restart"},
		{4, 0x20, "Data record"},
		{4, 0x10, "Discretionary data"},
		{4, 0x08, "Receipt"},
	})...)
	if v[6] != 0xFF {
		out = append(out, fmt.Sprintf("Field off for %d00 ms", v[6]))
	}
	if v[7] != 0 {
		out = append(out, fmt.Sprintf("Removal within %d00 ms", v[7]))
	}
	return out
}

// request says the User Interface Request Data (EMV Contactless Book C-2, A.1.194).
func request(v []byte) []string {
	status := []string{"not ready", "idle", "ready to read", "processing", "card read successfully", "processing error"}
	out := []string{fmt.Sprintf("Message %02X", v[0]), "Status N/A"}
	if int(v[1]) < len(status) {
		out[1] = "Status " + status[v[1]]
	}
	if hold := fmt.Sprintf("%X", v[2:5]); strings.Trim(hold, "0") != "" {
		out = append(out, "Held for "+strings.TrimLeft(hold, "0")+" ms")
	}
	if l := strings.TrimRight(string(v[5:13]), "\x00"); l != "" {
		out = append(out, "Languages "+text([]byte(l)))
	}
	switch v[13] {
	case 0x10:
		out = append(out, fmt.Sprintf("Amount %X, currency %X", v[14:20], v[20:22]))
	case 0x20:
		out = append(out, fmt.Sprintf("Balance %X, currency %X", v[14:20], v[20:22]))
	}
	return out
}
