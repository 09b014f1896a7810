package dukpt

import (
	"context"
	"fmt"
	"math/bits"
	"sync"

	"github.com/payunit/payunit/cardreader/secret"
)

// Store keeps a device's state. Save returns when the state is durable, and not
// before: a key is handed out on the strength of it. After an error the old state
// or the new one may stand, never a part of either. Save does not keep the slice.
// One device at a time works on a store.
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

// NewDevice loads an initial key into a store, and replaces what it held. id is
// the initial key id: 8 bytes for AES, the 10 bytes of the KSN with a zero
// counter for TDES. The initial key itself is not kept. Errors wrap ErrKey, or
// are the store's.
func NewDevice(ctx context.Context, alg Algorithm, initialKey secret.Bytes, id []byte, store Store) (*Device, error) {
	i, err := alg.parseID(id)
	if err != nil {
		return nil, err
	}
	s, err := load(alg, initialKey, i)
	if err != nil {
		return nil, err
	}
	d := &Device{store: store, s: s}
	if err := d.save(ctx, &d.s); err != nil {
		d.s.wipe()
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
	b := s.append(make([]byte, 0, maxState))
	defer clear(b)
	if err := d.store.Save(ctx, b); err != nil {
		return fmt.Errorf("dukpt: saving the state: %w", err)
	}
	return nil
}

// Algorithm returns the device's algorithm.
func (d *Device) Algorithm() Algorithm {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.s.alg
}

// InitialKeyID returns the initial key id: 8 bytes for AES, for TDES the 10 bytes
// of the KSN with a zero counter.
func (d *Device) InitialKeyID() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]byte(nil), d.s.id[:d.s.alg.idLen()]...)
}

// Wipe zeroes the keys in memory; the store keeps its state. Next and Update
// return ErrWiped afterwards.
func (d *Device) Wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.wipe()
	d.store = nil
}

// Next returns the keys of a counter that was never used and never will be
// again: the store has the counter before the caller has the keys. Errors:
// ErrExhausted, ErrWiped, those of the store.
func (d *Device) Next(ctx context.Context) (*Transaction, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store == nil {
		return nil, ErrWiped
	}
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
	saved := false
	defer func() {
		for i := 0; !saved && i < low; i++ {
			if s.registers[i].Len() > 0 && !d.s.registers[i].Equal(s.registers[i]) {
				s.registers[i].Wipe()
			}
		}
	}()
	var err error
	secret.Do(func() { err = s.refill(key, low) })
	if err != nil {
		return nil, err
	}
	if err := d.save(ctx, &s); err != nil {
		return nil, err
	}
	saved = true
	d.s = s
	return &Transaction{keys{alg: s.alg, id: s.id, counter: c, key: key}}, nil
}

// refill derives the keys of the registers under low from the key of the counter.
func (s *state) refill(key secret.Bytes, low int) error {
	if bits.OnesCount32(s.counter) == s.alg.maxOnes() {
		return nil
	}
	var b keyBuffer
	defer clear(b[:])
	for i := range low {
		copy(b[:], key.Reveal())
		if err := s.alg.next(&b, &s.id, s.counter|1<<i); err != nil {
			return err
		}
		s.registers[i] = secret.CopyBytes(b[:s.alg.keyLen()])
	}
	return nil
}
