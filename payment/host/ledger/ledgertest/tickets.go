package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

func tickets(t *testing.T, s Store) {
	v := ledger.Ticket{ID: "t1", Sealed: []byte{1, 2, 3}, Expires: at}
	kept(t, s, v, func(tx ledger.Tx, v ledger.Ticket) error { return tx.PutTicket(v) },
		func(tx ledger.Tx) (ledger.Ticket, error) { return tx.Ticket("t1") })
	l := s.Open(t)
	there := func(id string, want bool) {
		t.Helper()
		err := l.View(t.Context(), func(tx ledger.Tx) error { _, err := tx.Ticket(id); return err })
		if want && err != nil || !want && !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("ticket %s: %v", id, err)
		}
	}
	update(t, l, func(tx ledger.Tx) error {
		return errors.Join(tx.PutTicket(ledger.Ticket{ID: "t2", Sealed: []byte{4}, Expires: at.Add(time.Hour)}), tx.DeleteTicketsBefore(at))
	})
	there("t1", true)
	stop := errors.New("stop")
	if err := l.Update(t.Context(), func(tx ledger.Tx) error { return errors.Join(tx.DeleteTicketsBefore(at.Add(2*time.Hour)), stop) }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the function", err)
	}
	there("t2", true)
	update(t, l, func(tx ledger.Tx) error { return tx.DeleteTicketsBefore(at.Add(time.Second)) })
	there("t1", false)
	there("t2", true)
	update(t, l, func(tx ledger.Tx) error { return errors.Join(tx.DeleteTicket("t2"), tx.DeleteTicket("none")) })
	there("t2", false)
	if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutTicket(ledger.Ticket{ID: "t3"}) }); !errors.Is(err, ledger.ErrInvalid) {
		t.Errorf("empty ticket: got %v, want ErrInvalid", err)
	}
}
