package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/catalogue"
)

const (
	testPAN  = "4761739001010010"
	maskedIn = "4761 73** **** 0010"
)

// revealed is a card in a form that can be compared.
func revealed(k trusted.KeyedCard) string {
	return string(k.PAN.Reveal()) + " " + k.Expiry + " " + string(k.CVV2.Reveal())
}

// TestKeyCard: what is taken line by line, and what is asked for again, by which
// words.
func TestKeyCard(t *testing.T) {
	const rest = "1231\n123\n"
	for _, c := range []struct {
		name, in, want string
		again          trusted.Message
		err            error
	}{
		{"whole", testPAN + "\n1231\n123\n", testPAN + " 3112 123", "", nil},
		{"four digits of code", testPAN + "\n0129\n1234\n", testPAN + " 2901 1234", "", nil},
		{"no code", testPAN + "\n1231\n\n", testPAN + " 3112 ", "", nil},
		{"lines of two ends", testPAN + "\r\n1231\r\n123\r\n", testPAN + " 3112 123", "", nil},
		{"grouped", " 4761 7390 0101 0010 \n" + rest, testPAN + " 3112 123", "", nil},
		{"shortest", "12345674\n" + rest, "12345674 3112 123", "", nil},
		{"longest", "6304000000000000000\n" + rest, "6304000000000000000 3112 123", "", nil},
		{"wrong and no more", "4761739001010250019\n" + rest, "", catalogue.WrongNumber, ErrInputClosed},
		{"seven digits", "1234566\n" + testPAN + "\n" + rest, testPAN + " 3112 123", catalogue.WrongNumber, nil},
		{"20 digits", testPAN + "0000\n" + testPAN + "\n" + rest, testPAN + " 3112 123", catalogue.WrongNumber, nil},
		{"check digit", "4761739001010011\n" + testPAN + "\n" + rest, testPAN + " 3112 123", catalogue.WrongNumber, nil},
		{"two digits changed places", "4761739001010100\n" + testPAN + "\n" + rest, testPAN + " 3112 123", catalogue.WrongNumber, nil},
		{"no number", "\n" + testPAN + "\n" + rest, testPAN + " 3112 123", catalogue.WrongNumber, nil},
		{"a letter among digits", "47617390x01010010\n" + testPAN + "\n" + rest, testPAN + " 3112 123", catalogue.WrongNumber, nil},
		{"hyphens", "4761-7390-0101-0010\n" + testPAN + "\n" + rest, testPAN + " 3112 123", catalogue.WrongNumber, nil},
		{"month 0", testPAN + "\n0031\n" + rest, testPAN + " 3112 123", catalogue.WrongExpiry, nil},
		{"month 13", testPAN + "\n1331\n" + rest, testPAN + " 3112 123", catalogue.WrongExpiry, nil},
		{"the year first", testPAN + "\n3112\n" + rest, testPAN + " 3112 123", catalogue.WrongExpiry, nil},
		{"three digits of expiry", testPAN + "\n131\n" + rest, testPAN + " 3112 123", catalogue.WrongExpiry, nil},
		{"a sign in the expiry", testPAN + "\n12/31\n" + rest, testPAN + " 3112 123", catalogue.WrongExpiry, nil},
		{"five digits of expiry", testPAN + "\n12310\n" + rest, testPAN + " 3112 123", catalogue.WrongExpiry, nil},
		{"two digits of code", testPAN + "\n1231\n12\n123\n", testPAN + " 3112 123", catalogue.WrongCode, nil},
		{"five digits of code", testPAN + "\n1231\n12345\n123\n", testPAN + " 3112 123", catalogue.WrongCode, nil},
		{"cancelled at once", "!\n", "", "", trusted.ErrCancelled},
		{"cancelled in a number", "4761!\n", "", "", trusted.ErrCancelled},
		{"cancelled at the expiry", testPAN + "\n\x1b\n", "", "", trusted.ErrCancelled},
		{"cancelled at the code", testPAN + "\n1231\n12!\n", "", "", trusted.ErrCancelled},
		{"ends in the number", "47617390", "", "", ErrInputClosed},
		{"ends in the code", testPAN + "\n1231\n12", "", "", ErrInputClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			k := New(Config{In: iotest.OneByteReader(strings.NewReader(c.in)), Out: &out})
			var f field
			got, err := k.keyCard(t.Context(), trusted.CardPrompt{Amount: sale(t).Amount}, &f)
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if err != nil && (!got.PAN.IsZero() || got.Expiry != "" || got.CVV2.Len() != 0) {
				t.Error("data beside an error")
			}
			if err == nil && revealed(got) != c.want {
				t.Errorf("%s, want %s", revealed(got), c.want)
			}
			if f != (field{}) {
				t.Error("the field was not wiped")
			}
			for _, m := range []trusted.Message{catalogue.WrongNumber, catalogue.WrongExpiry, catalogue.WrongCode} {
				if said := strings.Contains(out.String(), find(t, "en", m)); said != (m == c.again) {
					t.Errorf("%s was said: %v", m, said)
				}
			}
			if !strings.Contains(out.String(), "EUR\u00a012.34") {
				t.Errorf("no amount on the screen: %q", out.String())
			}
			hides(t, out.String(), c.in)
			if err == nil && got.PAN.Len() == 16 && !strings.Contains(out.String(), maskedIn) {
				t.Errorf("the number is not on the screen, masked: %q", out.String())
			}
		})
	}
}

