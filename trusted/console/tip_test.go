package console

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/catalogue"
)

// TestTip: amounts by the currency's decimals, percentages, and what is neither.
func TestTip(t *testing.T) {
	for _, c := range []struct {
		typed, currency string
		amount, most    int64
		want            int64 // -1: asked for again
	}{
		{"", "EUR", 1234, 200, 0},
		{"0", "EUR", 1234, 200, 0},
		{"1", "EUR", 1234, 200, 100},
		{"1.5", "EUR", 1234, 200, 150},
		{"1,50", "EUR", 1234, 200, 150},
		{"2.00", "EUR", 1234, 200, 200},
		{"2.01", "EUR", 1234, 200, -1},
		{"1.500", "EUR", 1234, 200, -1},
		{"1.", "EUR", 1234, 200, -1},
		{".5", "EUR", 1234, 200, -1},
		{"1.0.0", "EUR", 1234, 200, -1},
		{"1,000.5", "EUR", 1234, 200000, -1},
		{"-1", "EUR", 1234, 200, -1},
		{"+1", "EUR", 1234, 200, -1},
		{"1e2", "EUR", 1234, 200, -1},
		{"1EUR", "EUR", 1234, 200, -1},
		{"9999999999999", "EUR", 1234, 200, -1},
		{"12345678901234", "EUR", 1234, math.MaxInt64, -1},
		{"5", "JPY", 1234, 200, 5},
		{"5.0", "JPY", 1234, 200, -1},
		{"1,000", "JPY", 1234, 2000, -1},
		{"1.234", "KWD", 12345, 2000, 1234},
		{"1.2345", "KWD", 12345, 2000, -1},
		// 10 % of 12.34 is 1.234, of 12.39 1.239: rounded down.
		{"10%", "EUR", 1234, 200, 123},
		{"10%", "EUR", 1239, 200, 123},
		{"12.5%", "EUR", 1000, 200, 125},
		{"12,25%", "EUR", 10000, 2000, 1225},
		{"0%", "EUR", 1234, 200, 0},
		{"15%", "JPY", 1234, 200, 185},
		{"17%", "EUR", 1234, 200, -1},
		{"100%", "EUR", 1234, 1234, 1234},
		{"100%", "EUR", money.MaxMinor, money.MaxMinor, money.MaxMinor},
		{"100.01%", "EUR", 1234, math.MaxInt64, -1},
		{"101%", "EUR", 1234, math.MaxInt64, -1},
		{"1000%", "EUR", 1, math.MaxInt64, -1},
		{"1.125%", "EUR", 1234, 200, -1},
		{"%", "EUR", 1234, 200, -1},
		{".5%", "EUR", 1234, 200, -1},
		{"5.%", "EUR", 1234, 200, -1},
		{"5%%", "EUR", 1234, 200, -1},
		{"%5", "EUR", 1234, 200, -1},
		{"5%5", "EUR", 1234, 200, -1},
		{"5%", "EUR", money.MaxMinor + 1, math.MaxInt64, -1},
		{"5%", "EUR", -100, 100, -1},
		{"0.01", "EUR", 1234, 0, -1},
	} {
		var out bytes.Buffer
		p := tipPrompt(t, c.currency, c.amount, c.most)
		got, err := New(Config{In: strings.NewReader(c.typed + "\n"), Out: &out}).Tip(t.Context(), p)
		again := strings.Contains(out.String(), find(t, "en", catalogue.WrongTip))
		if c.want < 0 {
			if !errors.Is(err, ErrInputClosed) || !again || got != (money.Amount{}) {
				t.Errorf("%q of %s: %v %v, asked again: %v", c.typed, p.Amount, got, err, again)
			}
			continue
		}
		if err != nil || got != money.New(c.want, p.Amount.Currency) || again {
			t.Errorf("%q of %s: %v %v, want %d", c.typed, p.Amount, got, err, c.want)
		}
	}
}

func TestTipAgain(t *testing.T) {
	var out bytes.Buffer
	p := tipPrompt(t, "EUR", 1234, 200)
	p.Merchant = "Shop\x1b[2J"
	got, err := New(Config{In: strings.NewReader("9\r\n1x\r\n1\r\n"), Out: &out}).Tip(t.Context(), p)
	if err != nil || got.Minor != 100 {
		t.Errorf("%v %v", got, err)
	}
	for s, want := range map[string]int{"Tip? At most EUR 2.00": 3, "EUR\u00a012.34": 3, "This tip is not possible": 2, "#=clear": 3, "\x1b": 0} {
		if n := strings.Count(out.String(), s); n != want {
			t.Errorf("%q stands %d times on the screen:\n%s", s, n, out.String())
		}
	}
}

func TestTipCancelled(t *testing.T) {
	for _, in := range []string{"!\n", "1!\n", "\x1b\n", "1\x03\n"} {
		got, err := New(Config{In: strings.NewReader(in), Out: &bytes.Buffer{}}).Tip(t.Context(), tipPrompt(t, "EUR", 1234, 200))
		if !errors.Is(err, trusted.ErrCancelled) || got != (money.Amount{}) {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
}

// TestTipOfAnotherCurrency: a prompt that names two allows none but no tip.
func TestTipOfAnotherCurrency(t *testing.T) {
	p := tipPrompt(t, "EUR", 1234, 200)
	p.Max = tipPrompt(t, "USD", 1234, 200).Max
	if _, ok := parseTip([]byte("1"), p); ok {
		t.Error("a tip in one currency under a limit in another")
	}
}

// FuzzEntries: whatever is typed, a card that comes of it is one, and a tip is
// within what the prompt allows; nothing typed is left in the field.
func FuzzEntries(f *testing.F) {
	for _, s := range []string{testPAN + "\n1231\n123\n", "4761 7390\n", "10%\n", "1,50\n", "!\n", "0.005%\n\n", "\x7f\x151\r\n"} {
		f.Add([]byte(s), int64(1234), int64(200))
	}
	eur, err := money.ByCode("EUR")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte, amount, most int64) {
		var out bytes.Buffer
		var typed field
		c := New(Config{In: bytes.NewReader(in), Out: &out})
		card, err := c.keyCard(t.Context(), trusted.CardPrompt{Amount: money.New(amount, eur)}, &typed)
		if err == nil && (!card.PAN.Luhn() || len(card.Expiry) != 4 || card.Expiry[2:] < "01" || card.Expiry[2:] > "12" || !code(card.CVV2.Reveal())) {
			t.Errorf("%q is taken for a card", in)
		}
		if err == nil && strings.Contains(out.String(), string(card.PAN.Reveal())) {
			t.Error("the number is on the screen")
		}
		if typed != (field{}) {
			t.Error("the field was not wiped")
		}
		drain(t, c)
		p := trusted.TipPrompt{Amount: money.New(amount, eur), Max: money.New(most, eur)}
		c = New(Config{In: bytes.NewReader(in), Out: &out})
		tip, err := c.Tip(t.Context(), p)
		if err == nil && tip.Minor != 0 && (tip.Minor < 0 || tip.Minor > most || tip.Currency != eur) {
			t.Errorf("%q is a tip of %v", in, tip)
		}
		drain(t, c)
	})
}

// drain takes what is left of a console's input, so that nobody waits with it.
func drain(t *testing.T, c *Console) {
	for {
		if _, err := c.key(t.Context(), time.Time{}); err != nil {
			return
		}
	}
}
