package ledgertest

import (
	"errors"
	"math"
	"testing"

	"github.com/payunit/payunit/payment/host/ledger"
)

func batches(t *testing.T, s Store) {
	total := func(n uint64) ledger.Total { return ledger.Total{Count: n, Minor: math.MaxUint64 - n} }
	b := ledger.Batch{
		Terminal: "T1", Currency: "EUR", Number: 7,
		Totals:  ledger.Totals{Debits: total(1), DebitReversals: total(2), Credits: total(3), CreditReversals: total(4)},
		Settled: ledger.Totals{Debits: total(7), Credits: total(8)}, Counted: true,
		Last: ledger.Settlement{
			STAN: "000001", RRN: "603401000001", Final: true, Code: "95", Uploaded: 3, Time: at,
			Claimed: ledger.Totals{Debits: total(5)}, Booked: ledger.Totals{Credits: total(6)},
		},
	}
	get := func(tx ledger.Tx) (ledger.Batch, error) { return tx.Batch("T1", "EUR") }
	l := s.Open(t)
	view(t, l, func(tx ledger.Tx) error {
		none, err := get(tx)
		if d := diff(ledger.Batch{Terminal: "T1", Currency: "EUR"}, none); d != "" {
			t.Errorf("before the first payment (-want +got):\n%s", d)
		}
		return err
	})
	update(t, l, func(tx ledger.Tx) error { return tx.PutBatch(b) })
	b.Number++
	update(t, l, func(tx ledger.Tx) error { return tx.PutBatch(b) })
	for _, l := range []ledger.Ledger{l, s.Open(t)} {
		view(t, l, func(tx ledger.Tx) error {
			got, err := get(tx)
			if d := diff(b, got); d != "" {
				t.Errorf("kept (-want +got):\n%s", d)
			}
			other, oerr := tx.Batch("T1", "USD")
			if d := diff(ledger.Batch{Terminal: "T1", Currency: "USD"}, other); d != "" {
				t.Errorf("in another currency (-want +got):\n%s", d)
			}
			return errors.Join(err, oerr)
		})
	}
	failed := errors.New("no")
	err := l.Update(t.Context(), func(tx ledger.Tx) error {
		c := b
		c.Number = 99
		if err := tx.PutBatch(c); err != nil {
			return err
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	view(t, l, func(tx ledger.Tx) error {
		got, err := get(tx)
		if got.Number != b.Number {
			t.Errorf("an update that failed was kept: %d", got.Number)
		}
		return err
	})
	for _, bad := range []ledger.Batch{{Currency: "EUR"}, {Terminal: "T1"}} {
		if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutBatch(bad) }); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", bad, err)
		}
	}
}
