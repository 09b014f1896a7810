package emv

import (
	"crypto/sha1" // the TC hash is SHA-1: Book 2, 8.1, by way of Book 3, 10.8

	"github.com/payunit/payunit/cardreader/emv/tags"
)

// hashTDOL computes the TC hash value, tag 98, with the card's TDOL or the
// terminal's default one (Book 3, 9.2.2).
func (s *Session) hashTDOL(step Step) error {
	list := s.get(tags.TDOL)
	if len(list) == 0 && len(s.app.DefaultTDOL) > 0 {
		// Without a default list either, one that names nothing is taken, and
		// the bit is not set.
		list = s.app.DefaultTDOL
		s.tvr.Set(tags.TVRDefaultTDOL)
	}
	b, err := s.fill(step, tags.TDOL, list)
	if err != nil {
		return err
	}
	sum := sha1.Sum(b)
	clear(b)
	s.fromTerminal[tags.TCHashValue] = sum[:]
	return nil
}
