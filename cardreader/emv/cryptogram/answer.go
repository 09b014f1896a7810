package cryptogram

import (
	"crypto/subtle"
	"fmt"

	"github.com/payunit/payunit/cardreader/secret"
)

// Transaction identifies one transaction of a card to what follows its first
// cryptogram.
type Transaction struct {
	ATC uint16
	// UN is tag 9F37. Only Mastercard's session keys depend on it.
	UN [4]byte
	// AC is the cryptogram that went to the issuer.
	AC [8]byte
}

// Response is what the issuer says to the card, authenticated.
type Response struct {
	// ARC is the authorisation response code, under ARPC method 1.
	ARC [2]byte
	// CSU is the card status update, under method 2.
	CSU [4]byte
	// Proprietary holds 0 to 8 bytes more, under method 2.
	Proprietary []byte
}

// Method returns 1 or 2: which ARPC the version uses, 0 for an unknown version.
func (s Scheme) Method() int {
	r, _ := s.rules()
	switch r.answer {
	case method1Card, method1Session:
		return 1
	case method2Session:
		return 2
	}
	return 0
}

// Answer makes issuer authentication data, the value of tag 91 (Book 2, 8.2):
//
//	method 1   ARPC (8), ARC (2)
//	method 2   ARPC (4), CSU (4), proprietary data (0-8)
//
// Errors wrap ErrScheme, ErrData or ErrKey.
func (s Scheme) Answer(card secret.Bytes, t Transaction, r Response) ([]byte, error) {
	k, err := s.answerKey(card, t)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	if s.Method() == 1 {
		arpc, err := ARPC1(k, t.AC, r.ARC)
		if err != nil {
			return nil, err
		}
		return append(append(make([]byte, 0, 10), arpc[:]...), r.ARC[:]...), nil
	}
	arpc, err := ARPC2(k, t.AC, r.CSU, r.Proprietary)
	if err != nil {
		return nil, err
	}
	out := append(append(make([]byte, 0, 16), arpc[:]...), r.CSU[:]...)
	return append(out, r.Proprietary...), nil
}

// CheckAnswer is the card's check of issuer authentication data, in constant
// time; it returns what the issuer said. Errors wrap ErrARPC when the data is
// malformed or not the issuer's, or as Answer's.
func (s Scheme) CheckAnswer(card secret.Bytes, t Transaction, data []byte) (Response, error) {
	var r Response
	switch s.Method() {
	case 1:
		if len(data) != 10 {
			return Response{}, fmt.Errorf("%w: %d bytes, want 10", ErrARPC, len(data))
		}
		r.ARC = [2]byte(data[8:])
	case 2:
		if len(data) < 8 || len(data) > 16 {
			return Response{}, fmt.Errorf("%w: %d bytes, want 8 to 16", ErrARPC, len(data))
		}
		r.CSU = [4]byte(data[4:8])
		if len(data) > 8 {
			r.Proprietary = append([]byte(nil), data[8:]...)
		}
	}
	want, err := s.Answer(card, t, r)
	if err != nil {
		return Response{}, err
	}
	if subtle.ConstantTimeCompare(want, data) != 1 {
		return Response{}, ErrARPC
	}
	return r, nil
}

func (s Scheme) answerKey(card secret.Bytes, t Transaction) (secret.Bytes, error) {
	r, err := s.rules()
	if err != nil {
		return secret.Bytes{}, err
	}
	switch r.answer {
	case method1Card:
		if card.Len() != keyLen {
			return secret.Bytes{}, fmt.Errorf("%w: %d bytes", ErrKey, card.Len())
		}
		return card.Clone(), nil
	default:
		return s.SessionKey(card, t.ATC, t.UN)
	}
}
