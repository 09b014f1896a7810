package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
)

func sale(t *testing.T) trusted.Confirmation {
	t.Helper()
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return trusted.Confirmation{Merchant: "Shop", Kind: "sale", Amount: money.New(1234, eur)}
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]error{
		"y\n": nil, "YES\n": nil, "n\n": trusted.ErrCancelled, "\n": trusted.ErrCancelled,
		"yesterday\n": trusted.ErrCancelled, "": ErrInputClosed, "y": ErrInputClosed,
		strings.Repeat("y", 5000) + "\n": trusted.ErrCancelled,
	} {
		var out bytes.Buffer
		err := New(Config{In: iotest.OneByteReader(strings.NewReader(in)), Out: &out}).Confirm(t.Context(), sale(t))
		if !errors.Is(err, want) {
			t.Errorf("%.10q: %v, want %v", in, err, want)
		}
		if !strings.Contains(out.String(), "SALE 12.34 EUR") {
			t.Errorf("the screen showed %q", out.String())
		}
	}
}

func TestScreenTakesNoControlCharacters(t *testing.T) {
	var out bytes.Buffer
	c := sale(t)
	c.Merchant = "Shop\x1b[2J\r\u009b1mEvil"
	if err := New(Config{In: strings.NewReader("y\n"), Out: &out}).Confirm(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\r\u009b") {
		t.Errorf("control characters on the screen: %q", out.String())
	}
}

func TestChoose(t *testing.T) {
	for in, want := range map[string]int{"1\n": 0, "2\n": 1, "3\n": -1, "0\n": -1, "x\n": -1, "-1\n": -1} {
		n, err := New(Config{In: strings.NewReader(in), Out: io.Discard}).Choose(t.Context(), []string{"A", "B"})
		if want < 0 && !errors.Is(err, trusted.ErrCancelled) || want >= 0 && (err != nil || n != want) {
			t.Errorf("%q: %d %v", in, n, err)
		}
	}
}

func TestKeypad(t *testing.T) {
	var out bytes.Buffer
	c := New(Config{In: strings.NewReader("qv-.!*\n"), Out: &out})
	e, err := c.Open(t.Context(), pinpad.Prompt{Amount: sale(t).Amount, Label: "TEST", TriesLeft: 1, AllowBypass: true}, softpad.Layout{3, 1, 4, 0, 5, 9, 2, 6, 8, 7})
	if err != nil {
		t.Fatal(err)
	}
	var got []softpad.Key
	for range 7 {
		k, err := e.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, k)
	}
	want := []softpad.Key{0, 9, softpad.KeyBackspace, softpad.KeyClear, softpad.KeyCancel, softpad.KeyBypass, softpad.KeyEnter}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"12.34 EUR", "LAST TRY", "q 3", "v 7", "*=skip"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("no %q on the screen:\n%s", s, out.String())
		}
	}
	if err := c.Notify(t.Context(), trusted.Notice{Message: trusted.MessageApproved}); err != nil {
		t.Error(err)
	}
}

// TestCancellation: waiting for a key ends with the context, not with a key.
func TestCancellation(t *testing.T) {
	in, hold := io.Pipe()
	defer hold.Close()
	c := New(Config{In: in, Out: io.Discard})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Confirm(ctx, sale(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("Confirm: %v", err)
	}
	e, err := c.Open(t.Context(), pinpad.Prompt{}, softpad.Layout{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestEveryMessageHasWords(t *testing.T) {
	for _, m := range []trusted.Message{
		trusted.MessageInsertCard, trusted.MessageReadingCard, trusted.MessageConnecting, trusted.MessageAuthorizing,
		trusted.MessageRemoveCard, trusted.MessageApproved, trusted.MessageDeclined, trusted.MessageCancelled,
		trusted.MessageUnknown, trusted.MessagePINOK, trusted.MessagePINWrong, trusted.MessageTryAgain,
		trusted.MessageReversing, trusted.MessageCardError, trusted.MessageNotAccepted, trusted.MessageCallBank,
		trusted.MessageSignRequired,
	} {
		if s, err := Text(trusted.Notice{Message: m}); err != nil || s == "" {
			t.Errorf("%s: %q %v", m, s, err)
		}
	}
	if _, err := Text(trusted.Notice{Message: "made-up"}); err == nil {
		t.Error("an unknown message was shown")
	}
	s, err := Text(trusted.Notice{Message: trusted.MessageDeclined, Params: map[string]string{"reason": "no\x1b[1m money"}})
	if d := cmp.Diff("Declined: no[1m money", s); d != "" || err != nil {
		t.Error(d, err)
	}
}
