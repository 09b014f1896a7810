package scripted

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
)

// keys is what a cardholder presses until the last key comes.
func keys(t *testing.T, h *Cardholder, p pinpad.Prompt, l softpad.Layout) []softpad.Key {
	t.Helper()
	e, err := h.Open(t.Context(), p, l)
	if err != nil {
		t.Fatal(err)
	}
	var out []softpad.Key
	for {
		k, err := e.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k)
		if k >= softpad.Cells {
			return out
		}
	}
}

func TestPINEntry(t *testing.T) {
	layout := softpad.Layout{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	for _, c := range []struct {
		name   string
		script Script
		prompt pinpad.Prompt
		want   []softpad.Key
	}{
		{"a PIN on a shuffled pad", Script{PIN: secret.CopyBytes([]byte("9071"))}, pinpad.Prompt{}, []softpad.Key{0, 9, 2, 8, softpad.KeyEnter}},
		{"cancel", Script{PIN: secret.CopyBytes([]byte("9071")), CancelPIN: true}, pinpad.Prompt{}, []softpad.Key{softpad.KeyCancel}},
		{"no PIN", Script{}, pinpad.Prompt{}, []softpad.Key{softpad.KeyCancel}},
		{"no PIN where it may be skipped", Script{}, pinpad.Prompt{AllowBypass: true}, []softpad.Key{softpad.KeyBypass}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, keys(t, New(c.script), c.prompt, layout)); d != "" {
				t.Fatal(d)
			}
		})
	}
}

func TestConfirmAndChoose(t *testing.T) {
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	h := New(Script{PIN: secret.CopyBytes([]byte("4929")), Application: 1, Observe: func(s string) { said = append(said, s) }})
	c := trusted.Confirmation{Merchant: "Shop", Kind: "sale", Amount: money.New(1234, eur)}
	if err := h.Confirm(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := h.Confirmed(); len(got) != 1 || got[0] != c {
		t.Fatalf("confirmed %v", got)
	}
	if n, err := h.Choose(t.Context(), []string{"A", "B"}); n != 1 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	if _, err := h.Choose(t.Context(), []string{"A"}); !errors.Is(err, trusted.ErrCancelled) {
		t.Fatalf("choice out of range: %v", err)
	}
	keys(t, h, pinpad.Prompt{Amount: c.Amount}, softpad.Layout{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	if err := New(Script{RefuseTrade: true}).Confirm(t.Context(), c); !errors.Is(err, trusted.ErrCancelled) {
		t.Fatalf("refusal: %v", err)
	}
	if s := strings.Join(said, "\n") + fmt.Sprintf("%+v", h.s); strings.Contains(s, "4929") {
		t.Errorf("the PIN is in %q", s)
	}
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := New(Script{PIN: secret.CopyBytes([]byte("1234"))})
	if err := h.Confirm(ctx, trusted.Confirmation{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Confirm: %v", err)
	}
	if _, err := h.Choose(ctx, []string{"A"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Choose: %v", err)
	}
	if _, err := h.Open(ctx, pinpad.Prompt{}, softpad.Layout{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}
