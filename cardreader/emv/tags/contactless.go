package tags

import "fmt"

// TTQValue is the Terminal Transaction Qualifiers, tag 9F66 (EMV Contactless
// Book A, 5.7).
type TTQValue [4]byte

// TTQBit is one bit of the TTQ: byte index from 0 in the high byte, mask in the
// low one.
type TTQBit uint16

// The bits of the TTQ.
const (
	TTQMagStripe                TTQBit = 0x0080
	TTQEMVMode                  TTQBit = 0x0020
	TTQContactChip              TTQBit = 0x0010
	TTQOfflineOnly              TTQBit = 0x0008
	TTQOnlinePIN                TTQBit = 0x0004
	TTQSignature                TTQBit = 0x0002
	TTQODAForOnline             TTQBit = 0x0001
	TTQOnlineCryptogramRequired TTQBit = 0x0180
	TTQCVMRequired              TTQBit = 0x0140
	TTQOfflinePINContact        TTQBit = 0x0120
	TTQIssuerUpdate             TTQBit = 0x0280
	TTQConsumerDeviceCVM        TTQBit = 0x0240
)

// Has reports whether a bit is set.
func (v TTQValue) Has(b TTQBit) bool {
	i := int(b >> 8)
	return i < len(v) && v[i]&byte(b) != 0
}

// Set sets a bit.
func (v *TTQValue) Set(b TTQBit) {
	if i := int(b >> 8); i < len(v) {
		v[i] |= byte(b)
	}
}

// Clear clears a bit.
func (v *TTQValue) Clear(b TTQBit) {
	if i := int(b >> 8); i < len(v) {
		v[i] &^= byte(b)
	}
}

// String returns eight hex digits.
func (v TTQValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the bits that are set, in words.
func (v TTQValue) Describe() []string { return describe(v[:], ttqWords()) }

// CTQValue is the Card Transaction Qualifiers, tag 9F6C (EMV Contactless Book
// C-3, A.2).
type CTQValue [2]byte

// CTQBit is one bit of the CTQ, as a TTQBit is one of the TTQ.
type CTQBit uint16

// The bits of the CTQ.
const (
	CTQOnlinePINRequired      CTQBit = 0x0080
	CTQSignatureRequired      CTQBit = 0x0040
	CTQOnlineIfODAFails       CTQBit = 0x0020
	CTQSwitchIfODAFails       CTQBit = 0x0010
	CTQOnlineIfExpired        CTQBit = 0x0008
	CTQSwitchForCash          CTQBit = 0x0004
	CTQSwitchForCashback      CTQBit = 0x0002
	CTQConsumerDeviceCVM      CTQBit = 0x0180
	CTQIssuerUpdateProcessing CTQBit = 0x0140
)

// Has reports whether a bit is set.
func (v CTQValue) Has(b CTQBit) bool {
	i := int(b >> 8)
	return i < len(v) && v[i]&byte(b) != 0
}

// String returns four hex digits.
func (v CTQValue) String() string { return fmt.Sprintf("%X", v[:]) }

// Describe returns the bits that are set, in words.
func (v CTQValue) Describe() []string { return describe(v[:], ctqWords()) }

// ttqWords are the bits of the Terminal Transaction Qualifiers (EMV Contactless
// Book A, 5.7).
func ttqWords() []bitWord {
	return []bitWord{
		{0, 0x80, "Mag-stripe mode supported"},
		{0, 0x20, "EMV mode supported"},
		{0, 0x10, "EMV contact chip supported"},
		{0, 0x08, "Offline-only reader"},
		{0, 0x04, "Online PIN supported"},
		{0, 0x02, "Signature supported"},
		{0, 0x01, "Offline data authentication for online authorisations supported"},
		{1, 0x80, "Online cryptogram required"},
		{1, 0x40, "CVM required"},
		{1, 0x20, "Offline PIN supported, contact chip"},
		{2, 0x80, "Issuer update processing supported"},
		{2, 0x40, "Consumer device CVM supported"},
	}
}

// ctqWords are the bits of the Card Transaction Qualifiers (EMV Contactless Book
// C-3, A.2).
func ctqWords() []bitWord {
	return []bitWord{
		{0, 0x80, "Online PIN required"},
		{0, 0x40, "Signature required"},
		{0, 0x20, "Go online if offline data authentication fails and the reader is online capable"},
		{0, 0x10, "Switch interface if offline data authentication fails and the reader supports contact chip"},
		{0, 0x08, "Go online if the application has expired"},
		{0, 0x04, "Switch interface for cash transactions"},
		{0, 0x02, "Switch interface for cashback transactions"},
		{1, 0x80, "Consumer device CVM performed"},
		{1, 0x40, "Card supports issuer update processing at the point of sale"},
	}
}
