package ledger

import (
	"errors"
	"math"
	"testing"
)

func TestWindow(t *testing.T) {
	type step struct {
		n    uint64
		want bool
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"rising", []step{{1, true}, {2, true}, {3, true}}},
		{"zero is no number", []step{{0, false}}},
		{"the same twice", []step{{5, true}, {5, false}}},
		{"late, once", []step{{5, true}, {9, true}, {7, true}, {7, false}, {5, false}, {9, false}}},
		{"oldest that is known", []step{{100, true}, {37, true}, {37, false}, {36, false}}},
		{"a jump forgets nothing", []step{{1, true}, {2, true}, {64, true}, {1, false}, {2, false}, {3, true}}},
		{"a jump over the window", []step{{1, true}, {65, true}, {1, false}, {2, true}}},
		{"a jump over it all", []step{{1, true}, {math.MaxUint64, true}, {1, false}, {math.MaxUint64 - 63, true}, {math.MaxUint64 - 64, false}, {math.MaxUint64, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w Window
			for i, s := range c.steps {
				if got := w.Use(s.n); got != s.want {
					t.Errorf("step %d: Use(%d) = %t, want %t", i, s.n, got, s.want)
				}
			}
		})
	}
}

// A Window against the plain rule: a number once, and none older than 63.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 3, 70, 6, 7, 7, 200, 100})
	f.Fuzz(func(t *testing.T, numbers []byte) {
		var w Window
		used := map[uint64]bool{}
		var high uint64
		for i, b := range numbers {
			n := uint64(b)
			want := n != 0 && !used[n] && (n > high || high-n < windowSize)
			if got := w.Use(n); got != want {
				t.Fatalf("step %d: Use(%d) = %t, want %t", i, n, got, want)
			}
			if want {
				used[n] = true
				high = max(high, n)
			}
		}
	})
}

func TestKey(t *testing.T) {
	for _, s := range []string{"", "T1/000001/603401000001"} {
		k, err := ParseKey(s)
		if err != nil || k.String() != s {
			t.Errorf("%q: got %q, %v", s, k, err)
		}
	}
	for _, s := range []string{"/", "a/b", "a/b/", "a/b/c/d", "//"} {
		if _, err := ParseKey(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", s, err)
		}
	}
	if err := (Key{"a/b", "1", "2"}).Check(); !errors.Is(err, ErrInvalid) {
		t.Errorf("slash in a terminal id: got %v, want ErrInvalid", err)
	}
}
