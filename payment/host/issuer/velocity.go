package issuer

import (
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// Velocity is how much a card may be used for in a number of days. A card is
// counted from when it has such a limit.
type Velocity struct {
	// Days are calendar days in UTC, today the last of them: 1 to 366.
	Days int `json:"days"`
	// Count is the most payments; zero means any number.
	Count int `json:"count"`
	// Amount is the most that they may be together, in minor units of the
	// card's currency; zero means any. It and Count are not both zero.
	Amount int64 `json:"amount"`
}

// Check says whether v is a limit. Errors wrap ErrConfig.
func (v Velocity) Check() error {
	if member, reason := v.check(); reason != "" {
		return fmt.Errorf("%w: %s: %s", ErrConfig, member, reason)
	}
	return nil
}

// Room compares what a card was used for with the limit. The code is "" when
// there is room for another payment at that time, and says why in words
// otherwise.
func (v Velocity) Room(tx ledger.Tx, card string, at time.Time, amount money.Amount) (code, reason string, err error) {
	spent, err := tx.SpentSince(card, ledger.Day(at)-int64(v.Days)+1)
	switch {
	case err != nil:
		return "", "", err
	case v.Count > 0 && spent.Payments >= v.Count:
		return CodeFrequency, fmt.Sprintf("the card was used %d times in %d days", spent.Payments, v.Days), nil
	case v.Amount > 0 && amount.Minor > v.Amount-spent.Minor:
		return CodeOverLimit, fmt.Sprintf("over the limit of %d days, %v", v.Days, money.New(v.Amount, amount.Currency)), nil
	}
	return "", "", nil
}

// Count counts an approved payment for its card's limits. Servers on one ledger
// see each other's: it is to be written in the transaction that approves.
func Count(tx ledger.Tx, card string, at time.Time, amount money.Amount) error {
	return count(tx, card, at, 1, amount)
}

func count(tx ledger.Tx, card string, at time.Time, payments int, amount money.Amount) error {
	s, err := tx.Spending(card, ledger.Day(at))
	if err != nil {
		return err
	}
	s.Payments += payments
	s.Minor += amount.Minor
	return tx.PutSpending(s)
}

// more is Room for what a payment comes to more than was approved at that time:
// it counts in every row of days that has that day in it, up to today.
func (v Velocity) more(tx ledger.Tx, card string, at, now time.Time, more money.Amount) (code, reason string, err error) {
	if v.Amount == 0 {
		return "", "", nil
	}
	first := ledger.Day(at)
	for end := first; end == first || end <= ledger.Day(now) && end < first+int64(v.Days); end++ {
		spent, err := tx.SpentSince(card, end-int64(v.Days)+1)
		if err != nil {
			return "", "", err
		}
		later, err := tx.SpentSince(card, end+1)
		if err != nil {
			return "", "", err
		}
		if more.Minor > v.Amount-spent.Minor+later.Minor {
			return CodeOverLimit, fmt.Sprintf("over the limit of %d days, %v", v.Days, money.New(v.Amount, more.Currency)), nil
		}
	}
	return "", "", nil
}

// check names the member that is wrong.
func (v Velocity) check() (member, reason string) {
	switch {
	case v.Days < 1 || v.Days > 366:
		return "days", "want 1 to 366"
	case v.Count < 0 || v.Count > 1_000_000:
		return "count", "want 1 to 1000000, or none"
	case v.Amount < 0 || v.Amount > money.MaxMinor:
		return "amount", "want 1 to 12 digits of minor units, or none"
	case v.Count == 0 && v.Amount == 0:
		return "count", "or amount is needed"
	}
	return "", ""
}

// limits are what counts for a card.
func (i *Issuer) limits(k *card) []Velocity {
	if k.velocity != nil {
		return k.velocity
	}
	return i.c.Velocity
}

// velocity compares what a card was used for with its limits. It returns "" when
// there is room for the payment, or for a part that will do.
func (i *Issuer) velocity(tx ledger.Tx, k *card, r Request) (code, reason string, err error) {
	if !counted(r) || r.late() {
		return "", "", nil
	}
	for _, v := range i.limits(k) {
		if code, reason, err := v.Room(tx, k.ref, r.Time, r.Amount); err != nil || code != "" {
			return code, reason, err
		}
	}
	return "", "", nil
}

// counted reports whether a request is one that limits are for.
func counted(r Request) bool { return !r.Credit && !r.Inquiry }

// spend counts an approved payment.
func (i *Issuer) spend(tx ledger.Tx, k *card, r Request, d Decision) error {
	if !counted(r) || len(i.limits(k)) == 0 {
		return nil
	}
	amount := r.Amount
	if d.Code == CodePartial {
		amount = d.Part
	}
	return Count(tx, k.ref, r.Time, amount)
}

// GiveBack takes what was approved for a card at a time out of what counts for
// its velocity limits: a payment that was reversed or voided, or with payments
// zero the rest of one that took less. The time is Request.Time of when it was
// approved. Nothing counts less than nothing: a card that was not counted then
// stays so.
func GiveBack(tx ledger.Tx, card string, at time.Time, payments int, minor int64) error {
	if card == "" {
		return nil
	}
	s, err := tx.Spending(card, ledger.Day(at))
	if err != nil || s.Payments == 0 && s.Minor == 0 {
		return err
	}
	s.Payments, s.Minor = max(0, s.Payments-payments), max(0, s.Minor-minor)
	return tx.PutSpending(s)
}