// hides searches a screen for what was typed line by line.
func hides(t *testing.T, shown, typed string) {
	t.Helper()
	plain := strings.NewReplacer(" ", "", "\u00a0", "", "12/31", "").Replace(shown)
	for _, secret := range append(strings.Fields(strings.ReplaceAll(typed, " ", "")), testPAN[6:12], "1234567") {
		if len(secret) < 5 {
			continue
		}
		if strings.Contains(plain, secret) {
			t.Errorf("%q is on the screen: %q", secret, shown)
		}
	}
}

// TestKeyCardAgain: what was entered before was no card's, says the unit.
func TestKeyCardAgain(t *testing.T) {
	for again, want := range map[bool]int{false: 0, true: 1} {
		var out bytes.Buffer
		k := New(Config{In: strings.NewReader(testPAN + "\n1231\n987\n"), Out: &out})
		got, err := k.KeyCard(t.Context(), trusted.CardPrompt{Amount: sale(t).Amount, Again: again})
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), find(t, "en", catalogue.WrongNumber)); n != want {
			t.Errorf("again %v: said %d times", again, n)
		}
		if strings.Contains(out.String(), "987") {
			t.Error("the security code is on the screen")
		}
		got.PAN.Wipe()
	}
}

// TestKeyCardGivenUp: a card that comes ends the wait, in the middle of a line
// too, and the rest of that line answers nothing that is asked later.
func TestKeyCardGivenUp(t *testing.T) {
	in, hold := io.Pipe()
	defer hold.Close()
	c := New(Config{In: in, Out: io.Discard})
	ctx, cancel := context.WithCancel(t.Context())
	var f field
	ended := make(chan error, 1)
	go func() {
		_, err := c.keyCard(ctx, trusted.CardPrompt{Amount: sale(t).Amount}, &f)
		ended <- err
	}()
	// A second write is taken when the first was passed on whole.
	for _, s := range []string{"4", "7", "6"} {
		if _, err := io.WriteString(hold, s); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if f != (field{}) {
		t.Error("the field was not wiped")
	}
	go func() { _, _ = io.WriteString(hold, "1739\ny\n") }()
	if err := c.Confirm(t.Context(), sale(t)); err != nil {
		t.Errorf("the rest of the line answered: %v", err)
	}
	if _, err := c.KeyCard(ctx, trusted.CardPrompt{Amount: sale(t).Amount}); !errors.Is(err, context.Canceled) {
		t.Errorf("KeyCard after its context: %v", err)
	}
	if _, err := c.Tip(ctx, tipPrompt(t, "EUR", 1234, 200)); !errors.Is(err, context.Canceled) {
		t.Errorf("Tip after its context: %v", err)
	}
}

// TestDeadline: an entry that takes too long ends with the time-out's error.
func TestDeadline(t *testing.T) {
	in, hold := io.Pipe()
	defer hold.Close()
	c := New(Config{In: in, Out: io.Discard})
	for name, wait := range map[string]func(context.Context) error{
		"KeyCard": func(ctx context.Context) error {
			_, err := c.KeyCard(ctx, trusted.CardPrompt{Amount: sale(t).Amount})
			return err
		},
		"Tip": func(ctx context.Context) error { _, err := c.Tip(ctx, tipPrompt(t, "EUR", 1234, 200)); return err },
	} {
		ctx, stop := context.WithTimeout(t.Context(), 1)
		if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		stop()
	}
}

// TestBrokenScreen: no answer comes of a screen that can't be written.
func TestBrokenScreen(t *testing.T) {
	broken := errors.New("no screen")
	for n := range 3 {
		k := New(Config{In: strings.NewReader(testPAN + "\n1231\n123\n"), Out: &failing{left: n, err: broken}})
		got, err := k.KeyCard(t.Context(), trusted.CardPrompt{Amount: sale(t).Amount})
		if !errors.Is(err, broken) || !got.PAN.IsZero() {
			t.Errorf("after %d writes: %v", n, err)
		}
		if strings.Contains(err.Error(), testPAN) {
			t.Error("the number is in the error")
		}
	}
	if _, err := New(Config{In: strings.NewReader("1\n"), Out: &failing{err: broken}}).Tip(t.Context(), tipPrompt(t, "EUR", 1234, 200)); !errors.Is(err, broken) {
		t.Errorf("Tip: %v", err)
	}
}

type failing struct {
	left int
	err  error
}

func (f *failing) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return len(b), nil
}

