package dukpt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	"github.com/payunit/payunit/cardreader/secret"
)

// Store keeps a device's state. Save returns when the state is durable; it does
// not keep the slice.
type Store interface {
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, state []byte) error
}

// Device is the transaction-originating end. Safe for concurrent use.
type Device struct {
	mu    sync.Mutex
	store Store
	s     state
}

// state is what a device keeps: register i holds the key of the next counter
// whose lowest bit is i. Stored, integers big endian:
//
//	offset  size  field
//	0       4     magic "DKP1"
//	4       1     algorithm
//	5       1     length of the initial key id
//	6       n     initial key id
//	6+n     4     counter used last
//	10+n    4     bit i set: register i holds a key
//	14+n    -     the keys in the order of their registers
type state struct {
	alg       Algorithm
	id        []byte
	counter   uint32
	registers [32]secret.Bytes
}

const stateMagic = "DKP1"

func (s *state) append(dst []byte) []byte {
	dst = append(dst, stateMagic...)
	dst = append(dst, byte(s.alg), byte(len(s.id)))
	dst = append(dst, s.id...)
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
	return dst
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
	s.id = bytes.Clone(b[6 : 6+n])
	if err := s.alg.checkID(s.id); err != nil {
		return bad("initial key id")
	}
	s.counter = binary.BigEndian.Uint32(b[6+n:])
	if s.counter != 0 && s.alg.checkCounter(s.counter) != nil {
		return bad("counter")
	}
	held := binary.BigEndian.Uint32(b[10+n:])
	if held>>1>>(s.alg.counterBits()-1) != 0 {
		return bad("registers")
	}
	b = b[14+n:]
	if len(b) != bits.OnesCount32(held)*s.alg.keyLen() {
		return bad("length")
	}
	for i := range s.registers {
		if held&(1<<i) != 0 {
			s.registers[i], b = secret.CopyBytes(b[:s.alg.keyLen()]), b[s.alg.keyLen():]
		}
	}
	return s, nil
}

// NewDevice loads an initial key into a store, and replaces what it held. id is
// the initial key id: 8 bytes for AES, the 10 bytes of the KSN with a zero
// counter for TDES. The initial key itself is not kept. Errors wrap ErrKey, or
// are the store's.
func NewDevice(ctx context.Context, alg Algorithm, initialKey secret.Bytes, id []byte, store Store) (*Device, error) {
	if err := alg.checkID(id); err != nil {
		return nil, err
	}
	if initialKey.Len() != alg.keyLen() {
		return nil, fmt.Errorf("%w: initial key of %d bytes, want %d", ErrKey, initialKey.Len(), alg.keyLen())
	}
	d := &Device{store: store, s: state{alg: alg, id: bytes.Clone(id)}}
	for i := range alg.counterBits() {
		k, err := alg.next(initialKey.Reveal(), id, 1<<i)
		if err != nil {
			return nil, err
		}
		d.s.registers[i] = secret.NewBytes(k)
	}
	if err := d.save(ctx, &d.s); err != nil {
		return nil, err
	}
	return d, nil
}

// OpenDevice goes on with the state in a store. Errors wrap ErrState, or are the
// store's.
func OpenDevice(ctx context.Context, store Store) (*Device, error) {
	b, err := store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("dukpt: loading the state: %w", err)
	}
	defer clear(b)
	s, err := parseState(b)
	if err != nil {
		return nil, err
	}
	return &Device{store: store, s: s}, nil
}

func (d *Device) save(ctx context.Context, s *state) error {
	b := s.append(nil)
	defer clear(b)
	if err := d.store.Save(ctx, b); err != nil {
		return fmt.Errorf("dukpt: saving the state: %w", err)
	}
	return nil
}

// Algorithm returns the device's algorithm.
func (d *Device) Algorithm() Algorithm { return d.s.alg }

// Next returns the keys of a counter that was never used and never will be
// again. Errors: ErrExhausted, those of the store.
func (d *Device) Next(ctx context.Context) (*Transaction, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.s // the registers are replaced, never written to, until saved
	c, ok := s.alg.after(s.counter)
	if !ok {
		return nil, ErrExhausted
	}
	low := bits.TrailingZeros32(c)
	key := s.registers[low]
	if key.Len() == 0 {
		return nil, fmt.Errorf("%w: register %d is empty", ErrState, low)
	}
	s.counter, s.registers[low] = c, secret.Bytes{}
	if bits.OnesCount32(c) < s.alg.maxOnes() {
		for i := range low {
			k, err := s.alg.next(key.Reveal(), s.id, c|1<<i)
			if err != nil {
				return nil, err
			}
			s.registers[i] = secret.NewBytes(k)
		}
	}
	if err := d.save(ctx, &s); err != nil {
		return nil, err
	}
	d.s = s
	return &Transaction{keys{alg: s.alg, id: s.id, counter: c, key: key}}, nil
}
