package catalogue

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"github.com/payunit/payunit/payment/money"
)

func amount(t *testing.T, code string, minor int64) money.Amount {
	t.Helper()
	c, err := money.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

func TestAmount(t *testing.T) {
	for _, c := range []struct {
		language, currency string
		minor              int64
		want               string
	}{
		{"en", "EUR", 123456, "EUR 1,234.56"},
		{"en", "EUR", 5, "EUR 0.05"},
		{"en", "JPY", 1234567, "JPY 1,234,567"},
		{"en", "KWD", 1234567, "KWD 1,234.567"},
		{"en", "EUR", -123456, "-EUR 1,234.56"},
		{"en", "EUR", 99999, "EUR 999.99"},
		{"de", "EUR", 123456789, "1.234.567,89 EUR"},
		{"fr", "EUR", 123456, "1 234,56 EUR"},
		{"es", "EUR", 123456, "1234,56 EUR"},
		{"es", "EUR", 1234567, "12.345,67 EUR"},
		{"it", "EUR", 123456, "1.234,56 EUR"},
		{"pt", "BRL", 123456, "BRL 1.234,56"},
		{"nl", "EUR", 123456, "EUR 1.234,56"},
		{"pl", "PLN", 123456, "1234,56 PLN"},
		{"pl", "PLN", 1234567, "12 345,67 PLN"},
		{"tr", "TRY", 123456, "TRY 1.234,56"},
		{"ar", "SAR", 123456, "SAR 1,234.56"},
		{"hi", "INR", 1234567890, "INR 1,23,45,678.90"},
		{"hi", "INR", 99999, "INR 999.99"},
		{"ja", "JPY", 1234, "JPY 1,234"},
		{"zh", "CNY", 123456, "CNY 1,234.56"},
	} {
		got, err := Amount(amount(t, c.currency, c.minor), c.language)
		if err != nil || strings.ReplaceAll(got, space, " ") != c.want || strings.Contains(got, " ") {
			t.Errorf("%s: %q, %v, want %q", c.language, got, err, c.want)
		}
	}
	if got, err := Amount(money.Amount{Minor: 1234}, "en"); got != "1,234" || err != nil {
		t.Errorf("without a currency: %q, %v", got, err)
	}
	if _, err := Amount(money.Amount{}, "sv"); !errors.Is(err, ErrLanguage) {
		t.Errorf("a language that there is not: %v", err)
	}
	for _, l := range Languages() {
		if _, ok := formatOf(l); !ok {
			t.Errorf("%s writes no amounts", l)
		}
	}
}

// TestNumbersAgainstCLDR compares signs and groups with those that
// golang.org/x/text takes from the Unicode CLDR.
func TestNumbersAgainstCLDR(t *testing.T) {
	eur := amount(t, "EUR", 0).Currency
	for _, l := range Languages() {
		tag := l
		if l == "ar" {
			tag = "ar-u-nu-latn" // its numbers with the digits 0 to 9
		}
		p := message.NewPrinter(language.MustParse(tag))
		f, _ := formatOf(l)
		for _, minor := range []int64{7, 99999, 123456, 1234567, 12345678, 123456789012} {
			// Of how many digits stand before the first group, x/text knows
			// nothing.
			whole := minor / 100
			if f.fewest > 1 && whole >= 1000 && whole < 10000 {
				continue
			}
			want := p.Sprint(number.Decimal(float64(minor)/100, number.Scale(2)))
			want = strings.NewReplacer("\u202f", space).Replace(want)
			got, err := Amount(money.New(minor, eur), l)
			got = strings.ReplaceAll(strings.ReplaceAll(got, "EUR"+space, ""), space+"EUR", "")
			if err != nil || got != want {
				t.Errorf("%s: %q, %v, want %q", l, got, err, want)
			}
		}
	}
}
