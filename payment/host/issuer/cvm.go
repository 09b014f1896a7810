package issuer

import "github.com/payunit/payunit/cardreader/emv/tags"

// claimsHolder reports whether the terminal says that the card, or a device in its
// place, verified its holder: an offline PIN that was successful, in the CVM
// results (EMV 4.4 Book 4, A4; EMV Contactless Book C-2, 7.5, for devices).
func (f *fields) claimsHolder() bool {
	v := f.objects[tags.CVMResults]
	if len(v) != 3 || v[2] == tags.CVMResultFailed {
		return false
	}
	switch tags.CVM(v[0] & 0x3F) {
	case tags.CVMPlaintextPIN, tags.CVMPlaintextPINSignature, tags.CVMEncipheredPIN, tags.CVMEncipheredPINSignature:
		return true
	}
	return false
}

// verifiedHolder reports what the card itself says of that, in the verification
// results that its cryptogram covers. known is false for a layout of the issuer's
// own.
func (f *fields) verifiedHolder() (verified, known bool) {
	d := tags.ParseIAD(f.card.IAD)
	switch d.Format {
	case tags.IADVisa:
		return d.CVR[1]&0x06 == 0x04, true
	case tags.IADMChip:
		return d.CVR[0]&0x05 == 0x05, true
	case tags.IADCCD:
		return d.CVR[1]&0x0C == 0x08, true
	}
	return false, false
}

// contradicted says how terminal and card, or the terminal's own results, differ;
// "" when they agree. The terminal's results and tag 9F27 are not in every
// cryptogram, and a wedge may have made either side believe what suited it
// (Murdoch and others: Chip and PIN is Broken, IEEE S&P 2010; Basin, Sasse,
// Toro-Pozo: The EMV Standard: Break, Fix, Verify, IEEE S&P 2021). A layout of the
// issuer's own says nothing here.
func (f *fields) contradicted(tapped bool) string {
	if verified, known := f.verifiedHolder(); known && f.claimsHolder() && !verified {
		return "the terminal says that card or device verified the holder, and the card says that it did not"
	}
	if kind, known := f.returned(); known && kind != f.cid&0xC0 {
		return "the cryptogram is of another type than the card's results say"
	}
	tvr, cvm := f.objects[tags.TVR], f.objects[tags.CVMResults]
	if len(cvm) != 3 {
		return ""
	}
	if len(tvr) == 5 {
		// Book 3, Annex C5, byte 3.
		const unsuccessful, tries, pad, entered = 0x80, 0x20, 0x10, 0x08
		switch {
		case tvr[2]&unsuccessful != 0 && cvm[2] == tags.CVMResultSuccessful:
			return "the TVR says that the holder was not verified, and the CVM results say verified"
		case tvr[2]&(tries|pad|entered) != 0 && f.claimsHolder() && cvm[2] == tags.CVMResultSuccessful:
			return "the TVR says that no PIN was given to the card, and the CVM results say that it was right"
		}
	}
	method := tags.CVM(cvm[0]).Method()
	if method == tags.CVMPlaintextPIN && tapped {
		// The holder's device verified, and no PIN pad (Book C-2, 7.5).
		return ""
	}
	if able := f.objects[tags.TerminalCapabilities]; len(able) == 3 && lacks(able[1], method) {
		return "the CVM results have a method that the terminal is not capable of"
	}
	return ""
}

// lacks reports whether a method is not among a terminal's capabilities (Book 4,
// A2, byte 2). What has no bit there is not lacking.
func lacks(able byte, m tags.CVM) bool {
	const plaintext, online, signature, enciphered = 0x80, 0x40, 0x20, 0x10
	need := map[tags.CVM]byte{
		tags.CVMPlaintextPIN: plaintext, tags.CVMPlaintextPINSignature: plaintext | signature, tags.CVMOnlinePIN: online,
		tags.CVMEncipheredPIN: enciphered, tags.CVMEncipheredPINSignature: enciphered | signature, tags.CVMSignature: signature,
	}[m]
	return able&need != need
}

// returned is which type of cryptogram the card says that it has given last in this
// transaction, by the bits of tag 9F27: that of the second GENERATE AC, or where the second GENERATE
// AC was not asked for the first.
func (f *fields) returned() (kind byte, known bool) {
	var b byte
	switch d := tags.ParseIAD(f.card.IAD); d.Format {
	case tags.IADVisa:
		b = d.CVR[1]
	case tags.IADMChip, tags.IADCCD:
		b = d.CVR[0]
	default:
		return 0, false
	}
	second, first := b&0xC0, b<<2&0xC0
	if second == notRequested {
		return first, true
	}
	return second, true
}

// notRequested are the bits for the second GENERATE AC in the results of the
// first.
const notRequested = 0x80
