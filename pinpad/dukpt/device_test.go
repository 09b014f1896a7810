package dukpt

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/pinpad/pinblock"
)

// TestCapturedDevice opens a device after each of many transactions, and derives
// whatever can be derived from what it holds: no key of an earlier counter is
// among it, and all keys of the next ones are.
func TestCapturedDevice(t *testing.T) {
	const last = 70
	for _, alg := range algorithms {
		t.Run(alg.String(), func(t *testing.T) {
			m := &memory{}
			d, h := device(t, alg, m)
			key := map[uint32]string{}
			for c := uint32(1); c <= last; c++ {
				x, err := h.Transaction(alg.appendKSN(nil, &d.s.id, c))
				if err != nil {
					t.Fatal(err)
				}
				key[c] = string(x.key.Reveal())
			}
			for used := uint32(1); used < last; used++ {
				if _, err := d.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
				captured, err := OpenDevice(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				reach := map[string]bool{string(captured.s.update.Reveal()): true}
				for low, k := range captured.s.registers {
					if k.Len() > 0 && low < 8 {
						captured.s.derivable(t, k.Reveal(), low, last, reach)
					}
				}
				for c := uint32(1); c <= last; c++ {
					if reach[key[c]] != (c > used) {
						t.Fatalf("after %d transactions the key of counter %d is derivable: %v", used, c, reach[key[c]])
					}
				}
			}
		})
	}
}

// derivable adds a register's key and what derives from it under every counter
// up to last, whether a device would derive it or not.
func (s *state) derivable(t *testing.T, key []byte, low int, last uint32, reach map[string]bool) {
	t.Helper()
	reach[string(key)] = true
	for c := uint32(1); c <= last; c++ {
		for keep := range low + 1 {
			// The bits of c under keep are those that are walked from this key.
			walk := c & (1<<keep - 1)
			if walk == 0 {
				continue
			}
			var b keyBuffer
			copy(b[:], key)
			sofar := c &^ (1<<keep - 1)
			for rest := walk; rest != 0; {
				bit := uint32(1) << (31 - bits.LeadingZeros32(rest))
				rest &^= bit
				sofar |= bit
				if err := s.alg.next(&b, &s.id, sofar); err != nil {
					t.Fatal(err)
				}
			}
			reach[string(b[:s.alg.keyLen()])] = true
		}
	}
}

// TestConcurrentUse takes keys in many goroutines: no counter comes twice and
// none is left out.
func TestConcurrentUse(t *testing.T) {
	const each, workers = 60, 8
	for _, alg := range []Algorithm{TDES, AES128} {
		d, h := device(t, alg, &memory{})
		var mu sync.Mutex
		seen := map[uint32]bool{}
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					x, err := d.Next(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					y, err := h.Transaction(x.KSN())
					if err != nil || !y.key.Equal(x.key) {
						t.Errorf("counter %X: %v", x.counter, err)
					}
					code, err := x.MACRequest([]byte("message"))
					if err != nil || y.VerifyMACRequest([]byte("message"), code) != nil {
						t.Errorf("counter %X: the MAC does not verify: %v", x.counter, err)
					}
					x.Wipe()
					mu.Lock()
					if seen[x.counter] {
						t.Errorf("counter %X came twice", x.counter)
					}
					seen[x.counter] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if got := slices.Max(slices.Collect(maps.Keys(seen))); len(seen) != each*workers || got != each*workers {
			t.Errorf("%s: %d counters up to %d", alg, len(seen), got)
		}
	}
}

// TestKSN reads and advances key serial numbers, and looks whether the caller's
// slice stays as it was, its capacity included.
func TestKSN(t *testing.T) {
	for _, c := range []struct {
		alg              Algorithm
		ksn, id, next    string
		counter          uint32
		transaction, end bool
	}{
		{TDES, "FFFF9876543210E00000", "FFFF9876543210E00000", "FFFF9876543210E00001", 0, false, false},
		{TDES, "FFFF9876543210E00001", "FFFF9876543210E00000", "FFFF9876543210E00002", 1, true, false},
		{TDES, "FFFF9876543210E003FF", "FFFF9876543210E00000", "FFFF9876543210E00400", 0x3FF, true, false},
		{TDES, "FFFF9876543210E007FE", "FFFF9876543210E00000", "FFFF9876543210E00800", 0x7FE, true, false},
		{TDES, "FFFF9876543210E007FF", "FFFF9876543210E00000", "FFFF9876543210E00800", 0x7FF, false, false},
		{TDES, "FFFF9876543210EFFC00", "FFFF9876543210E00000", "FFFF9876543210F00000", 0xFFC00, true, false},
		{TDES, "FFFF9876543210FFF800", "FFFF9876543210E00000", "", 0x1FF800, true, true},
		{TDES, "FFFF9876543210FFFFFF", "FFFF9876543210E00000", "", 0x1FFFFF, false, true},
		{AES128, "123456789012345600000000", "1234567890123456", "123456789012345600000001", 0, false, false},
		{AES256, "12345678901234560000FFFF", "1234567890123456", "123456789012345600010000", 0xFFFF, true, false},
		{AES192, "12345678901234560001FFFE", "1234567890123456", "123456789012345600020000", 0x1FFFE, true, false},
		{AES128, "1234567890123456FFFE8000", "1234567890123456", "1234567890123456FFFF0000", 0xFFFE8000, true, false},
		{AES128, "1234567890123456FFFF0000", "1234567890123456", "", 0xFFFF0000, true, true},
		{AES128, "1234567890123456FFFFFFFF", "1234567890123456", "", 0xFFFFFFFF, false, true},
	} {
		t.Run(fmt.Sprint(c.alg, " ", c.ksn), func(t *testing.T) {
			raw := unhex(t, c.ksn)
			long := append(bytes.Clone(raw), 0xA5, 0xA5, 0xA5, 0xA5)
			ksn := long[:len(raw)]
			id, counter, err := c.alg.SplitKSN(ksn)
			if err != nil || !bytes.Equal(id, unhex(t, c.id)) || counter != c.counter {
				t.Errorf("%X, %X, %v", id, counter, err)
			}
			next, err := c.alg.NextKSN(ksn)
			if c.end && !errors.Is(err, ErrExhausted) || !c.end && (err != nil || !bytes.Equal(next, unhex(t, c.next))) {
				t.Errorf("next: %X, %v", next, err)
			}
			for _, b := range [][]byte{id, next} {
				clear(b)
			}
			h, err := NewHost(c.alg, secret.NewBytes(make([]byte, c.alg.keyLen())))
			if err != nil {
				t.Fatal(err)
			}
			x, err := h.Transaction(ksn)
			if c.transaction && err != nil || !c.transaction && !errors.Is(err, ErrKSN) {
				t.Errorf("keys: %v", err)
			}
			if x != nil {
				if !bytes.Equal(x.KSN(), raw) {
					t.Errorf("KSN %X", x.KSN())
				}
				clear(x.KSN())
				if !bytes.Equal(x.KSN(), raw) {
					t.Error("who gets a KSN can write to the transaction's")
				}
			}
			if !bytes.Equal(long, append(raw, 0xA5, 0xA5, 0xA5, 0xA5)) {
				t.Errorf("the caller's KSN became %X", long)
			}
			if len(ksn) > 0 {
				if _, _, err := c.alg.SplitKSN(ksn[1:]); !errors.Is(err, ErrKSN) {
					t.Errorf("a KSN that is too short: %v", err)
				}
				if _, err := c.alg.NextKSN(long); !errors.Is(err, ErrKSN) {
					t.Errorf("a KSN that is too long: %v", err)
				}
			}
		})
	}
	if _, _, err := Algorithm(9).SplitKSN(make([]byte, 12)); !errors.Is(err, ErrKey) {
		t.Errorf("an unknown algorithm: %v", err)
	}
}

// TestCounterOrder compares the counters in use with those that counting finds,
// in the windows where one leap follows the other.
func TestCounterOrder(t *testing.T) {
	for _, c := range []struct {
		alg      Algorithm
		from, to uint64
	}{{TDES, 0, 1 << 21}, {AES128, 0, 1 << 20}, {AES128, 0xFFFF0000 - 1<<20, 1 << 32}, {AES256, 0x7FFF0000, 0x80010000}} {
		at := uint32(c.from)
		for want := c.from + 1; want < c.to; want++ {
			if bits.OnesCount64(want) > c.alg.maxOnes() {
				continue
			}
			next, ok := c.alg.after(at)
			if !ok || uint64(next) != want {
				t.Fatalf("%s: %X after %X, want %X", c.alg, next, at, want)
			}
			at = next
		}
	}
}

// TestWorkingKeys: every usage and type, and those that there are not.
func TestWorkingKeys(t *testing.T) {
	usages := []Usage{KeyEncryption, PINEncryption, MACGeneration, MACVerification, MACBoth, DataEncrypt, DataDecrypt, DataBoth}
	for _, alg := range algorithms {
		d, h := device(t, alg, &memory{})
		x, err := d.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		y, err := h.Transaction(x.KSN())
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for _, u := range append(usages, 0x1001, derivation, derivationInitial, 0) {
			for kt := KeyType(0); kt <= KeyHMAC256+1; kt++ {
				name := fmt.Sprint(alg, " ", u, " ", kt)
				a, err := x.WorkingKey(u, kt)
				b, err2 := y.WorkingKey(u, kt)
				if (err == nil) != (err2 == nil) || !a.Equal(b) {
					t.Errorf("%s: the ends differ: %v, %v", name, err, err2)
				}
				mayMAC := u == MACGeneration || u == MACVerification || u == MACBoth
				want := slices.Contains(usages, u) && kt.Len() > 0 && (!kt.isHMAC() || mayMAC)
				if alg == TDES {
					want = want && kt == KeyTDES2 && u != KeyEncryption
				} else {
					want = want && (kt.isTDES() || kt.Len() <= alg.keyLen())
				}
				if (err == nil) != want || err != nil && !errors.Is(err, ErrKey) {
					t.Errorf("%s: %v", name, err)
				}
				if err != nil {
					continue
				}
				if a.Len() != kt.Len() || a.Equal(x.key) {
					t.Errorf("%s: %d bytes", name, a.Len())
				}
				// Under TDES a key for both ways is the request's.
				if alg == TDES && (u == MACBoth || u == DataBoth) {
					continue
				}
				if other := seen[string(a.Reveal()[:16])]; other != "" {
					t.Errorf("%s has the key of %s", name, other)
				}
				seen[string(a.Reveal()[:16])] = name
			}
		}
	}
}

// TestDataAndPINForms: initial vectors, lengths, and PIN blocks of other formats.
func TestDataAndPINForms(t *testing.T) {
	number, pin := pan(t, "4761739001010010"), secret.CopyBytes([]byte("123456789012"))
	for _, alg := range algorithms {
		d, h := device(t, alg, &memory{})
		x, err := d.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		y, err := h.Transaction(x.KSN())
		if err != nil {
			t.Fatal(err)
		}
		n := 16
		if alg == TDES {
			n = 8
		}
		data, iv := bytes.Repeat([]byte{7}, 3*n), bytes.Repeat([]byte{9}, n)
		up, err := x.EncryptRequest(iv, data)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := y.DecryptRequest(iv, up); err != nil || !bytes.Equal(got, data) {
			t.Errorf("request: %X, %v", got, err)
		}
		down, err := y.EncryptResponse(iv, data)
		if err != nil || bytes.Equal(up, down) {
			t.Errorf("a response is enciphered as the request is: %v", err)
		}
		if got, err := x.DecryptResponse(iv, down); err != nil || !bytes.Equal(got, data) {
			t.Errorf("response: %X, %v", got, err)
		}
		for _, bad := range [][2][]byte{{iv, data[:n+1]}, {iv, nil}, {iv[1:], data}, {{}, data}} {
			if _, err := x.EncryptRequest(bad[0], bad[1]); !errors.Is(err, ErrData) {
				t.Errorf("%d bytes, vector of %d: %v", len(bad[1]), len(bad[0]), err)
			}
		}
		for _, f := range []pinblock.Format{0, 1, 3, 4} {
			kt := KeyTDES2
			if f == 4 {
				kt = KeyAES128
			}
			block, err := x.EncryptPINAs(kt, f, pin, number, nil)
			if f == 4 && alg == TDES {
				if !errors.Is(err, ErrKey) {
					t.Errorf("format 4 under TDES: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := y.DecryptPINAs(kt, f, block, number); err != nil || !got.Equal(pin) {
				t.Errorf("%s, format %d: %v", alg, f, err)
			}
		}
		for _, bad := range []struct {
			kt KeyType
			f  pinblock.Format
		}{{KeyTDES2, 2}, {KeyTDES2, 4}, {KeyTDES2, 5}} {
			if _, err := x.EncryptPINAs(bad.kt, bad.f, pin, number, nil); !errors.Is(err, pinblock.ErrFormat) {
				t.Errorf("format %d under %s: %v", bad.f, bad.kt, err)
			}
		}
		x.Wipe()
		y.Wipe()
		for name, err := range map[string]error{
			"data": second(x.EncryptRequest(nil, data)), "PIN": second(y.DecryptPIN(make([]byte, n), number)),
			"key": second(y.WorkingKey(PINEncryption, alg.KeyType())), "MAC": second(x.MAC(MACBoth, alg.KeyType(), data)),
		} {
			if !errors.Is(err, ErrWiped) {
				t.Errorf("%s after Wipe: %v", name, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestUpdate sends a device a new initial key, also when its keys are used up.
func TestUpdate(t *testing.T) {
	newID := unhex(t, "1234567890ABCDEF")
	for _, alg := range algorithms[1:] {
		m := &memory{}
		d, h := device(t, alg, m)
		oldID := d.InitialKeyID()
		to, err := NewHost(AES128, secret.NewBytes(bytes.Repeat([]byte{0x77}, 16)))
		if err != nil {
			t.Fatal(err)
		}
		block, err := h.Update(oldID, to, newID, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.s.counter = 0xFFFF0000
		if _, err := d.Next(t.Context()); !errors.Is(err, ErrExhausted) {
			t.Fatal(err)
		}
		wrong, err := h.Update(newID, to, newID, nil)
		if err != nil {
			t.Fatal(err)
		}
		same, err := h.Update(oldID, to, oldID, nil)
		if err != nil {
			t.Fatal(err)
		}
		kek, err := h.UpdateKey(oldID, alg.KeyType())
		if err != nil {
			t.Fatal(err)
		}
		good := keyblock.Header{Version: 'D', Usage: "B1", Algorithm: 'A', Mode: 'X', KeyVersion: "00", Exportability: 'N', Optional: []keyblock.Block{{ID: "IK", Data: "1234567890ABCDEF"}}}
		made := func(alter func(*keyblock.Header), n int) string {
			g := good
			alter(&g)
			s, err := keyblock.Wrap(kek, g, secret.NewBytes(make([]byte, n)), nil)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for name, bad := range map[string]string{
			"not a block": "D0016", "another device's": wrong, "the id in use": same, "altered": strings.Replace(block, "ABCDEF", "ABCDE0", 1),
			"of a PIN key": made(func(h *keyblock.Header) { h.Usage, h.Mode = "P0", 'B' }, 16), "of a TDES key": made(func(h *keyblock.Header) { h.Algorithm = 'T' }, 16),
			"without an id": made(func(h *keyblock.Header) { h.Optional = nil }, 16),
			"not for D":     made(func(h *keyblock.Header) { h.Version = 'E' }, 16),
		} {
			if err := d.Update(t.Context(), bad); !errors.Is(err, ErrUpdate) {
				t.Errorf("%s, a block %s: %v", alg, name, err)
			}
		}
		m.failAt = m.saves + 1
		if err := d.Update(t.Context(), block); !errors.Is(err, errDead) {
			t.Errorf("the store fails: %v", err)
		}
		if d.Algorithm() != alg || !bytes.Equal(d.InitialKeyID(), oldID) {
			t.Error("a failed update changed the device")
		}
		if err := d.Update(t.Context(), block); err != nil {
			t.Fatal(err)
		}
		if err := d.Update(t.Context(), block); !errors.Is(err, ErrUpdate) {
			t.Errorf("%s: the block served twice: %v", alg, err)
		}
		for _, dev := range []*Device{d, reopen(t, m)} {
			x, err := dev.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			y, err := to.Transaction(x.KSN())
			if err != nil || !y.key.Equal(x.key) {
				t.Errorf("%s: the new keys differ: %v", alg, err)
			}
		}
	}
	d, h := device(t, TDES, &memory{})
	if err := d.Update(t.Context(), "D0016"); !errors.Is(err, ErrUpdate) {
		t.Errorf("TDES: %v", err)
	}
	if _, err := h.UpdateKey(d.InitialKeyID(), KeyTDES2); !errors.Is(err, ErrKey) {
		t.Errorf("TDES: %v", err)
	}
	d128, h128 := device(t, AES128, &memory{})
	_, h256 := device(t, AES256, &memory{})
	if _, err := h128.Update(d128.InitialKeyID(), h256, newID, nil); !errors.Is(err, ErrUpdate) {
		t.Errorf("a stronger key under a weaker: %v", err)
	}
}

func reopen(t *testing.T, m *memory) *Device {
	t.Helper()
	d, err := OpenDevice(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDeviceWipe: the keys are gone from memory, and the device says so.
func TestDeviceWipe(t *testing.T) {
	d, h := device(t, AES128, &memory{})
	held := d.s.registers
	d.Wipe()
	for i, k := range held {
		if !bytes.Equal(k.Reveal(), make([]byte, k.Len())) {
			t.Errorf("register %d", i)
		}
	}
	if _, err := d.Next(t.Context()); !errors.Is(err, ErrWiped) {
		t.Error(err)
	}
	if err := d.Update(t.Context(), ""); !errors.Is(err, ErrWiped) {
		t.Error(err)
	}
	h.Wipe()
	if _, err := h.Transaction(unhex(t, "123456789012345600000001")); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
}

func FuzzKSN(f *testing.F) {
	for _, s := range []string{"FFFF9876543210E00001", "1234567890123456FFFF0000", ""} {
		f.Add(unhex(f, s))
	}
	hosts := map[Algorithm]*Host{}
	for _, alg := range algorithms {
		_, hosts[alg] = device(f, alg, &memory{})
	}
	f.Fuzz(func(t *testing.T, ksn []byte) {
		before := bytes.Clone(ksn)
		for alg, h := range hosts {
			x, err := h.Transaction(ksn)
			if err != nil {
				if !errors.Is(err, ErrKSN) {
					t.Fatal(err)
				}
				continue
			}
			if !bytes.Equal(x.KSN(), ksn) {
				t.Fatalf("%s: KSN %X", alg, x.KSN())
			}
			if next, err := alg.NextKSN(ksn); err == nil {
				if _, err := h.Transaction(next); err != nil {
					t.Fatalf("%s: the KSN after is refused: %v", alg, err)
				}
			}
		}
		if !bytes.Equal(ksn, before) {
			t.Fatal("the caller's KSN was written to")
		}
	})
}

// TestHostAllocations keeps the derivation lean: a cipher a bit of the counter,
// the keys, and a buffer.
func TestHostAllocations(t *testing.T) {
	d, h := device(t, AES128, &memory{})
	ksn := AES128.appendKSN(nil, &d.s.id, 0xFFFF0000)
	n := testing.AllocsPerRun(20, func() {
		if _, err := h.Transaction(ksn); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 20 {
		t.Errorf("%v allocations for the dearest counter", n)
	}
}
