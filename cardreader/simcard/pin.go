package simcard

import (
	"crypto/subtle"
	"io"

	"github.com/payunit/payunit/cardreader/apdu"
)

// verify is VERIFY (Book 3, 6.5.12): a PIN block in plaintext, or enciphered
// for the card's key with the card's own challenge in it (Book 2, 7.2).
func (c *Card) verify(cmd apdu.Command) ([]byte, apdu.Status) {
	s := &c.session
	plain, enciphered := s.app.spec.offlinePIN()
	var block []byte
	wellFormed := true
	switch {
	case cmd.P1 == 0 && cmd.P2 == apdu.VerifyPlaintext && plain:
		if len(cmd.Data) != 8 {
			return nil, 0x6700
		}
		block = append([]byte(nil), cmd.Data...)
	case cmd.P1 == 0 && cmd.P2 == apdu.VerifyEnciphered && enciphered:
		if len(cmd.Data) != c.pki.PIN.Len() {
			return nil, 0x6700
		}
		if len(s.challenge) == 0 {
			return nil, 0x6985
		}
		block, wellFormed = c.decipherPIN(cmd.Data)
	default:
		return nil, 0x6A86
	}
	defer clear(block)
	if c.state.PINTries == 0 {
		return nil, 0x6983
	}
	// The try is spent before the comparison: cutting the power while the card
	// compares gains nothing.
	c.state.PINTries--
	if !c.saveLocked() {
		return nil, 0x6581
	}
	s.cvr.set(cvrPINPerformed)
	want := pinBlock2(c.state.PIN)
	defer clear(want)
	if !wellFormed || subtle.ConstantTimeCompare(block, want) != 1 {
		s.cvr.set(cvrPINFailed)
		if c.state.PINTries == 0 {
			s.cvr.set(cvrPINBlocked)
		}
		return nil, 0x63C0 | apdu.Status(c.state.PINTries)
	}
	c.state.PINTries = pinTryLimit
	if !c.saveLocked() {
		return nil, 0x6581
	}
	s.cvr[cvrPINFailed>>8] &^= cvrPINFailed & 0xFF
	return nil, apdu.StatusOK
}

// decipherPIN opens 7F, PIN block, challenge, random padding. What does not
// open right counts as a wrong PIN, so that the card answers no question but
// whether the PIN was right.
func (c *Card) decipherPIN(data []byte) ([]byte, bool) {
	clearText, err := c.pki.PIN.Apply(data)
	if err != nil {
		return make([]byte, 8), false
	}
	ok := subtle.ConstantTimeCompare(clearText[:1], []byte{0x7F}) &
		subtle.ConstantTimeCompare(clearText[9:17], c.session.challenge)
	block := append([]byte(nil), clearText[1:9]...)
	clear(clearText)
	return block, ok == 1
}

// pinBlock2 is ISO 9564 format 2: 2, length, digits, F.
func pinBlock2(pin string) []byte {
	b := make([]byte, 8)
	b[0] = 0x20 | byte(len(pin))
	copy(b[1:], cn(pin, 7))
	return b
}

// getChallenge is GET CHALLENGE (Book 3, 6.5.6): eight bytes that the next
// command may use.
func (c *Card) getChallenge(cmd apdu.Command) ([]byte, apdu.Status) {
	switch {
	case cmd.P1 != 0 || cmd.P2 != 0:
		return nil, 0x6A86
	case cmd.Ne != 256 && cmd.Ne != 8:
		return nil, 0x6700
	}
	b := make([]byte, 8)
	if _, err := io.ReadFull(c.rand, b); err != nil {
		return nil, 0x6581
	}
	c.session.challenge = b
	return append([]byte(nil), b...), apdu.StatusOK
}
