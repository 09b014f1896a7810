package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

func spendings(t *testing.T, s Store) {
	day := ledger.Day(at)
	v := ledger.Spending{Card: "c", Day: day, Payments: 2, Minor: 300}
	kept(t, s, v, func(tx ledger.Tx, v ledger.Spending) error { return tx.PutSpending(v) },
		func(tx ledger.Tx) (ledger.Spending, error) {
			v, err := tx.Spending("c", day)
			if err == nil && v.Payments == 0 {
				err = ledger.ErrNotFound
			}
			return v, err
		})
	l := s.Open(t)
	update(t, l, func(tx ledger.Tx) error {
		return errors.Join(
			tx.PutSpending(ledger.Spending{Card: "c", Day: day + 1, Payments: 1, Minor: 50}),
			tx.PutSpending(ledger.Spending{Card: "c", Day: day - 1, Payments: 10, Minor: 7000}),
			tx.PutSpending(ledger.Spending{Card: "other", Day: day, Payments: 100, Minor: 80000}))
	})
	for _, c := range []struct {
		card  string
		since int64
		want  ledger.Spending
	}{
		{"c", day, ledger.Spending{Payments: 3, Minor: 350}},
		{"c", day - 1, ledger.Spending{Payments: 13, Minor: 7350}},
		{"c", day + 2, ledger.Spending{}},
		{"none", 0, ledger.Spending{}},
	} {
		view(t, l, func(tx ledger.Tx) error {
			got, err := tx.SpentSince(c.card, c.since)
			c.want.Card, c.want.Day = c.card, c.since
			if d := diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			return err
		})
	}
	stop := errors.New("stop")
	err := l.Update(t.Context(), func(tx ledger.Tx) error {
		return errors.Join(tx.PutSpending(ledger.Spending{Card: "c", Day: day}), stop)
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the function", err)
	}
	view(t, l, func(tx ledger.Tx) error {
		got, err := tx.Spending("c", day)
		if d := diff(v, got); d != "" {
			t.Errorf("after a rollback (-want +got):\n%s", d)
		}
		return err
	})
	for _, bad := range []ledger.Spending{{Day: day}, {Card: "c", Day: day, Payments: -1}, {Card: "c", Day: day, Minor: -1}} {
		if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutSpending(bad) }); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", bad, err)
		}
	}
	for _, c := range []struct {
		at   time.Time
		want int64
	}{{time.Unix(0, 0), 0}, {time.Unix(86399, 0), 0}, {time.Unix(86400, 0), 1}, {time.Unix(-1, 0), -1}, {time.Unix(-86400, 0), -1}, {time.Unix(-86401, 0), -2}} {
		if got := ledger.Day(c.at); got != c.want {
			t.Errorf("%v is day %d, want %d", c.at.UTC(), got, c.want)
		}
	}
}
