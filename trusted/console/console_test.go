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
	"github.com/payunit/payunit/trusted/catalogue"
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
		if !strings.Contains(out.String(), "SALE EUR\u00a012.34") {
			t.Errorf("the screen showed %q", out.String())
		}
	}
}

func TestScreenTakesNoControlCharacters(t *testing.T) {
	var out bytes.Buffer
	c := sale(t)
	c.Merchant = "Shop\x1b[2J\r\u009b1mEvil\u202e"
	k := New(Config{In: strings.NewReader("y\n1\n"), Out: &out})
	if err := k.Confirm(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Choose(t.Context(), []string{"VISA\x1b]0;x\x07\u2066"}); err != nil {
		t.Fatal(err)
	}
	if err := k.Notify(t.Context(), trusted.Notice{Message: trusted.MessageDeclined, Params: map[string]string{"reason": "\x1b[1A\u2028approved"}}); err != nil {
		t.Fatal(err)
	}
	e, err := k.Open(t.Context(), pinpad.Prompt{Amount: c.Amount, Label: "\x1b[8m\u200blabel"}, softpad.Layout{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\r\u009b\u202e\u2066\u2028\u200b") {
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
	for _, s := range []string{"EUR\u00a012.34", "LAST TRY", "q 3", "v 7", "*=skip", "Enter=ok"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("no %q on the screen:\n%s", s, out.String())
		}
	}
	if err := c.Notify(t.Context(), trusted.Notice{Message: trusted.MessageApproved}); err != nil {
		t.Error(err)
	}
}

// TestAccessibleKeypad: digits are typed as they are, the letters of the other
// keypad do nothing, and the bell rings alike for every digit.
func TestAccessibleKeypad(t *testing.T) {
	var out bytes.Buffer
	c := New(Config{In: strings.NewReader("#q1590\n"), Out: &out})
	e, err := c.Open(t.Context(), pinpad.Prompt{Amount: sale(t).Amount, Label: "TEST", AllowAccessible: true, Accessible: true}, softpad.FixedLayout())
	if err != nil {
		t.Fatal(err)
	}
	var got []softpad.Key
	for range 6 {
		k, err := e.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, k)
	}
	if d := cmp.Diff([]softpad.Key{softpad.KeyAccessible, 0, 4, 8, 9, softpad.KeyEnter}, got); d != "" {
		t.Error(d)
	}
	for _, s := range []string{"Type your PIN on the digit keys", "  1   2   3", "      0", "EUR\u00a012.34"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("no %q on the screen:\n%s", s, out.String())
		}
	}
	if strings.Contains(out.String(), "fixed keys") || strings.Contains(out.String(), "q 1") {
		t.Errorf("the other keypad's words are there:\n%s", out.String())
	}
	out.Reset()
	toner, ok := e.(softpad.Toner)
	if !ok {
		t.Fatal("the console has no tones")
	}
	for _, tone := range []softpad.Tone{softpad.ToneTaken, softpad.ToneRefused, softpad.ToneCell, softpad.ToneDone} {
		if err := toner.Tone(tone); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "\a\a\a" {
		t.Errorf("%q", out.String())
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	// The way there stands on the screen only where it is granted.
	for granted, want := range map[bool]bool{true: true, false: false} {
		out.Reset()
		c := New(Config{In: strings.NewReader("1"), Out: &out})
		e, err := c.Open(t.Context(), pinpad.Prompt{Amount: sale(t).Amount, AllowAccessible: granted}, softpad.FixedLayout())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "fixed\u00a0keys") != want {
			t.Errorf("granted %v: %s", granted, out.String())
		}
		// A digit is no cell of the shuffled keypad.
		if _, err := e.Next(t.Context()); err == nil {
			t.Error("a digit was taken on the shuffled keypad")
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
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

// TestLanguages: a prompt's language, the console's, or English; on a screen of
// 40 columns.
func TestLanguages(t *testing.T) {
	for _, c := range []struct{ console, prompt, says string }{
		{"", "de", "KAUF 12,34\u00a0EUR"}, {"fr", "", "ACHAT 12,34\u00a0EUR"}, {"fr", "sv", "D'accord ? [o/n]"}, {"sv", "sv", "Agree? [y/n]"},
		{"ja", "", "お買い上げ JPY"}, {"en", "AR", "شراء"},
	} {
		var out bytes.Buffer
		s := sale(t)
		s.Language = c.prompt
		if c.console == "ja" {
			jpy, err := money.ByCode("JPY")
			if err != nil {
				t.Fatal(err)
			}
			s.Amount = money.New(1234, jpy)
		}
		if err := New(Config{In: strings.NewReader("y\n"), Out: &out, Language: c.console}).Confirm(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.says) {
			t.Errorf("console %q, prompt %q: %q is not in %q", c.console, c.prompt, c.says, out.String())
		}
	}
	for _, l := range catalogue.Languages() {
		for _, key := range []string{"y", strings.ToUpper(find(t, l, catalogue.KeyYes))} {
			s := sale(t)
			s.Language = l
			if err := New(Config{In: strings.NewReader(key + "\n"), Out: io.Discard}).Confirm(t.Context(), s); err != nil {
				t.Errorf("%s: %q does not agree: %v", l, key, err)
			}
		}
	}
}

func find(t *testing.T, language string, m trusted.Message) string {
	t.Helper()
	s, err := catalogue.Text(trusted.Notice{Message: m, Language: language})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFortyColumns draws every screen in every language at several widths.
func TestFortyColumns(t *testing.T) {
	for _, columns := range []int{0, 24, 40, 80} {
		for _, l := range catalogue.Languages() {
			var out bytes.Buffer
			c := New(Config{In: strings.NewReader("y\n1\n"), Out: &out, Language: l, Columns: columns})
			s := sale(t)
			s.Merchant, s.Kind, s.Cashback = strings.Repeat("Merchant 商店 ", 6), "cashback", s.Amount
			if err := c.Confirm(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Choose(t.Context(), []string{"VISA DEBIT ELECTRON CREDIT PREPAID BUSINESS", "B"}); err != nil {
				t.Fatal(err)
			}
			for _, m := range []trusted.Message{trusted.MessageUnknown, trusted.MessageNotAccepted, trusted.MessageReadingCard} {
				if err := c.Notify(t.Context(), trusted.Notice{Message: m}); err != nil {
					t.Fatal(err)
				}
			}
			e, err := c.Open(t.Context(), pinpad.Prompt{Amount: s.Amount, Label: "VISA", TriesLeft: 1, Attempt: 2, AllowBypass: true, AllowAccessible: true}, softpad.Layout{3, 1, 4, 0, 5, 9, 2, 6, 8, 7})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if e, err = c.Open(t.Context(), pinpad.Prompt{Amount: s.Amount, Label: "VISA", TriesLeft: -1, AllowAccessible: true, Accessible: true}, softpad.FixedLayout()); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			want := columns
			if want == 0 {
				want = 40
			}
			lines := strings.Split(out.String(), "\n")
			if len(lines) < 20 {
				t.Fatalf("%s: %d lines", l, len(lines))
			}
			for _, line := range lines {
				if catalogue.Width(strings.TrimRight(line, " ")) > want {
					t.Errorf("%s at %d columns: %q has %d", l, columns, line, catalogue.Width(line))
				}
			}
		}
	}
}

// TestNoGaps: a kind of trade or a message that has no words is not shown at
// all.
func TestNoGaps(t *testing.T) {
	var out bytes.Buffer
	c := New(Config{In: strings.NewReader("y\n"), Out: &out})
	s := sale(t)
	s.Kind = "gift"
	if err := c.Confirm(t.Context(), s); !errors.Is(err, catalogue.ErrMessage) {
		t.Errorf("Confirm: %v", err)
	}
	if err := c.Notify(t.Context(), trusted.Notice{Message: "made-up"}); !errors.Is(err, catalogue.ErrMessage) {
		t.Errorf("Notify: %v", err)
	}
	if out.Len() != 0 {
		t.Errorf("shown: %q", out.String())
	}
}

// TestTries: what a second entry says.
func TestTries(t *testing.T) {
	for _, c := range []struct {
		p         pinpad.Prompt
		says, not string
	}{
		{pinpad.Prompt{TriesLeft: -1}, "Enter your PIN", "Wrong"},
		{pinpad.Prompt{TriesLeft: 3}, "Enter your PIN", "Tries left"},
		{pinpad.Prompt{TriesLeft: 2, Attempt: 1}, "Tries left: 2", "LAST"},
		{pinpad.Prompt{TriesLeft: -1, Attempt: 1}, "Wrong PIN: try again", "Tries left"},
		{pinpad.Prompt{TriesLeft: 1, Attempt: 2}, "LAST TRY", "Tries left"},
		{pinpad.Prompt{TriesLeft: 1}, "LAST TRY", "Wrong PIN: try"},
	} {
		var out bytes.Buffer
		e, err := New(Config{In: strings.NewReader(""), Out: &out}).Open(t.Context(), c.p, softpad.Layout{})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.says) || strings.Contains(out.String(), c.not) {
			t.Errorf("%+v: %q", c.p, out.String())
		}
	}
}

// keeper hands its input out in one piece, and keeps the buffer that it filled.
type keeper struct {
	in   []byte
	kept []byte
}

func (k *keeper) Read(b []byte) (int, error) {
	if len(k.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, k.in)
	k.kept, k.in = b, k.in[n:]
	return n, nil
}

// TestTypedDigitsAreNotKept: on the accessible keypad the keys are the PIN.
func TestTypedDigitsAreNotKept(t *testing.T) {
	in := &keeper{in: []byte("4729\n")}
	c := New(Config{In: in, Out: io.Discard})
	e, err := c.Open(t.Context(), pinpad.Prompt{Amount: sale(t).Amount, AllowAccessible: true, Accessible: true}, softpad.FixedLayout())
	if err != nil {
		t.Fatal(err)
	}
	for {
		k, err := e.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if k == softpad.KeyEnter {
			break
		}
	}
	// Once the input has ended, nobody writes to the buffer.
	if _, err := e.Next(t.Context()); !errors.Is(err, ErrInputClosed) {
		t.Errorf("%v", err)
	}
	if bytes.ContainsAny(in.kept, "4729") {
		t.Errorf("the buffer holds %d digits", len(bytes.Trim(in.kept, "\x00")))
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestLinesOfTwoEnds: a line that ends in CR LF is one line, the PIN's too.
func TestLinesOfTwoEnds(t *testing.T) {
	c := New(Config{In: strings.NewReader("q\r\ny\r\n"), Out: io.Discard})
	e, err := c.Open(t.Context(), pinpad.Prompt{Amount: sale(t).Amount}, softpad.FixedLayout())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []softpad.Key{0, softpad.KeyEnter} {
		if got, err := e.Next(t.Context()); got != want || err != nil {
			t.Errorf("key %d: %d, want %d: %v", i, got, want, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Confirm(t.Context(), sale(t)); err != nil {
		t.Errorf("the question after the PIN: %v", err)
	}
}
