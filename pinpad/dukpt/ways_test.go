package dukpt

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// wandering are counters in every order that devices and repeats can bring: on,
// back, the same again, and far away.
func wandering(r *rand.Rand, a Algorithm, from uint32) uint32 {
	c, ok := from, true
	switch r.IntN(5) {
	case 0:
	case 1:
		c &= c - 1
	case 2:
		c = r.Uint32() >> (32 - a.counterBits()) >> r.IntN(a.counterBits())
	default:
		c, ok = a.after(from)
	}
	if !ok || a.checkCounter(c) != nil {
		return 1
	}
	return c
}

// neighbours are devices that take each other's place.
func neighbours(h *Host, n int) []ident {
	ids := []ident{{}}
	for i := uint32(1); len(ids) < n; i++ {
		var id ident
		binary.BigEndian.PutUint32(id[:], i)
		if h.ways.place(id.name()) == h.ways.place(ids[0].name()) {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestWays: what a host keeps of earlier derivations changes no key, whatever the
// order of devices and counters, and where devices take each other's places.
func TestWays(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.String(), func(t *testing.T) {
			_, h := device(t, alg, &memory{})
			r := rand.New(rand.NewPCG(1, uint64(alg)))
			ids, counters := neighbours(h, 4), []uint32{1, 1, 1, 1}
			kept := 0
			for range 3000 {
				i := r.IntN(2) * r.IntN(len(ids))
				counters[i] = wandering(r, alg, counters[i])
				var k keyBuffer
				if _, ok := h.ways.nearest(&k, &ids[i], counters[i]); ok {
					kept++
				}
				ksn := alg.appendKSN(nil, &ids[i], counters[i])
				x, err := h.Transaction(ksn)
				if err != nil {
					t.Fatal(err)
				}
				ik, err := h.InitialKey(ids[i][:alg.idLen()])
				if err != nil {
					t.Fatal(err)
				}
				y, err := TransactionFrom(alg, ik, ksn)
				if err != nil {
					t.Fatal(err)
				}
				if !x.key.Equal(y.key) {
					t.Fatalf("device %d, counter %X: another key than without what was kept", i, counters[i])
				}
			}
			if kept < 1000 {
				t.Errorf("only %d of 3000 derivations began with a key that was kept", kept)
			}
		})
	}
}

// TestWaysWiped: a way holds no key beyond its counter's bits, and a host that was
// wiped none at all.
func TestWaysWiped(t *testing.T) {
	for _, alg := range algorithms {
		_, h := device(t, alg, &memory{})
		var id ident
		for _, c := range []uint32{0x7F, 0x03} {
			if _, err := h.Transaction(alg.appendKSN(nil, &id, c)); err != nil {
				t.Fatal(err)
			}
		}
		w := h.ways.place(id.name()).Load()
		for i := range w.keys {
			if held := w.keys[i][0].Load() != 0; held != (i <= 2) {
				t.Errorf("%s: after counter 3 the key after %d bits is held: %v", alg, i, held)
			}
		}
		h.Wipe()
		for i := range w.keys {
			for j := range w.keys[i] {
				if w.keys[i][j].Load() != 0 {
					t.Errorf("%s: key %d is there after Wipe", alg, i)
				}
			}
		}
	}
}

// TestWaysPrintNothing looks for a kept key in what fmt makes of a host.
func TestWaysPrintNothing(t *testing.T) {
	_, h := device(t, AES128, &memory{})
	x, err := h.Transaction(AES128.appendKSN(nil, &ident{}, 1))
	if err != nil {
		t.Fatal(err)
	}
	key := x.key.Reveal()
	words := []uint64{binary.NativeEndian.Uint64(key), binary.NativeEndian.Uint64(key[8:])}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
		for _, v := range []any{h, *h} {
			text := strings.ToLower(fmt.Sprintf(verb, v))
			for _, word := range words {
				for _, form := range []string{"%d", "%x"} {
					if strings.Contains(text, fmt.Sprintf(form, word)) {
						t.Errorf("%s prints a key", verb)
					}
				}
			}
		}
	}
}

