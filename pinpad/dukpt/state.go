package dukpt

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/payunit/payunit/cardreader/secret"
)

// state is what a device keeps: register i holds the key of the next counter
// whose lowest bit is i, and update the key from which the update key derives.
// Stored, integers big endian:
//
//	offset  size  field
//	0       4     magic "DKP2"
//	4       1     algorithm
//	5       1     length of the initial key id
//	6       n     initial key id
//	6+n     4     counter used last
//	10+n    4     bit i set: register i holds a key
//	14+n    -     the keys in the order of their registers
//	-       -     AES: the key of counter FFFFFFFF
type state struct {
	alg       Algorithm
	id        ident
	counter   uint32
	registers [32]secret.Bytes
	update    secret.Bytes
}

const (
	stateMagic = "DKP2"

	// maxState is the length of the longest state, so that none is copied as it
	// grows.
	maxState = 14 + 10 + 33*32
)

func (s *state) append(dst []byte) []byte {
	dst = append(dst, stateMagic...)
	dst = append(dst, byte(s.alg), byte(s.alg.idLen()))
	dst = append(dst, s.id[:s.alg.idLen()]...)
	dst = binary.BigEndian.AppendUint32(dst, s.counter)
	var held uint32
	for i, k := range s.registers {
		if k.Len() > 0 {
			held |= 1 << i
		}
	}
	dst = binary.BigEndian.AppendUint32(dst, held)
	for _, k := range s.registers {
		dst = append(dst, k.Reveal()...)
	}
	return append(dst, s.update.Reveal()...)
}

func parseState(b []byte) (state, error) {
	bad := func(what string) (state, error) { return state{}, fmt.Errorf("%w: %s", ErrState, what) }
	if len(b) < 6 || string(b[:4]) != stateMagic {
		return bad("not of a known version")
	}
	s := state{alg: Algorithm(b[4])}
	n := int(b[5])
	if len(b) < 14+n {
		return bad("cut off")
	}
	var err error
	if s.id, err = s.alg.parseID(b[6 : 6+n]); err != nil {
		return bad("initial key id")
	}
	s.counter = binary.BigEndian.Uint32(b[6+n:])
	if s.counter != 0 && s.alg.checkCounter(s.counter) != nil || s.counter>>(s.alg.counterBits()-1) > 1 {
		return bad("counter")
	}
	held := binary.BigEndian.Uint32(b[10+n:])
	if held>>1>>(s.alg.counterBits()-1) != 0 {
		return bad("registers")
	}
	b = b[14+n:]
	size := s.alg.keyLen()
	all := bits.OnesCount32(held)
	if s.alg != TDES {
		all++
	}
	if len(b) != all*size {
		return bad("length")
	}
	for i := range s.registers {
		if held&(1<<i) != 0 {
			s.registers[i], b = secret.CopyBytes(b[:size]), b[size:]
		}
	}
	if s.alg != TDES {
		s.update = secret.CopyBytes(b)
	}
	return s, nil
}

// load makes the state of a device that has used no key yet.
func load(alg Algorithm, initialKey secret.Bytes, id ident) (s state, err error) {
	secret.Do(func() { s, err = derive(alg, initialKey, id) })
	return s, err
}

func derive(alg Algorithm, initialKey secret.Bytes, id ident) (state, error) {
	s := state{alg: alg, id: id}
	if initialKey.Len() != alg.keyLen() {
		return s, fmt.Errorf("%w: initial key of %d bytes, want %d", ErrKey, initialKey.Len(), alg.keyLen())
	}
	var k keyBuffer
	defer clear(k[:])
	for i := range alg.counterBits() {
		copy(k[:], initialKey.Reveal())
		if err := alg.next(&k, &id, 1<<i); err != nil {
			s.wipe()
			return s, err
		}
		s.registers[i] = secret.CopyBytes(k[:alg.keyLen()])
	}
	if alg == TDES {
		return s, nil
	}
	copy(k[:], initialKey.Reveal())
	if err := alg.walk(&k, &id, 0, updateCounter, nil); err != nil {
		s.wipe()
		return s, err
	}
	s.update = secret.CopyBytes(k[:alg.keyLen()])
	return s, nil
}

func (s *state) wipe() {
	for i, k := range s.registers {
		k.Wipe()
		s.registers[i] = secret.Bytes{}
	}
	s.update.Wipe()
	s.update = secret.Bytes{}
}
