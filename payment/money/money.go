// Package money holds amounts of money as integers in the minor unit of an ISO
// 4217 currency. There is no floating point in it, and no arithmetic that can
// wrap or mix currencies without an error.
package money

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Errors that callers branch on.
var (
	ErrCurrency = errors.New("money: unknown currency")
	ErrAmount   = errors.New("money: not an amount")
	ErrRange    = errors.New("money: amount out of range")
	ErrMismatch = errors.New("money: currencies differ")
)

// MaxMinor is the largest amount that a 12-digit numeric field carries (ISO
// 8583 DE 4, EMV tag 9F02).
const MaxMinor = 999_999_999_999

// Currency is an ISO 4217 currency: alphabetic code, numeric code, and the
// exponent of its minor unit. The zero value is no currency.
type Currency struct {
	code     string
	numeric  uint16
	exponent uint8
}

// Code returns the three letters, "EUR".
func (c Currency) Code() string { return c.code }

// Numeric returns the three-digit code as a number, 978.
func (c Currency) Numeric() uint16 { return c.numeric }

// Exponent returns the number of decimals of the minor unit, 2 for EUR.
func (c Currency) Exponent() uint8 { return c.exponent }

// IsZero reports whether c is no currency.
func (c Currency) IsZero() bool { return c.code == "" }

// String returns the alphabetic code.
func (c Currency) String() string { return c.code }

// MarshalText writes the alphabetic code.
func (c Currency) MarshalText() ([]byte, error) { return []byte(c.code), nil }

// UnmarshalText reads an alphabetic code; errors wrap ErrCurrency.
func (c *Currency) UnmarshalText(b []byte) error {
	v, err := ByCode(string(b))
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// ByCode finds a currency by its alphabetic code, in either case. Errors wrap
// ErrCurrency.
func ByCode(code string) (Currency, error) {
	up := strings.ToUpper(code)
	for _, c := range currencies {
		if c.code == up {
			return c, nil
		}
	}
	return Currency{}, fmt.Errorf("%w: code %q", ErrCurrency, code)
}

// ByNumeric finds a currency by its numeric code. Errors wrap ErrCurrency.
func ByNumeric(n uint16) (Currency, error) {
	if int(n) < len(byNumber) && byNumber[n] > 0 {
		return currencies[byNumber[n]-1], nil
	}
	return Currency{}, fmt.Errorf("%w: number %03d", ErrCurrency, n)
}

// byNumber is one more than a currency's place in currencies, by its number.
var byNumber = func() (t [1000]uint8) {
	for i, c := range slices.Backward(currencies[:]) {
		t[c.numeric] = uint8(i + 1)
	}
	return t
}()

// Amount is a number of minor units of a currency. It may be negative where a
// ledger needs it; what goes to a card or a message is 0 to MaxMinor.
type Amount struct {
	Minor    int64    `json:"minor"`
	Currency Currency `json:"currency"`
}

// New returns an amount of minor units.
func New(minor int64, c Currency) Amount { return Amount{Minor: minor, Currency: c} }

// Parse reads "12.34", "12" or "12.3" for a currency with that many decimals at
// most. Signs, groups, exponents and commas are refused. Errors wrap ErrAmount
// or ErrRange.
func Parse(s string, c Currency) (Amount, error) {
	if c.IsZero() {
		return Amount{}, fmt.Errorf("%w: no currency given", ErrCurrency)
	}
	whole, frac, dot := strings.Cut(s, ".")
	if whole == "" || dot && frac == "" || !digits(whole) || !digits(frac) {
		return Amount{}, fmt.Errorf("%w: %q: write it as 12.34", ErrAmount, s)
	}
	if len(frac) > int(c.exponent) {
		return Amount{}, fmt.Errorf("%w: %q has more than the %d decimals of %s", ErrAmount, s, c.exponent, c)
	}
	frac += strings.Repeat("0", int(c.exponent)-len(frac))
	v, err := strconv.ParseInt(whole+frac, 10, 64)
	if err != nil || v > MaxMinor {
		return Amount{}, fmt.Errorf("%w: %q is over 12 digits of minor units", ErrRange, s)
	}
	return Amount{Minor: v, Currency: c}, nil
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// Decimal returns the amount as digits with the currency's decimals, "12.34".
func (a Amount) Decimal() string {
	sign, u := "", uint64(a.Minor)
	if a.Minor < 0 {
		sign, u = "-", -u
	}
	s := strconv.FormatUint(u, 10)
	e := int(a.Currency.exponent)
	if e == 0 {
		return sign + s
	}
	if len(s) <= e {
		s = strings.Repeat("0", e+1-len(s)) + s
	}
	return sign + s[:len(s)-e] + "." + s[len(s)-e:]
}

// String returns the decimal form and the currency, "12.34 EUR".
func (a Amount) String() string {
	if a.Currency.IsZero() {
		return strconv.FormatInt(a.Minor, 10)
	}
	return a.Decimal() + " " + a.Currency.code
}

// IsZero reports whether there are no minor units.
func (a Amount) IsZero() bool { return a.Minor == 0 }

// Add returns a+b. Errors wrap ErrMismatch or ErrRange.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.Currency != b.Currency {
		return Amount{}, fmt.Errorf("%w: %s and %s", ErrMismatch, a.Currency, b.Currency)
	}
	s := a.Minor + b.Minor
	if b.Minor > 0 && s < a.Minor || b.Minor < 0 && s > a.Minor {
		return Amount{}, fmt.Errorf("%w: sum", ErrRange)
	}
	return Amount{Minor: s, Currency: a.Currency}, nil
}

// Neg returns -a; the smallest int64 has no negation and wraps ErrRange.
func (a Amount) Neg() (Amount, error) {
	if a.Minor == math.MinInt64 {
		return Amount{}, fmt.Errorf("%w: negation", ErrRange)
	}
	return Amount{Minor: -a.Minor, Currency: a.Currency}, nil
}

// BCD12 returns the amount as format n 12, the value of tag 9F02 (EMV 4.4 Book
// 3, Annex A). Errors wrap ErrRange.
func (a Amount) BCD12() ([6]byte, error) {
	var out [6]byte
	if a.Minor < 0 || a.Minor > MaxMinor {
		return out, fmt.Errorf("%w: %d does not fit 12 digits", ErrRange, a.Minor)
	}
	v := a.Minor
	for i := 5; i >= 0; i-- {
		out[i] = byte(v%10) | byte(v/10%10)<<4
		v /= 100
	}
	return out, nil
}
