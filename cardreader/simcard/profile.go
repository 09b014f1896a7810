package simcard

import (
	"errors"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader"
)

// Profile is what is written into a card at personalisation. Start from
// LookupProfile and alter the copy, or write one; New checks it.
type Profile struct {
	// Name and Text name the profile on a command line and say what it is.
	Name, Text string
	// PSE makes the card answer SELECT 1PAY.SYS.DDF01 with a directory (Book 1,
	// 12.2). Without it a terminal must try its list of AIDs.
	PSE bool
	// Protocol is T0 or T1. Zero is T1.
	Protocol cardreader.Protocol
	// Blocked starts a fresh card blocked: SELECT gets 6A81.
	Blocked bool
	// PIN is the reference PIN, 4 to 12 digits. A test value, and public.
	PIN string
	// PINTries is what a fresh card has left, 0 to 3.
	PINTries int
	// Applications are in the order in which partial selection finds them.
	Applications []Application

	// Tapped says that the profile is about its contactless side; by contact it
	// is as the default is.
	Tapped bool

	// UnknownCA keeps the card's CA key out of WriteCAPK, Revoked puts its
	// issuer certificate on WriteCAPK's list of revoked ones.
	UnknownCA, Revoked bool
	// Balance, when not nil, replaces the balance that WriteCards is told.
	Balance *int64
}

// Application is one payment application of a card.
type Application struct {
	AID       []byte
	Label     string // 50
	Preferred string // 9F12, absent when ""
	Priority  byte   // 87, absent when 0
	PAN       string // 12 to 19 digits
	PSN       byte   // 5F34, 0 to 99
	// Effective and Expiry are YYMMDD (5F25, 5F24).
	Effective, Expiry string
	ServiceCode       int // 5F30, 201: international, chip
	AIP               [2]byte
	AUC               [2]byte // 9F07
	CVMList           []byte  // 8E with both amounts
	Denial            [5]byte // 9F0E
	Online            [5]byte // 9F0F
	Default           [5]byte // 9F0D
	// PDOL, CDOL1, CDOL2 and DDOL are in their coded form; an empty PDOL or
	// DDOL is absent.
	PDOL, CDOL1, CDOL2, DDOL []byte
	// Format is the response format of GPO, INTERNAL AUTHENTICATE and GENERATE
	// AC: 1 (tag 80) or 2 (tag 77). A CDA response is always format 2.
	Format int

	// CAIndex names the CA key of the AID's RID that signed the issuer
	// certificate, Serial the issuer certificate. With XDA in the AIP all keys
	// are of an elliptic curve, and the other methods can't be there.
	CAIndex byte
	Serial  [3]byte
	// WrongSignature spoils each dynamic signature.
	WrongSignature bool

	// CVN, Session ("csk", "emv2000", "none") and Derivation ("A", "B") are the
	// cryptogram scheme that card and issuer share.
	CVN        byte
	Session    string
	Derivation string
	// AuthOptional lets the card approve after an online authorisation that
	// brought no issuer authentication data.
	AuthOptional bool

	// Limit is the highest amount, in minor units, for which the card gives
	// anything but an AAC. Zero is none.
	Limit int64
	// LowerLimit and UpperLimit (9F14, 9F23) bound consecutive offline
	// transactions; OfflineLimit their amounts together, zero is none.
	LowerLimit, UpperLimit byte
	OfflineLimit           int64
	// IssuerRecords are records of the issuer's own file, SFI 21, from 1 on: no
	// terminal reads them, and UPDATE RECORD changes them.
	IssuerRecords [][]byte
	// DeclineFirst and DeclineSecond make the card answer AAC to the first or
	// the second GENERATE AC whatever was asked.
	DeclineFirst, DeclineSecond bool
	// RefuseGPO answers 6985 to GET PROCESSING OPTIONS: conditions of use not
	// satisfied, and the terminal is to take another application.
	RefuseGPO bool
	// Blocked starts the application blocked: SELECT gets 6283.
	Blocked bool
	// Contactless is the application's side on the contactless interface; nil
	// when it has none.
	Contactless *Contactless
}

// The bits of AIP byte 1 (Book 3, Annex C1).
const (
	aipCDA        = 0x01
	aipIssuerAuth = 0x04
	aipRisk       = 0x08
	aipCVM        = 0x10
	aipDDA        = 0x20
	aipSDA        = 0x40
	aipXDA        = 0x80
)

const pinTryLimit = 3

// ErrProfile says that a profile can't be made into a card, or has no such name.
var ErrProfile = errors.New("simcard: profile")

func (p *Profile) check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w %q: %s", ErrProfile, p.Name, fmt.Sprintf(format, a...))
	}
	switch {
	case p.Protocol != cardreader.ProtocolUnknown && p.Protocol != cardreader.T0 && p.Protocol != cardreader.T1:
		return bad("protocol %v", p.Protocol)
	case !validPIN(p.PIN):
		return bad("PIN of %d characters, want 4 to 12 digits", len(p.PIN))
	case p.PINTries < 0 || p.PINTries > pinTryLimit:
		return bad("%d PIN tries", p.PINTries)
	case len(p.Applications) == 0:
		return bad("no application")
	}
	for i := range p.Applications {
		if what := p.Applications[i].check(); what != "" {
			return bad("application %d: %s", i+1, what)
		}
	}
	return nil
}

func (a *Application) check() string {
	switch {
	case len(a.AID) < 5 || len(a.AID) > 16:
		return "AID length"
	case len(a.Label) == 0 || len(a.Label) > 16 || len(a.Preferred) > 16:
		return "label length"
	case len(a.PAN) < 12 || len(a.PAN) > 19 || !digits(a.PAN):
		return "PAN"
	case a.PSN > 99:
		return "PAN sequence number"
	case len(a.Effective) != 6 || !digits(a.Effective) || len(a.Expiry) != 6 || !digits(a.Expiry):
		return "dates, want YYMMDD"
	case len(a.CVMList) < 10 || len(a.CVMList)%2 != 0:
		return "CVM list"
	case a.AIP[0]&aipXDA != 0 && a.AIP[0]&(aipSDA|aipDDA|aipCDA) != 0:
		return "XDA and a method of RSA: the card has one issuer certificate"
	case a.Format != 1 && a.Format != 2:
		return "response format"
	case len(a.IssuerRecords) > 10 || slices.ContainsFunc(a.IssuerRecords, func(r []byte) bool { return len(r) == 0 || len(r) > maxIssuerRecord }):
		return "issuer records"
	}
	return a.Contactless.check()
}

func validPIN(s string) bool { return len(s) >= 4 && len(s) <= 12 && digits(s) }

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// offlinePIN reports which offline PIN forms the CVM list names (Book 3, Annex
// C3): codes 1 and 3 plaintext, 4 and 5 enciphered.
func (a *Application) offlinePIN() (plain, enciphered bool) {
	for i := 8; i+1 < len(a.CVMList); i += 2 {
		switch a.CVMList[i] & 0x3F {
		case 1, 3:
			plain = true
		case 4, 5:
			enciphered = true
		}
	}
	return plain, enciphered
}
