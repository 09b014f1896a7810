// Package dukpt derives unique keys per transaction: AES DUKPT of ANSI X9.24-3
// and TDES DUKPT of ANSI X9.24-1, for a device and for a host.
//
// A Device keeps the keys that it will need, never the ones that it used: who
// opens it later can't read what it sent before. Its state is durable before a
// key is handed out, so that no key comes twice, crashes included.
package dukpt

import (
	"errors"
)

// Errors that callers branch on.
var (
	// ErrExhausted: the device has used all its keys and needs a new initial
	// key.
	ErrExhausted = errors.New("dukpt: device has no more keys")
	// ErrKSN: a key serial number is malformed, or its counter is one that no
	// device uses.
	ErrKSN = errors.New("dukpt: key serial number")
	// ErrKey: a key or key id has the wrong length, or a working key is not
	// one that the algorithm has.
	ErrKey = errors.New("dukpt: key")
	// ErrData: data to encipher is not whole blocks, or an initial vector is
	// not one.
	ErrData = errors.New("dukpt: data")
	// ErrUpdate: an update of the initial key can't be taken.
	ErrUpdate = errors.New("dukpt: update of the initial key")
	// ErrState: a stored state is not of this format.
	ErrState = errors.New("dukpt: stored state")
	// ErrWiped: the transaction's keys are gone.
	ErrWiped = errors.New("dukpt: keys were wiped")
)

// Algorithm is the kind of a base derivation key, and of what derives from it.
type Algorithm uint8

// The algorithms. The zero value is none.
const (
	TDES   Algorithm = 1 // two-key TDES, X9.24-1
	AES128 Algorithm = 2 // X9.24-3
	AES192 Algorithm = 3
	AES256 Algorithm = 4
)

// String returns the algorithm's name.
func (a Algorithm) String() string {
	switch a {
	case TDES:
		return "TDES"
	case AES128:
		return "AES-128"
	case AES192:
		return "AES-192"
	case AES256:
		return "AES-256"
	}
	return "none"
}

func (a Algorithm) valid() bool { return a >= TDES && a <= AES256 }

// keyLen is the length of keys in bytes.
func (a Algorithm) keyLen() int { return a.KeyType().Len() }

// KeyType returns the type of the keys of a device: its initial key, the keys
// that it derives from that, and by default its working keys.
func (a Algorithm) KeyType() KeyType {
	switch a {
	case AES128:
		return KeyAES128
	case AES192:
		return KeyAES192
	case AES256:
		return KeyAES256
	}
	return KeyTDES2
}

// Format returns the ISO 9564-1 format of the algorithm's PIN blocks: 0 under
// TDES, 4 under AES.
func (a Algorithm) Format() uint8 {
	if a == TDES {
		return 0
	}
	return 4
}
