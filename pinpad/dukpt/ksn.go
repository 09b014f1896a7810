package dukpt

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// ident is an initial key id: 8 bytes for AES, for TDES the 10 bytes of the KSN
// with a zero counter.
type ident [10]byte

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

func (a Algorithm) parseID(id []byte) (ident, error) {
	if !a.valid() {
		return ident{}, fmt.Errorf("%w: unknown algorithm", ErrKey)
	}
	if len(id) != a.idLen() {
		return ident{}, fmt.Errorf("%w: initial key id of %d bytes, want %d", ErrKey, len(id), a.idLen())
	}
	if a == TDES && (id[7]&0x1F != 0 || id[8] != 0 || id[9] != 0) {
		return ident{}, fmt.Errorf("%w: the counter in the initial KSN is not zero", ErrKey)
	}
	var i ident
	copy(i[:], id)
	return i, nil
}

// appendKSN appends the key serial number of a counter (X9.24-3, 6.2; X9.24-1,
// 6.1).
func (a Algorithm) appendKSN(dst []byte, id *ident, counter uint32) []byte {
	dst = append(dst, id[:a.idLen()]...)
	if a != TDES {
		return binary.BigEndian.AppendUint32(dst, counter)
	}
	k := dst[len(dst)-3:]
	k[0] = k[0]&0xE0 | byte(counter>>16)
	k[1], k[2] = byte(counter>>8), byte(counter)
	return dst
}

// split reads a key serial number, which it does not keep or write to.
func (a Algorithm) split(ksn []byte) (id ident, counter uint32, err error) {
	if !a.valid() {
		return ident{}, 0, fmt.Errorf("%w: unknown algorithm", ErrKey)
	}
	if len(ksn) != a.ksnLen() {
		return ident{}, 0, fmt.Errorf("%w: %d bytes, %s takes %d%s", ErrKSN, len(ksn), a, a.ksnLen(), a.advice(len(ksn)))
	}
	copy(id[:], ksn[:a.idLen()])
	if a != TDES {
		return id, binary.BigEndian.Uint32(ksn[8:]), nil
	}
	counter = uint32(id[7]&0x1F)<<16 | uint32(id[8])<<8 | uint32(id[9])
	id[7], id[8], id[9] = id[7]&0xE0, 0, 0
	return id, counter, nil
}

// advice says what to do with a key serial number of another length, in the forms
// that messages of the field have it.
func (a Algorithm) advice(n int) string {
	switch {
	case n == 2*a.ksnLen():
		return "; it seems to be in hexadecimal digits: decode them"
	case a == TDES && n == 12:
		return "; it seems to be of AES DUKPT"
	case a != TDES && n == 10:
		return "; it seems to be of TDES DUKPT"
	case a == TDES && n > 0 && n < 10:
		return "; one with its leading bytes left out is filled up on the left with FF (X9.24-1:2009, A.6)"
	}
	return ""
}

// SplitKSN takes a key serial number apart, 10 bytes for TDES and 12 for AES:
// the initial key id, and the transaction counter of 21 or 32 bits. Neither is
// judged: the counter may be one that no device uses. Nothing is filled up or cut
// off: who gets a key serial number of 8 bytes from a terminal knows by what it is
// filled up. Errors wrap ErrKSN or ErrKey.
func (a Algorithm) SplitKSN(ksn []byte) (id []byte, counter uint32, err error) {
	i, c, err := a.split(ksn)
	if err != nil {
		return nil, 0, err
	}
	return i[:a.idLen()], c, nil
}

// NextKSN returns the key serial number that a device uses after another, as a
// slice of its own. Errors: ErrExhausted after the last, or wrap ErrKSN or
// ErrKey.
func (a Algorithm) NextKSN(ksn []byte) ([]byte, error) {
	id, c, err := a.split(ksn)
	if err != nil {
		return nil, err
	}
	next, ok := a.after(c)
	if !ok {
		return nil, ErrExhausted
	}
	return a.appendKSN(nil, &id, next), nil
}
