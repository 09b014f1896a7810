package cryptogram

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
)

// ErrCryptogram: an application cryptogram was not made over this data by the
// holder of the key.
var ErrCryptogram = errors.New("cryptogram: application cryptogram does not verify")

// Terminal looks up what the terminal gave the card in the data of a CDOL, or
// sent to the issuer.
type Terminal func(tlv.Tag) (value []byte, ok bool)

// Card is what the card adds to the terminal's data.
type Card struct {
	AIP [2]byte
	ATC uint16
	// IAD is issuer application data, tag 9F10.
	IAD []byte
}

// part is one element of a cryptogram's input.
type part struct {
	tag tlv.Tag
	len int
}

// base are the data that Book 2, 8.1.1, table 26 recommends, in its order.
func base() []part {
	return []part{
		{tags.AmountAuthorised, 6},
		{tags.AmountOther, 6},
		{tags.TerminalCountryCode, 2},
		{tags.TVR, 5},
		{tags.TransactionCurrencyCode, 2},
		{tags.TransactionDate, 3},
		{tags.TransactionType, 1},
		{tags.UnpredictableNumber, 4},
	}
}

// Input assembles what the cryptogram covers, without padding:
//
//	Visa 10       base, AIP, ATC, CVR (IAD bytes 4-7)
//	Visa 17       9F02, 9F37, ATC, byte 5 of the IAD
//	Visa 18, 22   base, AIP, ATC, IAD
//	M/Chip        base, AIP, ATC, CVR (IAD bytes 3-8), and under 11, 13 and 15
//	              the counters (IAD bytes 11-18)
//	Interac 133   base, AIP, ATC, IAD
//
// where base is 9F02 9F03 9F1A 95 5F2A 9A 9C 9F37. Errors wrap ErrData and name
// the tag, or ErrScheme.
func (s Scheme) Input(terminal Terminal, c Card) ([]byte, error) {
	if _, err := s.rules(); err != nil {
		return nil, err
	}
	parts := base()
	if s.CVN == Visa17 {
		parts = []part{{tags.AmountAuthorised, 6}, {tags.UnpredictableNumber, 4}}
	}
	out := make([]byte, 0, 72)
	for _, p := range parts {
		v, err := take(terminal, p)
		if err != nil {
			return nil, err
		}
		out = append(out, v...)
	}
	if s.CVN != Visa17 {
		out = append(out, c.AIP[:]...)
	}
	out = binary.BigEndian.AppendUint16(out, c.ATC)
	return s.appendIAD(out, c.IAD)
}

// take looks one element up; a value of another length would shift all that
// follows it.
func take(terminal Terminal, p part) ([]byte, error) {
	v, ok := terminal(p.tag)
	if !ok {
		return nil, fmt.Errorf("%w: tag %v is absent", ErrData, p.tag)
	}
	if len(v) != p.len {
		return nil, fmt.Errorf("%w: tag %v has %d bytes, want %d", ErrData, p.tag, len(v), p.len)
	}
	return v, nil
}

func (s Scheme) appendIAD(out, iad []byte) ([]byte, error) {
	var from, to int
	switch s.CVN {
	case Visa10:
		from, to = 3, 7
	case Visa17:
		from, to = 4, 5
	case MChip10, MChip12, MChip14:
		from, to = 2, 8
	case MChip11, MChip13, MChip15:
		if len(iad) < 18 {
			return nil, fmt.Errorf("%w: tag 9F10 has %d bytes, %v wants 18", ErrData, len(iad), s.CVN)
		}
		return append(append(out, iad[2:8]...), iad[10:18]...), nil
	default:
		from, to = 0, len(iad)
		if len(iad) > 32 {
			to = -1
		}
	}
	if to < max(from, 1) || len(iad) < to {
		return nil, fmt.Errorf("%w: tag 9F10 has %d bytes, which does not suit %v", ErrData, len(iad), s.CVN)
	}
	return append(out, iad[from:to]...), nil
}

// VersionOf reads the cryptogram version number and the derivation key index
// from issuer application data: bytes 2 and 3 of Visa's and Interac's, which
// begin with a length, bytes 1 and 2 of M/Chip's.
func (s Scheme) VersionOf(iad []byte) (cvn, keyIndex byte, err error) {
	at := 1 // of the key index
	if s.CVN >= MChip10 && s.CVN <= MChip15 {
		at = 0
	}
	if len(iad) < at+2 {
		return 0, 0, fmt.Errorf("%w: tag 9F10 has %d bytes", ErrData, len(iad))
	}
	return iad[at+1], iad[at], nil
}

// Cryptogram computes an application cryptogram (ARQC, TC or AAC) under a card's
// AC key. It takes 9F37 from the terminal's data for the session key as well.
// Errors wrap ErrData, ErrKey or ErrScheme.
func (s Scheme) Cryptogram(card secret.Bytes, terminal Terminal, c Card) (ac [8]byte, err error) {
	input, err := s.Input(terminal, c)
	if err != nil {
		return ac, err
	}
	un, err := take(terminal, part{tags.UnpredictableNumber, 4})
	if err != nil {
		return ac, err
	}
	return s.Over(card, c.ATC, [4]byte(un), input)
}

// Over is Cryptogram over an input that the caller assembled.
func (s Scheme) Over(card secret.Bytes, atc uint16, un [4]byte, input []byte) (ac [8]byte, err error) {
	r, err := s.rules()
	if err != nil {
		return ac, err
	}
	k, err := s.SessionKey(card, atc, un)
	if err != nil {
		return ac, err
	}
	defer k.Wipe()
	return AC(k, input, r.padding)
}

// Verify is the issuer's check of a cryptogram, in constant time. Errors wrap
// ErrCryptogram when it does not verify, or as Cryptogram's.
func (s Scheme) Verify(card secret.Bytes, terminal Terminal, c Card, ac []byte) error {
	want, err := s.Cryptogram(card, terminal, c)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(want[:], ac) != 1 {
		return ErrCryptogram
	}
	return nil
}
