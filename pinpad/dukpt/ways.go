package dukpt

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// ways keeps the keys that a host passed on its way to a device's last counter, so
// that the next counter, which differs in its low bits, is one or two derivations
// away and not seventeen. It tells nobody more than the base derivation key
// beside it does. It is bounded: devices whose names fall into the same place take
// it from each other, and are then derived for from the start.
//
// Readers write nothing that another processor reads, so that they don't wait for
// each other.
type ways [waysLen]atomic.Pointer[way]

const (
	waysBits = 12
	waysLen  = 1 << waysBits

	// wayKeys is the initial key and one for each bit that a counter may have.
	wayKeys  = 17
	keyWords = keyMax / 8
)

// way is one device's, of a counter that is not zero. All of it is read by whoever
// sees the same even sequence number before and after, and written by who made it
// odd.
type way struct {
	sequence atomic.Uint32
	counter  atomic.Uint32
	name     atomic.Uint64
	keys     [wayKeys][keyWords]atomic.Uint64
}

// passed is the keys of one way outside of the cache: the initial key, then one for
// each bit of the counter from the highest. Whoever declares one clears it.
type passed [wayKeys][keyMax]byte

// name is an id as a way holds it. The rest of an id is zeros.
func (id *ident) name() uint64 { return binary.BigEndian.Uint64(id[:8]) }

// place is where a device's way stands. The multiplier is the golden ratio's: ids
// that follow each other get places of their own (Knuth, volume 3, 6.4).
func (w *ways) place(name uint64) *atomic.Pointer[way] {
	return &w[(name*0x9E3779B97F4A7C15)>>(64-waysBits)]
}

// inCommon is how many keys the ways to two counters share after the initial key.
func inCommon(a, b uint32) int {
	return bits.OnesCount32(b >> (32 - bits.LeadingZeros32(a^b)))
}

// nearest copies the last key that the cache holds on the way to a counter, and
// returns how many bits of the counter it has; false without one.
func (w *ways) nearest(key *keyBuffer, id *ident, counter uint32) (steps int, ok bool) {
	name := id.name()
	x := w.place(name).Load()
	if x == nil {
		return 0, false
	}
	r, ok := x.read(name)
	if !ok {
		return 0, false
	}
	steps = inCommon(x.counter.Load(), counter)
	for i := range keyWords {
		binary.NativeEndian.PutUint64(key[8*i:], x.keys[steps][i].Load())
	}
	if !r.whole() {
		clear(key[:keyMax])
		return 0, false
	}
	return steps, true
}

func (x *way) holds(name uint64) bool { return x.counter.Load() != 0 && x.name.Load() == name }

// reading is a look at a way while nobody writes it.
type reading struct {
	x      *way
	before uint32
}

// read begins a look at a device's way.
func (x *way) read(name uint64) (reading, bool) {
	r := reading{x, x.sequence.Load()}
	return r, r.before%2 == 0 && x.holds(name)
}

// whole reports whether all that was read is of one way.
func (r reading) whole() bool { return r.x.sequence.Load() == r.before }

// keep stores the keys on the way to a counter behind the first known ones, which
// the cache had; -1 is none, the initial key neither. It gives up where another is
// at the same place: a way that is not kept costs time and nothing else.
func (w *ways) keep(p *passed, id *ident, counter uint32, known int) {
	name := id.name()
	place := w.place(name)
	if place.Load() == nil {
		place.CompareAndSwap(nil, new(way))
	}
	x := place.Load()
	before := x.sequence.Load()
	if before%2 != 0 || !x.sequence.CompareAndSwap(before, before+1) {
		return
	}
	defer x.sequence.Store(before + 2)
	if known >= 0 && (!x.holds(name) || inCommon(x.counter.Load(), counter) < known) {
		return
	}
	x.name.Store(name)
	x.counter.Store(counter)
	for i := known + 1; i < wayKeys; i++ {
		for j := range keyWords {
			// Behind the counter's last bit these are zeros: they wipe what the
			// counter before had there.
			x.keys[i][j].Store(binary.NativeEndian.Uint64(p[i][8*j:]))
		}
	}
}

// wipe zeroes all keys.
func (w *ways) wipe() {
	for i := range w {
		x := w[i].Swap(nil)
		if x == nil {
			continue
		}
		x.sequence.Store(1) // whoever still reads it has nothing
		for j := range x.keys {
			for k := range x.keys[j] {
				x.keys[j][k].Store(0)
			}
		}
	}
}
