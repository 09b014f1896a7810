package cryptogram

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
)

// CVN is a cryptogram version: which data the cryptogram covers, how the issuer
// answers, and how its scripts are protected. The number in a card's issuer
// application data does not say whose version it is (17 is Visa's for contactless
// and Mastercard's), so that versions have names of their own here. The zero
// value is none, and is refused.
type CVN uint8

// Cryptogram versions. Visa and Interac count them in decimal, M/Chip names are
// hexadecimal.
const (
	Visa10     CVN = iota + 1 // 0A: card key, selected data, ARPC method 1
	Visa17                    // 11: card key, contactless, few data
	Visa18                    // 12: common session keys, ARPC method 2
	Visa22                    // 16: as 18, common session keys and format 2 PIN blocks for scripts
	MChip10                   // 10: Mastercard session keys
	MChip11                   // 11: the same with counters
	MChip12                   // 12: EMV2000 session keys
	MChip13                   // 13: the same with counters
	MChip14                   // 14: common session keys
	MChip15                   // 15: the same with counters
	Interac133                // 85
)

// Session is how cryptogram session keys derive from the card key.
type Session uint8

// Session key derivations.
const (
	// SessionOfCVN, the zero value, takes what the cryptogram version says.
	SessionOfCVN Session = iota
	// SessionNone uses the card key itself.
	SessionNone
	// SessionCommon is SessionCSK.
	SessionCommon
	// SessionTree is SessionEMV2000 with two branches, sixteen levels and an
	// initial value of zeros.
	SessionTree
	// SessionProprietary is SessionMChip.
	SessionProprietary
)

// Scheme is all that a card and its issuer have agreed upon.
type Scheme struct {
	Derivation Derivation
	Session    Session
	CVN        CVN
}

// rules is what a version means.
type rules struct {
	name    string
	number  byte
	session Session
	padding Padding
	answer  answer
	script  script
	cipher  Encipherment
	// visaPIN: new PINs travel in Visa's own block with no current PIN given too.
	visaPIN bool
}

// answer is how the issuer authenticates itself.
type answer uint8

const (
	method1Card    answer = iota + 1 // method 1 under the card key
	method1Session                   // method 1 under the session key, if there is one
	method2Session                   // method 2 under the session key
)

// script is how a script's keys and MACs are made.
type script uint8

const (
	scriptVisa   script = iota + 1 // keys from the ATC; the MAC covers header, ATC, AC, data
	scriptVisaSK                   // keys from the AC; the same MAC
	scriptMChip                    // keys and MAC from the AC plus the command's number
	scriptPlain                    // keys from the AC; the MAC covers the command only
)

func (c CVN) rules() (rules, error) {
	switch c {
	case Visa10:
		return rules{"Visa CVN 10", 0x0A, SessionNone, PadZeros, method1Session, scriptVisa, EnciphermentVisa, true}, nil
	case Visa17:
		return rules{"Visa CVN 17", 0x11, SessionNone, PadZeros, method1Session, scriptVisa, EnciphermentVisa, true}, nil
	case Visa18:
		return rules{"Visa CVN 18", 0x12, SessionCommon, Pad80, method2Session, scriptVisa, EnciphermentVisa, true}, nil
	case Visa22:
		return rules{"Visa CVN 22", 0x16, SessionCommon, Pad80, method2Session, scriptVisaSK, EnciphermentVisa, false}, nil
	case MChip10, MChip11:
		return rules{fmt.Sprintf("M/Chip CVN %02X", c.mchip()), c.mchip(), SessionProprietary, Pad80, method1Card, scriptMChip, EnciphermentMChip, false}, nil
	case MChip12, MChip13:
		return rules{fmt.Sprintf("M/Chip CVN %02X", c.mchip()), c.mchip(), SessionTree, Pad80, method1Session, scriptMChip, EnciphermentMChip, false}, nil
	case MChip14, MChip15:
		return rules{fmt.Sprintf("M/Chip CVN %02X", c.mchip()), c.mchip(), SessionCommon, Pad80, method1Session, scriptMChip, EnciphermentMChip, false}, nil
	case Interac133:
		return rules{"Interac CVN 133", 0x85, SessionProprietary, Pad80, method1Session, scriptPlain, EnciphermentMChip, false}, nil
	}
	return rules{}, fmt.Errorf("%w: cryptogram version %d", ErrScheme, uint8(c))
}

// mchip is the number of an M/Chip version; they follow one another from 10.
func (c CVN) mchip() byte { return 0x10 + byte(c-MChip10) }

// String returns the version's name, such as "Visa CVN 18".
func (c CVN) String() string {
	if r, err := c.rules(); err == nil {
		return r.name
	}
	return fmt.Sprintf("CVN(%d)", uint8(c))
}