func tipPrompt(t *testing.T, code string, amount, most int64) trusted.TipPrompt {
	t.Helper()
	c, err := money.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return trusted.TipPrompt{Merchant: "Shop", Amount: money.New(amount, c), Max: money.New(most, c)}
}

// TestEntriesInEveryLanguage draws what is entered by hand, in every language, with
// every complaint, at several widths.
func TestEntriesInEveryLanguage(t *testing.T) {
	for _, columns := range []int{0, 24, 40, 80} {
		for _, l := range catalogue.Languages() {
			var out bytes.Buffer
			c := New(Config{In: strings.NewReader("1\n" + testPAN + "\n99\n1231\n1\n123\nx\n1\n"), Out: &out, Columns: columns})
			card, err := c.KeyCard(t.Context(), trusted.CardPrompt{Amount: sale(t).Amount, Language: l})
			if err != nil {
				t.Fatal(err)
			}
			card.PAN.Wipe()
			p := tipPrompt(t, "EUR", 999_999_999_99, 999_999_999_99)
			p.Language, p.Merchant = l, strings.Repeat("Merchant 商店 ", 6)
			if _, err := c.Tip(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			flat := strings.NewReplacer("\n", "", " ", "", "\u00a0", "").Replace(out.String())
			for _, m := range []trusted.Message{
				catalogue.CardNumber, catalogue.CardExpiry, catalogue.CardCode, catalogue.WrongNumber, catalogue.WrongExpiry, catalogue.WrongCode,
				catalogue.TipForms, catalogue.WrongTip, catalogue.KeyClear, catalogue.KeyCancel,
			} {
				if s := strings.NewReplacer(" ", "", "\u00a0", "").Replace(find(t, l, m)); !strings.Contains(flat, s) {
					t.Errorf("%s at %d columns: no %q on the screen:\n%s", l, columns, s, out.String())
				}
			}
			want := columns
			if want == 0 {
				want = Columns
			}
			for _, line := range strings.Split(out.String(), "\n") {
				if catalogue.Width(strings.TrimRight(line, " ")) > want {
					t.Errorf("%s at %d columns: %q has %d", l, columns, line, catalogue.Width(line))
				}
			}
		}
	}
}
