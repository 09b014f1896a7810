package simcard

import (
	"crypto/subtle"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
)

// authenticateIssuer checks issuer authentication data, tag 91. CVN 10 has ARPC
// method 1: eight bytes and the response code (Book 2, 8.2.1). CVN 18 has method
// 2: four bytes, the card status update, and up to eight bytes of the issuer's
// own (Book 2, 8.2.2). arc, when not empty, is the response code that the
// terminal shows; it must be the one that the issuer authenticated.
func (c *Card) authenticateIssuer(data []byte, arc string) authResult {
	s := &c.session
	key, err := s.app.keys.acSession(s.mem.ATC)
	if err != nil {
		return authFailed
	}
	defer key.Wipe()
	if s.app.spec.CVN == cvn10 {
		if len(data) != 10 || arc != "" && arc != string(data[8:]) {
			return authFailed
		}
		want, err := cryptogram.ARPC1(key, s.ac, [2]byte(data[8:]))
		if err != nil || subtle.ConstantTimeCompare(want[:], data[:8]) != 1 {
			return authFailed
		}
		s.arc = string(data[8:])
		return authOK
	}
	if len(data) < 8 {
		return authFailed
	}
	want, err := cryptogram.ARPC2(key, s.ac, [4]byte(data[4:8]), data[8:])
	if err != nil || subtle.ConstantTimeCompare(want[:], data[:4]) != 1 {
		return authFailed
	}
	s.csu = append([]byte(nil), data[4:8]...)
	return authOK
}

// approved reports whether what the issuer authenticated is an approval. An
// attacker between issuer and terminal may turn response code 05 into 00, but
// not this.
func (s *session) approved() bool {
	if len(s.csu) == 4 {
		return s.csu[1]&csuApproved != 0
	}
	switch s.arc {
	case "00", "08", "10", "11":
		return true
	}
	return false
}
