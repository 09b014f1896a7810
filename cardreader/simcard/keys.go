package simcard

import (
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// cardKeys are the card's master keys and the scheme that it shares with its
// issuer. All computing is done by cardreader/emv/cryptogram, for both.
type cardKeys struct {
	cryptogram.Keys
	scheme cryptogram.Scheme
}

func deriveKeys(k *PKI, s *Application) (cardKeys, error) {
	scheme, err := cryptogram.ParseScheme(s.Derivation, s.Session, cvnText(s.CVN))
	if err != nil {
		return cardKeys{}, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	switch scheme.CVN {
	case cryptogram.Visa10, cryptogram.Visa18, cryptogram.Visa22:
	default:
		// The others have an IAD of another layout than this card writes.
		return cardKeys{}, fmt.Errorf("%w: the card has no %v", ErrProfile, scheme.CVN)
	}
	pan, err := secret.NewPAN([]byte(s.PAN))
	if err != nil {
		return cardKeys{}, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	defer pan.Wipe()
	keys, err := scheme.CardKeys(cryptogram.Keys{AC: k.AC, SMI: k.SMI, SMC: k.SMC}, pan, s.PSN/10<<4|s.PSN%10)
	return cardKeys{keys, scheme}, err
}

// compute is the cryptogram over the terminal's data and the card's own.
func (k *cardKeys) compute(a *application, atc uint16, iad []byte, t transaction) ([8]byte, error) {
	terminal := func(tag tlv.Tag) ([]byte, bool) {
		v := t.value(tag)
		return v, v != nil
	}
	return k.scheme.Cryptogram(k.AC, terminal, cryptogram.Card{AIP: [2]byte(a.aip), ATC: atc, IAD: iad})
}

// about names the transaction in hand to cryptogram.
func (s *session) about() cryptogram.Transaction {
	return cryptogram.Transaction{ATC: s.mem.ATC, UN: s.un, AC: s.ac}
}

// authenticateIssuer checks issuer authentication data, tag 91. arc, when not
// empty, is the response code that the terminal shows; under ARPC method 1 it
// must be the one that the issuer authenticated.
func (c *Card) authenticateIssuer(data []byte, arc string) authResult {
	s := &c.session
	k := &s.app.keys
	r, err := k.scheme.CheckAnswer(k.AC, s.about(), data)
	if err != nil {
		return authFailed
	}
	if k.scheme.Method() == 1 {
		if arc != "" && arc != string(r.ARC[:]) {
			return authFailed
		}
		s.approved = approval(string(r.ARC[:]))
		return authOK
	}
	s.csu = r.CSU
	s.approved = r.CSU[1]&csuApproved != 0
	return authOK
}

// approval reports whether an authenticated response code approves. Whoever sits
// between issuer and terminal may turn 05 into 00, but not in here.
func approval(arc string) bool {
	switch arc {
	case "00", "08", "10", "11":
		return true
	}
	return false
}

// verifyScript checks the MAC that follows the first n bytes of a script
// command's data. before is how many script commands there were.
func (s *session) verifyScript(cmd apdu.Command, n, before int) error {
	k := &s.app.keys
	header := [5]byte{cmd.CLA, cmd.INS, cmd.P1, cmd.P2, byte(len(cmd.Data))}
	return k.scheme.VerifyScript(k.SMI, cryptogram.Script{Transaction: s.about(), Number: before}, header, cmd.Data[:n], cmd.Data[n:])
}

// newPIN deciphers the PIN of PIN CHANGE.
func (s *session) newPIN(p2 byte, data []byte, current string) (string, error) {
	k := &s.app.keys
	var old secret.Bytes
	if p2 == cryptogram.PINChangeCurrent {
		old = secret.NewBytes([]byte(current))
		defer old.Wipe()
	}
	pin, err := k.scheme.DecipherPIN(k.Keys, cryptogram.Script{Transaction: s.about(), Number: s.scripts - 1}, data, old)
	if err != nil {
		return "", err
	}
	defer pin.Wipe()
	return string(pin.Reveal()), nil
}
