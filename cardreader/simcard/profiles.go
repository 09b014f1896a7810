package simcard

import (
	"encoding/hex"
	"fmt"

	"github.com/payunit/payunit/cardreader"
)

// TestPIN is the PIN of every built-in profile.
const TestPIN = "1234"

// AIDs of the built-in profiles. They are the schemes' own, so that any
// terminal knows them; the CA keys under them are payunit's test keys.
const (
	aidVisa       = "A0000000031010"
	aidMastercard = "A0000000041010"
)

// CA key indexes of the built-in profiles, in the range that no scheme uses for
// live keys under these RIDs.
const (
	indexKnown   = 0xF1
	indexUnknown = 0xF2
	indexEC      = 0xF3
)

// Data object lists of the built-in profiles.
const (
	dolAmounts = "9F02069F03069F1A0295055F2A029A039C019F3704"
	dolPDOL    = "9F66049F02069F03069F1A0295055F2A029A039C019F37049F3501"
)

// ProfileInfo is a line in a list of profiles.
type ProfileInfo struct{ Name, Text string }

// Profiles lists the built-in profiles, the default first.
func Profiles() []ProfileInfo {
	var out []ProfileInfo
	for _, p := range builtin() {
		out = append(out, ProfileInfo{p.Name, p.Text})
	}
	return out
}

// AllProfiles returns every built-in profile.
func AllProfiles() []Profile { return builtin() }

