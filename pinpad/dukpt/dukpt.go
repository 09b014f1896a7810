// Package dukpt derives unique keys per transaction: AES DUKPT of ANSI X9.24-3
// and TDES DUKPT of ANSI X9.24-1, for a device and for a host.
//
// A Device keeps the keys that it will need, never the ones that it used: who
// opens it later can't read what it sent before. Its state is durable before a
// key is handed out, so that no key comes twice, crashes included.
package dukpt

import (
	"errors"
	"fmt"
	"math/bits"
)

// Errors that callers branch on.
var (
	// ErrExhausted: the device has used all its keys and needs a new initial
	// key.
	ErrExhausted = errors.New("dukpt: device has no more keys")
	// ErrKSN: a key serial number is malformed, or its counter is one that no
	// device uses.
	ErrKSN = errors.New("dukpt: key serial number")
	// ErrKey: a key or key id has the wrong length.
	ErrKey = errors.New("dukpt: key")
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
func (a Algorithm) keyLen() int {
	switch a {
	case AES192:
		return 24
	case AES256:
		return 32
	}
	return 16
}

// indicator is the algorithm indicator of the derivation data.
func (a Algorithm) indicator() uint16 { return uint16(a) }

// idLen is the length of an initial key id: for TDES the KSN with a zero counter.
func (a Algorithm) idLen() int {
	if a == TDES {
		return 10
	}
	return 8
}

func (a Algorithm) ksnLen() int {
	if a == TDES {
		return 10
	}
	return 12
}

// counterBits and maxOnes bound the counters in use: X9.24-1, 6.2 and X9.24-3,
// 6.2.1.
func (a Algorithm) counterBits() int {
	if a == TDES {
		return 21
	}
	return 32
}

func (a Algorithm) maxOnes() int {
	if a == TDES {
		return 10
	}
	return 16
}

// checkCounter refuses a counter that no device uses.
func (a Algorithm) checkCounter(c uint32) error {
	if c == 0 || bits.OnesCount32(c) > a.maxOnes() {
		return fmt.Errorf("%w: counter is zero or has more than %d bits set", ErrKSN, a.maxOnes())
	}
	return nil
}

// after returns the counter that follows c, false at the end.
func (a Algorithm) after(c uint32) (uint32, bool) {
	limit := uint64(1)<<a.counterBits() - 1
	n := uint64(c) + 1
	for bits.OnesCount64(n) > a.maxOnes() {
		// Counters with too many bits are left out in one step.
		n += n & -n
	}
	return uint32(n), n <= limit
}

func (a Algorithm) checkID(id []byte) error {
	if !a.valid() {
		return fmt.Errorf("%w: unknown algorithm", ErrKey)
	}
	if len(id) != a.idLen() {
		return fmt.Errorf("%w: initial key id of %d bytes, want %d", ErrKey, len(id), a.idLen())
	}
	if a == TDES && (id[7]&0x1F != 0 || id[8] != 0 || id[9] != 0) {
		return fmt.Errorf("%w: the counter in the initial KSN is not zero", ErrKey)
	}
	return nil
}