// Number returns the byte that stands for the version in issuer application
// data, 0 for an unknown one.
func (c CVN) Number() byte {
	r, _ := c.rules()
	return r.number
}

// ParseScheme reads the names of a cards file: derivation A or B; session csk,
// emv2000, mchip, none, or empty for what the version says; cvn 10, 17, 18, 22
// or 133 as Visa and Interac count, or the byte in hexadecimal: 0A and 16 (Visa
// 10 and 22), 11 to 15 (M/Chip), 85 (Interac); 0x before it makes 0x10 M/Chip's.
// Errors wrap ErrScheme.
func ParseScheme(derivation, session, cvn string) (Scheme, error) {
	var s Scheme
	switch strings.ToUpper(derivation) {
	case "A":
		s.Derivation = DerivationA
	case "B":
		s.Derivation = DerivationB
	default:
		return Scheme{}, fmt.Errorf("%w: derivation %q, want A or B", ErrScheme, derivation)
	}
	switch strings.ToLower(session) {
	case "":
	case "none":
		s.Session = SessionNone
	case "csk":
		s.Session = SessionCommon
	case "emv2000":
		s.Session = SessionTree
	case "mchip":
		s.Session = SessionProprietary
	default:
		return Scheme{}, fmt.Errorf("%w: session %q, want csk, emv2000, mchip or none", ErrScheme, session)
	}
	switch strings.ToLower(cvn) {
	case "10", "0a", "0x0a":
		s.CVN = Visa10
	case "17":
		s.CVN = Visa17
	case "18":
		s.CVN = Visa18
	case "22", "16", "0x16":
		s.CVN = Visa22
	case "0x10":
		s.CVN = MChip10
	case "11", "0x11":
		s.CVN = MChip11
	case "12", "0x12":
		s.CVN = MChip12
	case "13", "0x13":
		s.CVN = MChip13
	case "14", "0x14":
		s.CVN = MChip14
	case "15", "0x15":
		s.CVN = MChip15
	case "133", "85", "0x85":
		s.CVN = Interac133
	default:
		return Scheme{}, fmt.Errorf("%w: cryptogram version %q", ErrScheme, cvn)
	}
	return s, nil
}

// Validate checks that every part of s is known. Errors wrap ErrScheme.
func (s Scheme) Validate() error {
	if s.Derivation != DerivationA && s.Derivation != DerivationB {
		return fmt.Errorf("%w: %v", ErrScheme, s.Derivation)
	}
	_, err := s.rules()
	return err
}

// rules returns the version's rules with the session that s asks for.
func (s Scheme) rules() (rules, error) {
	r, err := s.CVN.rules()
	if err != nil {
		return r, err
	}
	if s.Session > SessionProprietary {
		return r, fmt.Errorf("%w: session %d", ErrScheme, uint8(s.Session))
	}
	if s.Session != SessionOfCVN {
		r.session = s.Session
	}
	return r, nil
}

// Keys are the three master keys of an issuer, or of a card: for cryptograms,
// for the integrity and for the confidentiality of scripts.
type Keys struct{ AC, SMI, SMC secret.Bytes }

// Wipe zeroes the keys.
func (k Keys) Wipe() {
	k.AC.Wipe()
	k.SMI.Wipe()
	k.SMC.Wipe()
}

// CardKeys derives a card's keys from the issuer's; psn is as for MasterKey.
func (s Scheme) CardKeys(issuer Keys, pan secret.PAN, psn byte) (Keys, error) {
	var card Keys
	for _, k := range []struct {
		name     string
		to, from *secret.Bytes
	}{{"AC", &card.AC, &issuer.AC}, {"SMI", &card.SMI, &issuer.SMI}, {"SMC", &card.SMC, &issuer.SMC}} {
		derived, err := MasterKey(s.Derivation, *k.from, pan, psn)
		if err != nil {
			card.Wipe()
			return Keys{}, fmt.Errorf("cryptogram: card key for %s: %w", k.name, err)
		}
		*k.to = derived
	}
	return card, nil
}

// SessionKey derives the key of one transaction's cryptograms from the card's
// AC key. un is tag 9F37; only Mastercard's derivation uses it.
func (s Scheme) SessionKey(card secret.Bytes, atc uint16, un [4]byte) (secret.Bytes, error) {
	r, err := s.rules()
	if err != nil {
		return secret.Bytes{}, err
	}
	switch r.session {
	case SessionCommon:
		return SessionCSK(card, atcBlock(atc))
	case SessionTree:
		return SessionEMV2000(card, atc, Tree{Branch: 2, Height: 16})
	case SessionProprietary:
		return SessionMChip(card, atc, un)
	}
	if card.Len() != keyLen {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes", ErrKey, card.Len())
	}
	return card.Clone(), nil
}