// LookupProfile returns the built-in profile of that name, "" being the
// default. The error wraps ErrProfile.
func LookupProfile(name string) (Profile, error) {
	if name == "" {
		name = "default"
	}
	for _, p := range builtin() {
		if p.Name == name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("%w: no profile is called %q", ErrProfile, name)
}

// base is the application that the profiles are variations of.
func base(pan string) Application {
	return Application{
		AID: unhex(aidVisa), Label: "PAYUNIT TEST", Priority: 1,
		PAN: pan, PSN: 0, Effective: "240101", Expiry: "311231", ServiceCode: 201,
		AIP: [2]byte{aipDDA | aipCVM | aipRisk | aipIssuerAuth, 0},
		AUC: [2]byte{0xFF, 0xC0}, // everywhere, for everything, with cashback
		// Online PIN if the terminal can, else no CVM.
		CVMList: cvmList(0x02, 0x03, 0x1F, 0x03),
		Denial:  [5]byte{0x00, 0x10, 0x00, 0x00, 0x00}, // service not allowed
		Online:  [5]byte{0xFC, 0xE8, 0xFC, 0xF8, 0x00},
		Default: [5]byte{0xFC, 0x68, 0xFC, 0xA8, 0x00},
		CDOL1:   unhex(dolAmounts),
		CDOL2:   unhex("8A02" + dolAmounts),
		DDOL:    unhex("9F3704"),
		Format:  1, CAIndex: indexKnown, Serial: [3]byte{0x00, 0x10, 0x01},
		CVN: 0x12, Session: "csk", Derivation: "A",
		Limit: 500000, LowerLimit: 3, UpperLimit: 5, OfflineLimit: 20000,
		Contactless: &Contactless{Kernel: 3, KernelID: []byte{0x03}, OnlinePIN: true, Signature: true, IssuerUpdate: true},
	}
}

func cvmList(codes ...byte) []byte { return append(make([]byte, 8), codes...) }

// builtin makes the profiles anew at each call: a caller may alter its copy.
// The PANs lie in a range for tests and are all different.
func builtin() []Profile {
	var list []Profile
	add := func(name, text, pan string, alter func(*Profile, *Application)) {
		p := Profile{Name: name, Text: text, PSE: true, Protocol: cardreader.T1, PIN: TestPIN, PINTries: pinTryLimit,
			Applications: []Application{base(pan)}}
		if alter != nil {
			alter(&p, &p.Applications[0])
		}
		list = append(list, p)
	}
	add("default", "DDA, directory, online PIN then no CVM, EXTERNAL AUTHENTICATE", "4761739001010010", nil)
	add("cdol2", "issuer authentication data inside the second GENERATE AC, CVN 10", "4761739001010028", func(_ *Profile, a *Application) {
		a.AIP[0] &^= aipIssuerAuth
		a.CDOL2 = unhex("8A02910A" + dolAmounts)
		a.CVN, a.Session = 0x0A, "none"
	})
	add("cda", "combined data authentication, response format 2", "4761739001010036", func(_ *Profile, a *Application) {
		a.AIP[0] |= aipCDA
		a.Format = 2
	})
	add("sda", "static data authentication only, CVN 10", "4761739001010044", func(_ *Profile, a *Application) {
		a.AIP[0] = a.AIP[0]&^aipDDA | aipSDA
		a.DDOL = nil
		a.CVN, a.Session = 0x0A, "none"
	})
	add("offline-pin", "plaintext PIN verified by the card, else signature", "4761739001010051", func(_ *Profile, a *Application) {
		a.CVMList = cvmList(0x01, 0x03, 0x1E, 0x03)
	})
	add("offline-pin-enciphered", "enciphered PIN verified by the card, else signature", "4761739001010069", func(_ *Profile, a *Application) {
		a.CVMList = cvmList(0x04, 0x03, 0x1E, 0x03)
	})
	add("signature", "signature on paper", "4761739001010077", func(_ *Profile, a *Application) {
		a.CVMList = cvmList(0x1E, 0x00)
	})
	add("nocvm", "no cardholder verification", "4761739001010085", func(_ *Profile, a *Application) {
		a.CVMList = cvmList(0x1F, 0x00)
	})
	add("multi-app", "two applications, no directory", "4761739001010093", func(p *Profile, a *Application) {
		p.PSE = false
		a.Label, a.Preferred = "DEBIT", "Payunit Debit"
		b := base("5413330089020011")
		b.AID, b.Label, b.Priority = unhex(aidMastercard), "CREDIT", 2
		b.Contactless = nil
		p.Applications = append(p.Applications, b)
	})
	add("pdol", "PDOL, GET PROCESSING OPTIONS in format 2", "4761739001010101", func(_ *Profile, a *Application) {
		a.PDOL = unhex(dolPDOL)
		a.Format = 2
	})
	add("t0", "protocol T=0: 61xx and 6Cxx", "4761739001010119", func(p *Profile, _ *Application) {
		p.Protocol = cardreader.T0
	})
	add("expired", "expired at the end of 2019", "4761739001010127", func(_ *Profile, a *Application) {
		a.Effective, a.Expiry = "150101", "191231"
	})
	add("not-yet-effective", "effective from 2031 on", "4761739001010135", func(_ *Profile, a *Application) {
		a.Effective = "310101"
		a.Denial[1] |= 0x20
	})
	add("over-limit", "the card's own limit is 10.00: AAC above it", "4761739001010143", func(_ *Profile, a *Application) {
		a.Limit = 1000
	})
	add("unknown-ca", "certificates under a CA key that the terminal does not have", "4761739001010150", func(p *Profile, a *Application) {
		p.UnknownCA = true
		a.CAIndex = indexUnknown
	})
	add("revoked", "issuer certificate on the revocation list", "4761739001010168", func(p *Profile, a *Application) {
		p.Revoked = true
		a.Serial = [3]byte{0x00, 0x66, 0x66}
	})
	add("pin-blocked", "offline PIN with no tries left", "4761739001010176", func(p *Profile, a *Application) {
		p.PINTries = 0
		a.CVMList = cvmList(0x01, 0x03)
		a.Denial[2] |= 0x20
	})
	add("pin-unblock", "offline PIN with no tries left, for which the issuer is asked; a record of the issuer's own", "4761739001010267", func(p *Profile, a *Application) {
		p.PINTries = 0
		a.CVMList = cvmList(0x41, 0x03, 0x1F, 0x03)
		a.IssuerRecords = [][]byte{unhex("700100")}
	})
	add("wrong-dda", "the dynamic signature is false", "4761739001010184", func(_ *Profile, a *Application) {
		a.WrongSignature = true
	})
	add("blocked-card", "the card is blocked: SELECT gets 6A81", "4761739001010192", func(p *Profile, _ *Application) {
		p.Blocked = true
	})
	add("blocked-app", "the application is blocked: SELECT gets 6283", "4761739001010200", func(_ *Profile, a *Application) {
		a.Blocked = true
	})
	add("low-balance", "the issuer holds 1.00", "4761739001010218", func(p *Profile, _ *Application) {
		balance := int64(100)
		p.Balance = &balance
	})
	add("decline", "AAC at the first GENERATE AC", "4761739001010226", func(_ *Profile, a *Application) {
		a.DeclineFirst = true
	})
	add("decline-second", "AAC at the second GENERATE AC", "4761739001010234", func(_ *Profile, a *Application) {
		a.DeclineSecond = true
	})
	add("refused-app", "two applications; the first refuses GET PROCESSING OPTIONS with 6985", "4761739001010242", func(p *Profile, a *Application) {
		a.RefuseGPO = true
		b := base("5413330089020029")
		b.AID, b.Label, b.Priority = unhex(aidMastercard), "CREDIT", 2
		b.Contactless = nil
		p.Applications = append(p.Applications, b)
	})
	add("xda", "elliptic-curve data authentication (XDA), PDOL, response format 2", "4761739001010309", func(_ *Profile, a *Application) {
		a.AIP[0] = a.AIP[0]&^aipDDA | aipXDA
		a.PDOL = unhex("9F33039F0206")
		a.DDOL = nil
		a.Format, a.CAIndex = 2, indexEC
		a.Contactless = nil
	})
	add("long-pan", "PAN of 19 digits, key derivation B, EMV2000 session keys", "4761739001010250019", func(_ *Profile, a *Application) {
		a.Derivation, a.Session = "B", "emv2000"
	})
	add("stripe", "a magnetic stripe and no chip that a terminal has an application for; no PIN", "4761739001010903", func(_ *Profile, a *Application) {
		stripeOnly(a, 101)
	})
	add("stripe-pin", "the same, with an online PIN", "4761739001010911", func(_ *Profile, a *Application) {
		stripeOnly(a, 120)
	})
	addTaps(add)
	return list
}

// stripeOnly leaves a card its stripe: no terminal has its application.
func stripeOnly(a *Application, service int) {
	a.AID, a.ServiceCode, a.Contactless = unhex("A0000000030F01"), service, nil
}

// unhex reads this package's own constants.
func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("simcard: constant is not hex: " + s)
	}
	return b
}
