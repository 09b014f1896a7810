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

// contradicted reports whether terminal and card differ on the holder's
// verification. The terminal's results are not in every cryptogram, and a wedge may
// have made either believe what suited it (Murdoch and others: Chip and PIN is
// Broken, IEEE S&P 2010; Basin, Sasse, Toro-Pozo: The EMV Standard: Break, Fix,
// Verify, IEEE S&P 2021).
func (f *fields) contradicted() bool {
	verified, known := f.verifiedHolder()
	return known && f.claimsHolder() && !verified
}
