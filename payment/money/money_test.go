package money_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/payunit/payunit/payment/money"
)

func currency(t testing.TB, code string) money.Currency {
	t.Helper()
	c, err := money.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCurrencies are facts of ISO 4217.
func TestCurrencies(t *testing.T) {
	for _, tt := range []struct {
		code     string
		numeric  uint16
		exponent uint8
	}{
		{"EUR", 978, 2}, {"USD", 840, 2}, {"GBP", 826, 2}, {"CHF", 756, 2}, {"ALL", 8, 2}, {"AUD", 36, 2},
		{"JPY", 392, 0}, {"KRW", 410, 0}, {"ISK", 352, 0}, {"CLP", 152, 0}, {"VND", 704, 0}, {"XAF", 950, 0},
		{"BHD", 48, 3}, {"KWD", 414, 3}, {"JOD", 400, 3}, {"OMR", 512, 3}, {"TND", 788, 3}, {"IQD", 368, 3}, {"LYD", 434, 3},
		{"CLF", 990, 4}, {"UYW", 927, 4}, {"HUF", 348, 2}, {"TRY", 949, 2}, {"CNY", 156, 2},
	} {
		c := currency(t, tt.code)
		if c.Numeric() != tt.numeric || c.Exponent() != tt.exponent || c.Code() != tt.code || c.String() != tt.code || c.IsZero() {
			t.Errorf("%s: %d, %d", tt.code, c.Numeric(), c.Exponent())
		}
		if n, err := money.ByNumeric(tt.numeric); err != nil || n != c {
			t.Errorf("%d: %s, %v", tt.numeric, n, err)
		}
		if l, err := money.ByCode(strings.ToLower(tt.code)); err != nil || l != c {
			t.Errorf("lower case %s: %v", tt.code, err)
		}
	}
}

// TestCurrencyList goes over all that there may be: each number and code leads to
// one currency and back.
func TestCurrencyList(t *testing.T) {
	n := 0
	seen := map[string]uint16{}
	for i := range uint16(1200) {
		c, err := money.ByNumeric(i)
		if err != nil {
			if !errors.Is(err, money.ErrCurrency) {
				t.Fatal(err)
			}
			continue
		}
		n++
		if c.Numeric() != i || i > 999 || len(c.Code()) != 3 || strings.ToUpper(c.Code()) != c.Code() || c.Exponent() > 4 {
			t.Errorf("%03d: %+v", i, c)
		}
		if other, twice := seen[c.Code()]; twice {
			t.Errorf("%s is %d and %d", c.Code(), other, i)
		}
		seen[c.Code()] = i
		if back, err := money.ByCode(c.Code()); err != nil || back != c {
			t.Errorf("%s: %v", c.Code(), err)
		}
	}
	if n < 150 {
		t.Errorf("only %d currencies", n)
	}
	for _, bad := range []string{"", "EU", "EURO", "XXX", "XAU", "E\x00R", "€"} {
		if c, err := money.ByCode(bad); !errors.Is(err, money.ErrCurrency) || !c.IsZero() {
			t.Errorf("%q: %v, %v", bad, c, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in, code string
		want     int64
		back     string
	}{
		{"12.34", "EUR", 1234, "12.34"},
		{"12.3", "EUR", 1230, "12.30"},
		{"12", "EUR", 1200, "12.00"},
		{"0", "EUR", 0, "0.00"},
		{"0.01", "EUR", 1, "0.01"},
		{"00012.34", "EUR", 1234, "12.34"},
		{"1", "JPY", 1, "1"},
		{"1234", "JPY", 1234, "1234"},
		{"1.234", "BHD", 1234, "1.234"},
		{"1.2", "KWD", 1200, "1.200"},
		{"0.0001", "CLF", 1, "0.0001"},
		{"9999999999.99", "EUR", 999999999999, "9999999999.99"},
		{"999999999999", "JPY", 999999999999, "999999999999"},
		{"999999999.999", "BHD", 999999999999, "999999999.999"},
	} {
		c := currency(t, tt.code)
		got, err := money.Parse(tt.in, c)
		if err != nil || got != money.New(tt.want, c) {
			t.Errorf("%s %s: %v, %v", tt.in, tt.code, got, err)
			continue
		}
		if got.Decimal() != tt.back || got.String() != tt.back+" "+tt.code {
			t.Errorf("%s %s: %s", tt.in, tt.code, got)
		}
		if again, err := money.Parse(got.Decimal(), c); err != nil || again != got {
			t.Errorf("%s read again: %v, %v", got.Decimal(), again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		in, code string
		err      error
	}{
		{"", "EUR", money.ErrAmount}, {".", "EUR", money.ErrAmount}, {".5", "EUR", money.ErrAmount}, {"5.", "EUR", money.ErrAmount},
		{"-1", "EUR", money.ErrAmount}, {"+1", "EUR", money.ErrAmount}, {"1,50", "EUR", money.ErrAmount}, {"1.000,50", "EUR", money.ErrAmount},
		{"1'000", "EUR", money.ErrAmount}, {"1e3", "EUR", money.ErrAmount}, {"0x10", "EUR", money.ErrAmount}, {"1_000", "EUR", money.ErrAmount},
		{" 1", "EUR", money.ErrAmount}, {"1 ", "EUR", money.ErrAmount}, {"1.2.3", "EUR", money.ErrAmount}, {"１２", "EUR", money.ErrAmount}, {"NaN", "EUR", money.ErrAmount},
		{"12.345", "EUR", money.ErrAmount}, {"12.340", "EUR", money.ErrAmount}, {"1.0", "JPY", money.ErrAmount}, {"1.2345", "BHD", money.ErrAmount},
		{"10000000000.00", "EUR", money.ErrRange}, {"1000000000000", "JPY", money.ErrRange}, {"99999999999999999999", "EUR", money.ErrRange},
		{strings.Repeat("9", 400), "EUR", money.ErrRange},
	} {
		got, err := money.Parse(tt.in, currency(t, tt.code))
		if !errors.Is(err, tt.err) || got != (money.Amount{}) {
			t.Errorf("%q %s: %v, %v, want %v", tt.in, tt.code, got, err, tt.err)
		}
	}
	if _, err := money.Parse("1", money.Currency{}); !errors.Is(err, money.ErrCurrency) {
		t.Errorf("without a currency: %v", err)
	}
}

func TestDecimal(t *testing.T) {
	for _, tt := range []struct {
		minor      int64
		code, want string
	}{
		{-1, "EUR", "-0.01"}, {-1234, "EUR", "-12.34"}, {5, "EUR", "0.05"}, {-5, "JPY", "-5"}, {-1, "BHD", "-0.001"},
		{math.MaxInt64, "EUR", "92233720368547758.07"}, {math.MinInt64, "EUR", "-92233720368547758.08"}, {math.MinInt64, "JPY", "-9223372036854775808"},
	} {
		if got := money.New(tt.minor, currency(t, tt.code)).Decimal(); got != tt.want {
			t.Errorf("%d %s: %s, want %s", tt.minor, tt.code, got, tt.want)
		}
	}
	if got := money.New(12, money.Currency{}).String(); got != "12" {
		t.Errorf("without a currency: %s", got)
	}
}

func TestAdd(t *testing.T) {
	eur, usd := currency(t, "EUR"), currency(t, "USD")
	for _, tt := range []struct {
		a, b, want int64
		err        error
	}{
		{1, 2, 3, nil}, {1, -2, -1, nil}, {0, 0, 0, nil}, {math.MaxInt64, 0, math.MaxInt64, nil}, {math.MaxInt64, math.MinInt64, -1, nil},
		{math.MaxInt64 - 1, 1, math.MaxInt64, nil}, {math.MaxInt64, 1, 0, money.ErrRange}, {1, math.MaxInt64, 0, money.ErrRange},
		{math.MinInt64, -1, 0, money.ErrRange}, {math.MinInt64, math.MinInt64, 0, money.ErrRange}, {math.MaxInt64, math.MaxInt64, 0, money.ErrRange},
	} {
		got, err := money.New(tt.a, eur).Add(money.New(tt.b, eur))
		if !errors.Is(err, tt.err) || err == nil && got != money.New(tt.want, eur) || err != nil && got != (money.Amount{}) {
			t.Errorf("%d + %d: %v, %v", tt.a, tt.b, got, err)
		}
	}
	if _, err := money.New(1, eur).Add(money.New(1, usd)); !errors.Is(err, money.ErrMismatch) {
		t.Errorf("EUR and USD: %v", err)
	}
	if _, err := money.New(1, eur).Add(money.New(0, money.Currency{})); !errors.Is(err, money.ErrMismatch) {
		t.Errorf("EUR and none: %v", err)
	}
}

func TestNeg(t *testing.T) {
	eur := currency(t, "EUR")
	for in, want := range map[int64]int64{0: 0, 5: -5, -5: 5, math.MaxInt64: -math.MaxInt64} {
		if got, err := money.New(in, eur).Neg(); err != nil || got != money.New(want, eur) {
			t.Errorf("-%d: %v, %v", in, got, err)
		}
	}
	if got, err := money.New(math.MinInt64, eur).Neg(); !errors.Is(err, money.ErrRange) {
		t.Errorf("the smallest number: %v, %v", got, err)
	}
	if !money.New(0, eur).IsZero() || money.New(-1, eur).IsZero() {
		t.Error("IsZero")
	}
}

func TestBCD12(t *testing.T) {
	eur := currency(t, "EUR")
	for in, want := range map[int64]string{0: "000000000000", 1: "000000000001", 1234: "000000001234", 123456789012: "123456789012", money.MaxMinor: "999999999999"} {
		got, err := money.New(in, eur).BCD12()
		if err != nil || hex.EncodeToString(got[:]) != want {
			t.Errorf("%d: %x, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []int64{-1, money.MaxMinor + 1, math.MaxInt64, math.MinInt64} {
		if got, err := money.New(in, eur).BCD12(); !errors.Is(err, money.ErrRange) || got != [6]byte{} {
			t.Errorf("%d: %x, %v, want ErrRange", in, got, err)
		}
	}
}

func TestJSON(t *testing.T) {
	a := money.New(1234, currency(t, "EUR"))
	b, err := json.Marshal(a)
	if err != nil || string(b) != `{"minor":1234,"currency":"EUR"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var back money.Amount
	if err := json.Unmarshal(b, &back); err != nil || back != a {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{`{"minor":1,"currency":"EURO"}`, `{"minor":1,"currency":""}`} {
		if err := json.Unmarshal([]byte(bad), &back); !errors.Is(err, money.ErrCurrency) {
			t.Errorf("%s: %v, want ErrCurrency", bad, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"minor":1.5,"currency":"EUR"}`), &back); err == nil {
		t.Error("half a cent was taken")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"12.34", "0", "9999999999.99", "1e9", "-1", "1.", ".1", "00000000000000000001.00"} {
		f.Add(s, uint16(978))
	}
	f.Add("1.234", uint16(48))
	f.Add("5", uint16(392))
	f.Fuzz(func(t *testing.T, s string, numeric uint16) {
		c, err := money.ByNumeric(numeric)
		if err != nil {
			return
		}
		a, err := money.Parse(s, c)
		if err != nil {
			if !errors.Is(err, money.ErrAmount) && !errors.Is(err, money.ErrRange) {
				t.Fatal(err)
			}
			return
		}
		if a.Minor < 0 || a.Minor > money.MaxMinor {
			t.Fatalf("%q: %d", s, a.Minor)
		}
		again, err := money.Parse(a.Decimal(), c)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(fmt.Sprint(a), fmt.Sprint(again)); d != "" {
			t.Fatalf("-want +got\n%s", d)
		}
		bcd, err := a.BCD12()
		if err != nil || hex.EncodeToString(bcd[:]) != fmt.Sprintf("%012d", a.Minor) {
			t.Fatalf("%x, %v", bcd, err)
		}
	})
}
