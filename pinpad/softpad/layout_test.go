package softpad

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/payunit/payunit/pinpad"
)

// TestBelowIsUniform draws every byte once, for every bound: each number comes
// equally often, and the bytes that would spoil it are drawn again.
func TestBelowIsUniform(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for n := byte(2); n <= Cells; n++ {
		count := map[byte]int{}
		r := bytes.NewReader(all)
		for {
			v, err := below(r, n)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			count[v]++
		}
		if len(count) != int(n) {
			t.Fatalf("under %d: %d numbers", n, len(count))
		}
		for v, c := range count {
			if v >= n || c != 256/int(n) {
				t.Errorf("under %d: %d came %d times of 256", n, v, c)
			}
		}
	}
}

// TestShuffleIsBijective: every sequence of draws makes another permutation, and
// they are all of them. With uniform draws that makes the shuffle uniform; it does
// not depend on the length, and 7! can be counted.
func TestShuffleIsBijective(t *testing.T) {
	const n = 7
	seen := map[string]bool{}
	draws := make([]byte, n-1) // draws[i] is under n-i
	for {
		b := []byte{0, 1, 2, 3, 4, 5, 6}
		if err := shuffle(b, bytes.NewReader(draws)); err != nil {
			t.Fatal(err)
		}
		if seen[string(b)] {
			t.Fatalf("%v comes from two sequences", b)
		}
		seen[string(b)] = true
		i := len(draws) - 1
		for ; i >= 0; i-- {
			if draws[i]++; draws[i] < byte(n-i) {
				break
			}
			draws[i] = 0
		}
		if i < 0 {
			break
		}
	}
	if len(seen) != 5040 {
		t.Errorf("%d permutations of 5040", len(seen))
	}
}

// TestLayoutOfGivenBytes maps injected randomness to a layout exactly: the i-th
// byte, modulo 10-i, picks the cell that changes places with cell 9-i; bytes from
// 250 on are not used for ten cells, from 252 on not for nine.
func TestLayoutOfGivenBytes(t *testing.T) {
	for _, c := range []struct {
		random []byte
		want   Layout
	}{
		{[]byte{9, 8, 7, 6, 5, 4, 3, 2, 1}, Layout{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0}, Layout{1, 2, 3, 4, 5, 6, 7, 8, 9, 0}},
		{[]byte{255, 251, 250, 249, 255, 252, 251, 7, 6, 5, 4, 3, 2, 1}, Layout{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{[]byte{0, 8, 7, 6, 5, 4, 3, 2, 1}, Layout{9, 1, 2, 3, 4, 5, 6, 7, 8, 0}},
	} {
		got, err := NewLayout(bytes.NewReader(c.random))
		if err != nil || got != c.want {
			t.Errorf("%v: %v, want %v: %v", c.random, got, c.want, err)
		}
		if _, err := NewLayout(bytes.NewReader(c.random[:len(c.random)-1])); !errors.Is(err, io.EOF) {
			t.Errorf("%v, a byte less: %v", c.random, err)
		}
	}
}

// TestLayoutsInTheLong counts where digits lie on layouts of the operating
// system's randomness. With 81 degrees of freedom, chi-square exceeds 180 less
// than once in 10^9 runs.
func TestLayoutsInTheLong(t *testing.T) {
	const n = 20000
	var count [Cells][Cells]int
	for range n {
		l, err := NewLayout(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		var seen [Cells]bool
		for cell, d := range l {
			if d >= Cells || seen[d] {
				t.Fatalf("%v is no permutation", l)
			}
			seen[d] = true
			count[cell][d]++
		}
	}
	chi := 0.0
	for cell := range count {
		for _, c := range count[cell] {
			d := float64(c) - n/Cells
			chi += d * d / (n / Cells)
		}
	}
	if chi > 180 {
		t.Errorf("chi-square %.1f", chi)
	}
}

// TestOneLayoutAnEntry: a layout stands for a whole entry, and the next entry has
// another.
func TestOneLayoutAnEntry(t *testing.T) {
	s := &script{}
	p, err := New(Config{Panel: s})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		s.keys = "12<3C1234E"
		if _, err := p.OfflinePIN(t.Context(), pinpad.Prompt{}, &card{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.opened) != 4 {
		t.Fatalf("the keypad was drawn %d times for four entries", len(s.opened))
	}
	same := 0
	for _, l := range s.opened[1:] {
		if l == s.opened[0] {
			same++
		}
	}
	if same == 3 {
		t.Error("every entry had the same layout")
	}
}
