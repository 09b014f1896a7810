package tags

import "fmt"

// AIPValue is the Application Interchange Profile, tag 82 (EMV 4.4 Book 3, C1).
type AIPValue [2]byte

// The bits of the first byte of the AIP.
const (
	AIPXDA         byte = 0x80
	AIPSDA         byte = 0x40
	AIPDDA         byte = 0x20
	AIPCVM         byte = 0x10
	AIPRisk        byte = 0x08
	AIPIssuerAuth  byte = 0x04
	AIPOnDeviceCVM byte = 0x02
	AIPCDA         byte = 0x01
)

// Has reports whether a bit of the first byte is set.
func (v AIPValue) Has(bit byte) bool { return v[0]&bit != 0 }

// String returns four hex digits.
func (v AIPValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the bits that are set, in words.
func (v AIPValue) Describe() []string {
	return describe(v[:], []bitWord{
		{0, 0x80, "XDA supported"},
		{0, 0x40, "SDA supported"},
		{0, 0x20, "DDA supported"},
		{0, 0x10, "Cardholder verification is supported"},
		{0, 0x08, "Terminal risk management is to be performed"},
		{0, 0x04, "Issuer authentication is supported by EXTERNAL AUTHENTICATE"},
		{0, 0x02, "On device cardholder verification is supported"},
		{0, 0x01, "CDA supported"},
		{1, 0x80, "EMV mode is supported"},
		{1, 0x40, "Mobile phone"},
		{1, 0x20, "Contactless transaction"},
		{1, 0x01, "Relay resistance protocol is supported"},
	})
}

// AUCValue is the Application Usage Control, tag 9F07 (Book 3, C2).
type AUCValue [2]byte

// The bits of the AUC.
const (
	AUCDomesticCash          byte = 0x80 // byte 1
	AUCInternationalCash     byte = 0x40
	AUCDomesticGoods         byte = 0x20
	AUCInternationalGoods    byte = 0x10
	AUCDomesticServices      byte = 0x08
	AUCInternationalServices byte = 0x04
	AUCATMs                  byte = 0x02
	AUCOtherThanATMs         byte = 0x01
	AUCDomesticCashback      byte = 0x80 // byte 2
	AUCInternationalCashback byte = 0x40
)

// String returns four hex digits.
func (v AUCValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the bits that are set, in words.
func (v AUCValue) Describe() []string {
	return describe(v[:], []bitWord{
		{0, 0x80, "Valid for domestic cash transactions"},
		{0, 0x40, "Valid for international cash transactions"},
		{0, 0x20, "Valid for domestic goods"},
		{0, 0x10, "Valid for international goods"},
		{0, 0x08, "Valid for domestic services"},
		{0, 0x04, "Valid for international services"},
		{0, 0x02, "Valid at ATMs"},
		{0, 0x01, "Valid at terminals other than ATMs"},
		{1, 0x80, "Domestic cashback allowed"},
		{1, 0x40, "International cashback allowed"},
	})
}

// CapabilitiesValue is the Terminal Capabilities, tag 9F33 (Book 4, A2).
type CapabilitiesValue [3]byte

// The bits of the second and third byte of the terminal capabilities.
const (
	CapPlaintextPIN  byte = 0x80 // byte 2
	CapOnlinePIN     byte = 0x40
	CapSignature     byte = 0x20
	CapEncipheredPIN byte = 0x10
	CapNoCVM         byte = 0x08
	CapSDA           byte = 0x80 // byte 3
	CapDDA           byte = 0x40
	CapCardCapture   byte = 0x20
	CapCDA           byte = 0x08
	CapXDA           byte = 0x04
)

// CVM reports whether a CVM bit of the second byte is set.
func (v CapabilitiesValue) CVM(bit byte) bool { return v[1]&bit != 0 }

// Security reports whether a bit of the third byte is set.
func (v CapabilitiesValue) Security(bit byte) bool { return v[2]&bit != 0 }

// String returns six hex digits.
func (v CapabilitiesValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the bits that are set, in words.
func (v CapabilitiesValue) Describe() []string {
	return describe(v[:], []bitWord{
		{0, 0x80, "Manual key entry"},
		{0, 0x40, "Magnetic stripe"},
		{0, 0x20, "IC with contacts"},
		{1, 0x80, "Plaintext PIN for ICC verification"},
		{1, 0x40, "Enciphered PIN for online verification"},
		{1, 0x20, "Signature"},
		{1, 0x10, "Enciphered PIN for offline verification"},
		{1, 0x08, "No CVM required"},
		{1, 0x04, "Online biometric"},
		{1, 0x02, "Offline biometric"},
		{1, 0x01, "Enciphered PIN for offline verification (ECC)"},
		{2, 0x80, "SDA"},
		{2, 0x40, "DDA"},
		{2, 0x20, "Card capture"},
		{2, 0x08, "CDA"},
		{2, 0x04, "XDA"},
	})
}

// AdditionalCapabilitiesValue is the Additional Terminal Capabilities, tag 9F40
// (Book 4, A3).
type AdditionalCapabilitiesValue [5]byte

// The bits of the first byte.
const (
	AddCash     byte = 0x80
	AddGoods    byte = 0x40
	AddServices byte = 0x20
	AddCashback byte = 0x10
)

// Has reports whether a bit of the first byte is set.
func (v AdditionalCapabilitiesValue) Has(bit byte) bool { return v[0]&bit != 0 }

// String returns ten hex digits.
func (v AdditionalCapabilitiesValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the bits that are set, in words.
func (v AdditionalCapabilitiesValue) Describe() []string {
	return describe(v[:], []bitWord{
		{0, 0x80, "Cash"},
		{0, 0x40, "Goods"},
		{0, 0x20, "Services"},
		{0, 0x10, "Cashback"},
		{0, 0x08, "Inquiry"},
		{0, 0x04, "Transfer"},
		{0, 0x02, "Payment"},
		{0, 0x01, "Administrative"},
		{1, 0x80, "Cash deposit"},
		{2, 0x80, "Numeric keys"},
		{2, 0x40, "Alphabetic and special characters keys"},
		{2, 0x20, "Command keys"},
		{2, 0x10, "Function keys"},
		{3, 0x80, "Print, attendant"},
		{3, 0x40, "Print, cardholder"},
		{3, 0x20, "Display, attendant"},
		{3, 0x10, "Display, cardholder"},
		{3, 0x02, "Code table 10"},
		{3, 0x01, "Code table 9"},
		{4, 0x80, "Code table 8"},
		{4, 0x40, "Code table 7"},
		{4, 0x20, "Code table 6"},
		{4, 0x10, "Code table 5"},
		{4, 0x08, "Code table 4"},
		{4, 0x04, "Code table 3"},
		{4, 0x02, "Code table 2"},
		{4, 0x01, "Code table 1"},
	})
}

// TerminalTypeValue is the Terminal Type, tag 9F35, its two digits as they are
// coded (Book 4, A1).
type TerminalTypeValue byte

// OnlineOnly reports whether the terminal never approves by itself.
func (v TerminalTypeValue) OnlineOnly() bool { return v&0x0F == 1 || v&0x0F == 4 }

// OfflineOnly reports whether the terminal can't go online.
func (v TerminalTypeValue) OfflineOnly() bool { return v&0x0F == 3 || v&0x0F == 6 }

// Attended reports whether an attendant is there.
func (v TerminalTypeValue) Attended() bool { return v&0x0F >= 1 && v&0x0F <= 3 }

// Describe returns the type in words, empty for a reserved one.
func (v TerminalTypeValue) Describe() []string {
	who := map[byte]string{1: "Operated by a financial institution", 2: "Operated by a merchant", 3: "Operated by the cardholder"}[byte(v)>>4]
	what := map[byte]string{
		1: "attended, online only", 2: "attended, offline with online capability", 3: "attended, offline only",
		4: "unattended, online only", 5: "unattended, offline with online capability", 6: "unattended, offline only",
	}[byte(v)&0x0F]
	if who == "" || what == "" {
		return []string{}
	}
	return []string{who, what}
}

// CIDValue is the Cryptogram Information Data, tag 9F27 (Book 3, table 14).
type CIDValue byte

// Cryptogram is the kind of an Application Cryptogram.
type Cryptogram byte

// The kinds. The zero value is an AAC, which declines.
const (
	AAC  Cryptogram = 0x00
	TC   Cryptogram = 0x40
	ARQC Cryptogram = 0x80
)

// String returns "AAC", "TC" or "ARQC".
func (c Cryptogram) String() string {
	switch c {
	case AAC:
		return "AAC"
	case TC:
		return "TC"
	case ARQC:
		return "ARQC"
	}
	return "RFU"
}

// Cryptogram returns the kind; 0xC0 is reserved.
func (v CIDValue) Cryptogram() Cryptogram { return Cryptogram(v & 0xC0) }

// AdviceRequired reports the advice bit.
func (v CIDValue) AdviceRequired() bool { return v&0x08 != 0 }

// Describe returns the contents in words.
func (v CIDValue) Describe() []string {
	out := []string{v.Cryptogram().String()}
	if v.AdviceRequired() {
		out = append(out, "Advice required")
	}
	switch v & 0x07 {
	case 1:
		out = append(out, "Service not allowed")
	case 2:
		out = append(out, "PIN Try Limit exceeded")
	case 3:
		out = append(out, "Issuer authentication failed")
	}
	return out
}
