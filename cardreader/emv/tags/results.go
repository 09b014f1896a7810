package tags

import "fmt"

// TVRValue is the Terminal Verification Results, tag 95 (EMV 4.4 Book 3, C5).
type TVRValue [5]byte

// TVRBit is one bit of the TVR: byte index from 0 in the high byte, mask in the
// low one.
type TVRBit uint16

// The bits of the TVR.
const (
	TVRODANotPerformed       TVRBit = 0x0080
	TVRSDAFailed             TVRBit = 0x0040
	TVRICCDataMissing        TVRBit = 0x0020
	TVRExceptionFile         TVRBit = 0x0010
	TVRDDAFailed             TVRBit = 0x0008
	TVRCDAFailed             TVRBit = 0x0004
	TVRSDASelected           TVRBit = 0x0002
	TVRXDASelected           TVRBit = 0x0001
	TVRVersionsDiffer        TVRBit = 0x0180
	TVRExpired               TVRBit = 0x0140
	TVRNotYetEffective       TVRBit = 0x0120
	TVRServiceNotAllowed     TVRBit = 0x0110
	TVRNewCard               TVRBit = 0x0108
	TVRCVMFailed             TVRBit = 0x0280
	TVRUnrecognisedCVM       TVRBit = 0x0240
	TVRPINTryLimitExceeded   TVRBit = 0x0220
	TVRPINPadAbsent          TVRBit = 0x0210
	TVRPINNotEntered         TVRBit = 0x0208
	TVROnlinePINEntered      TVRBit = 0x0204
	TVRFloorLimitExceeded    TVRBit = 0x0380
	TVRLowerConsecutiveLimit TVRBit = 0x0340
	TVRUpperConsecutiveLimit TVRBit = 0x0320
	TVRRandomlySelected      TVRBit = 0x0310
	TVRMerchantForcedOnline  TVRBit = 0x0308
	TVRXDAFailed             TVRBit = 0x0301
	TVRDefaultTDOL           TVRBit = 0x0480
	TVRIssuerAuthFailed      TVRBit = 0x0440
	TVRScriptFailedBefore    TVRBit = 0x0420
	TVRScriptFailedAfter     TVRBit = 0x0410
	TVRECKeyMissing          TVRBit = 0x0404
	TVRECRecoveryFailed      TVRBit = 0x0402
)

// Set sets a bit.
func (v *TVRValue) Set(b TVRBit) {
	if i := int(b >> 8); i < len(v) {
		v[i] |= byte(b)
	}
}

// Clear clears a bit.
func (v *TVRValue) Clear(b TVRBit) {
	if i := int(b >> 8); i < len(v) {
		v[i] &^= byte(b)
	}
}

// Has reports whether a bit is set.
func (v TVRValue) Has(b TVRBit) bool {
	i := int(b >> 8)
	return i < len(v) && v[i]&byte(b) != 0
}

// Matches reports whether any bit is set that is also set in an action code.
func (v TVRValue) Matches(actionCode [5]byte) bool {
	for i := range v {
		if v[i]&actionCode[i] != 0 {
			return true
		}
	}
	return false
}

// String returns ten hex digits.
func (v TVRValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the bits that are set, in words.
func (v TVRValue) Describe() []string { return describe(v[:], tvrWords()) }

func tvrWords() []bitWord {
	return []bitWord{
		{0, 0x80, "Offline data authentication was not performed"},
		{0, 0x40, "SDA failed"},
		{0, 0x20, "ICC data missing"},
		{0, 0x10, "Card appears on terminal exception file"},
		{0, 0x08, "DDA failed"},
		{0, 0x04, "CDA failed"},
		{0, 0x02, "SDA selected"},
		{0, 0x01, "XDA selected"},
		{1, 0x80, "ICC and terminal have different application versions"},
		{1, 0x40, "Expired application"},
		{1, 0x20, "Application not yet effective"},
		{1, 0x10, "Requested service not allowed for card product"},
		{1, 0x08, "New card"},
		{1, 0x02, "Biometric performed and successful"},
		{1, 0x01, "Biometric template format not supported"},
		{2, 0x80, "Cardholder verification was not successful"},
		{2, 0x40, "Unrecognised CVM"},
		{2, 0x20, "PIN Try Limit exceeded"},
		{2, 0x10, "PIN entry required and PIN pad not present or not working"},
		{2, 0x08, "PIN entry required, PIN pad present, but PIN was not entered"},
		{2, 0x04, "Online PIN entered"},
		{2, 0x02, "Biometric required and biometric capture device not working"},
		{2, 0x01, "Biometric required, capture device present, but entry was bypassed"},
		{3, 0x80, "Transaction exceeds floor limit"},
		{3, 0x40, "Lower consecutive offline limit exceeded"},
		{3, 0x20, "Upper consecutive offline limit exceeded"},
		{3, 0x10, "Transaction selected randomly for online processing"},
		{3, 0x08, "Merchant forced transaction online"},
		{3, 0x04, "Biometric try limit exceeded"},
		{3, 0x02, "A selected biometric type not supported"},
		{3, 0x01, "XDA signature verification failed"},
		{4, 0x80, "Default TDOL used"},
		{4, 0x40, "Issuer authentication failed"},
		{4, 0x20, "Script processing failed before final GENERATE AC"},
		{4, 0x10, "Script processing failed after final GENERATE AC"},
		{4, 0x08, "Relay resistance threshold exceeded"},
		{4, 0x04, "CA ECC key missing"},
		{4, 0x02, "ECC key recovery failed"},
	}
}

// TSIValue is the Transaction Status Information, tag 9B (Book 3, C6).
type TSIValue [2]byte

// The bits of the first byte of the TSI.
const (
	TSIODAPerformed        byte = 0x80
	TSICVMPerformed        byte = 0x40
	TSICardRiskPerformed   byte = 0x20
	TSIIssuerAuthPerformed byte = 0x10
	TSIRiskPerformed       byte = 0x08
	TSIScriptPerformed     byte = 0x04
)

// Set sets a bit of the first byte.
func (v *TSIValue) Set(bit byte) { v[0] |= bit }

// Has reports whether a bit of the first byte is set.
func (v TSIValue) Has(bit byte) bool { return v[0]&bit != 0 }

// String returns four hex digits.
func (v TSIValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the bits that are set, in words.
func (v TSIValue) Describe() []string {
	return describe(v[:], []bitWord{
		{0, 0x80, "Offline data authentication was performed"},
		{0, 0x40, "Cardholder verification was performed"},
		{0, 0x20, "Card risk management was performed"},
		{0, 0x10, "Issuer authentication was performed"},
		{0, 0x08, "Terminal risk management was performed"},
		{0, 0x04, "Script processing was performed"},
	})
}

// bitWord names a bit of a coded element.
type bitWord struct {
	index int
	mask  byte
	words string
}

func describe(v []byte, words []bitWord) []string {
	out := []string{}
	for _, w := range words {
		if w.index < len(v) && v[w.index]&w.mask != 0 {
			out = append(out, w.words)
		}
	}
	return out
}
