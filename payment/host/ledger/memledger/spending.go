package memledger

import (
	"fmt"

	"github.com/payunit/payunit/payment/host/ledger"
)

type cardDay struct {
	card string
	day  int64
}

// Spending returns a card's day.
func (t *tx) Spending(card string, day int64) (ledger.Spending, error) {
	if err := t.usable(); err != nil {
		return ledger.Spending{}, err
	}
	if s, ok := t.l.spendings[cardDay{card, day}]; ok {
		return s, nil
	}
	return ledger.Spending{Card: card, Day: day}, nil
}

// PutSpending writes a card's day.
func (t *tx) PutSpending(s ledger.Spending) error {
	if err := s.Check(); err != nil {
		return err
	}
	if err := t.writes("writing a card's day"); err != nil {
		return err
	}
	set(t, t.l.spendings, cardDay{s.Card, s.Day}, s)
	return nil
}

// SpentSince returns the sum of a card's days.
func (t *tx) SpentSince(card string, day int64) (ledger.Spending, error) {
	sum := ledger.Spending{Card: card, Day: day}
	if err := t.usable(); err != nil {
		return sum, err
	}
	for k, s := range t.l.spendings {
		if k.card != card || k.day < day {
			continue
		}
		if sum.Minor > sum.Minor+s.Minor {
			return sum, fmt.Errorf("%w: a card's days are out of range", ledger.ErrInvalid)
		}
		sum.Payments += s.Payments
		sum.Minor += s.Minor
	}
	return sum, nil
}
