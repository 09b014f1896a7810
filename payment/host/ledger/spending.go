package ledger

import (
	"fmt"
	"time"
)

// Spending is how much a card was used for on a day.
type Spending struct {
	// Card is the card's reference.
	Card string
	// Day counts from 1970-01-01 in UTC: see Day.
	Day int64
	// Payments is their number, and Minor the sum of their amounts in minor
	// units of the card's currency. What was reversed is in neither.
	Payments int
	Minor    int64
}

// Day returns the day of a time, in UTC, counted from 1970-01-01.
func Day(t time.Time) int64 {
	const day = 24 * 60 * 60
	n := t.Unix()
	if n < 0 {
		n -= day - 1
	}
	return n / day
}

// Check says whether s can be written. Errors wrap ErrInvalid.
func (s *Spending) Check() error {
	if s.Card == "" || s.Payments < 0 || s.Minor < 0 {
		return fmt.Errorf("%w: spending without a card, or below zero", ErrInvalid)
	}
	return nil
}
