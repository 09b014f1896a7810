package catalogue

import (
	"fmt"
	"strings"

	"github.com/payunit/payunit/payment/money"
)

// format is how a language writes numbers and amounts (Unicode CLDR). Digits are
// 0 to 9 everywhere, so that screen, receipt and card show one number. The
// currency is its code, since a sign such as $ stands for many.
type format struct {
	point, group string
	// fewest is how many digits stand before the first group sign at least.
	fewest int
	// lakh groups by three digits and then by two.
	lakh bool
	// after puts the currency behind the number.
	after bool
}

// space keeps an amount together where lines are broken.
const space = "\u00A0"

func formatOf(language string) (format, bool) {
	switch language {
	case "en", "ar", "ja", "zh":
		return format{point: ".", group: ",", fewest: 1}, true
	case "hi":
		return format{point: ".", group: ",", fewest: 1, lakh: true}, true
	case "pt", "nl", "tr":
		return format{point: ",", group: ".", fewest: 1}, true
	case "de", "it":
		return format{point: ",", group: ".", fewest: 1, after: true}, true
	case "es":
		return format{point: ",", group: ".", fewest: 2, after: true}, true
	case "fr":
		return format{point: ",", group: space, fewest: 1, after: true}, true
	case "pl":
		return format{point: ",", group: space, fewest: 2, after: true}, true
	}
	return format{}, false
}

// Amount writes an amount as a language does: "EUR 1,234.56", "1.234,56 EUR".
// The spaces in it are U+00A0. Errors: ErrLanguage.
func Amount(a money.Amount, language string) (string, error) {
	f, ok := formatOf(language)
	if !ok {
		return "", fmt.Errorf("%w: %.8q", ErrLanguage, language)
	}
	sign := ""
	d, negative := strings.CutPrefix(a.Decimal(), "-")
	if negative {
		sign = "-"
	}
	whole, fraction, has := strings.Cut(d, ".")
	n := f.grouped(whole)
	if has {
		n += f.point + fraction
	}
	switch {
	case a.Currency.IsZero():
		return sign + n, nil
	case f.after:
		return sign + n + space + a.Currency.Code(), nil
	}
	return sign + a.Currency.Code() + space + n, nil
}

// grouped puts group signs between digits.
func (f format) grouped(digits string) string {
	if len(digits) < 3+f.fewest {
		return digits
	}
	head, out := digits[:len(digits)-3], digits[len(digits)-3:]
	size := 3
	if f.lakh {
		size = 2
	}
	for len(head) > size {
		head, out = head[:len(head)-size], head[len(head)-size:]+f.group+out
	}
	return head + f.group + out
}