// TestWaysTogether derives for devices that share places and counters, in many
// goroutines.
func TestWaysTogether(t *testing.T) {
	_, h := device(t, AES128, &memory{})
	var mu sync.Mutex
	keys, ids := map[string]string{}, neighbours(h, 2)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(worker)))
			for c := uint32(1); c < 400; c++ {
				ksn := AES128.appendKSN(nil, &ids[r.IntN(8)/7], c|r.Uint32N(4))
				x, err := h.Transaction(ksn)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if k, ok := keys[string(ksn)]; ok && k != string(x.key.Reveal()) {
					t.Errorf("counter %X has two keys", x.counter)
				}
				keys[string(ksn)] = string(x.key.Reveal())
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for ksn, k := range keys {
		x, err := transaction(AES128, []byte(ksn), h.initial, nil)
		if err != nil || string(x.key.Reveal()) != k {
			t.Errorf("%X: another key than without what was kept: %v", ksn, err)
		}
	}
}

// patterned is a way whose every key is made of one byte.
func patterned(b byte) *passed {
	var p passed
	for i := range p {
		for j := range p[i] {
			p[i][j] = b
		}
	}
	return &p
}

// TestWayOfOthers: what was derived from a key that is no longer there is not put
// behind another's keys.
func TestWayOfOthers(t *testing.T) {
	_, h := device(t, AES128, &memory{})
	ids := neighbours(h, 2)
	w := h.ways
	var k keyBuffer
	w.place(ids[0].name()).Store(new(way))
	if _, ok := w.nearest(&k, &ids[0], 1); ok {
		t.Error("a way that nobody wrote holds a key")
	}
	w.keep(patterned(1), &ids[0], 0x70, -1)
	w.keep(patterned(2), &ids[1], 0x73, 3)
	if _, ok := w.nearest(&k, &ids[1], 0x73); ok {
		t.Error("the end of one device's way stands behind another's")
	}
	w.keep(patterned(2), &ids[0], 0x63, 3)
	if n, ok := w.nearest(&k, &ids[0], 0x70); !ok || n != 3 || k[0] != 1 {
		t.Errorf("%d bits, %v, key %d: the end of a way stands behind the keys of another counter", n, ok, k[0])
	}
	x := w.place(ids[0].name()).Load()
	r, ok := x.read(ids[0].name())
	if !ok || !r.whole() {
		t.Error("a way that nobody writes can't be read")
	}
	w.keep(patterned(1), &ids[0], 0x70, -1)
	if r.whole() {
		t.Error("what was written meanwhile was not noticed")
	}
	x.sequence.Store(3)
	if _, ok := w.nearest(&k, &ids[0], 0x70); ok {
		t.Error("a way that is being written was read")
	}
	w.keep(patterned(2), &ids[0], 0x70, -1)
	if x.keys[1][0].Load()&0xFF != 1 {
		t.Error("two wrote one way")
	}
}

// TestWayReadWhole writes one place for two devices and reads it all the while: no
// key is of the one and of the other.
func TestWayReadWhole(t *testing.T) {
	_, h := device(t, AES128, &memory{})
	ids := neighbours(h, 2)
	var wg sync.WaitGroup
	for i := range ids {
		p := patterned(byte(i + 1))
		wg.Go(func() {
			for range 5000 {
				h.ways.keep(p, &ids[i], 0x70, -1)
			}
		})
		wg.Go(func() {
			var k keyBuffer
			for range 5000 {
				if _, ok := h.ways.nearest(&k, &ids[i], 0x70); ok && string(k[:keyMax]) != string(p[0][:]) {
					t.Errorf("device %d was given %X", i, k[:keyMax])
					return
				}
			}
		})
	}
	wg.Wait()
}
