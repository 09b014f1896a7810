package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

func outbox(t *testing.T, s Store) {
	o := ledger.Outgoing{ID: "reversal/1", Number: 2, Authorisation: key(1), Message: []byte{1, 2}, Due: at.Add(time.Minute), Attempts: 3, Refusals: 2, Code: "25", Refused: true, Created: at}
	kept(t, s, o, func(tx ledger.Tx, o ledger.Outgoing) error { return tx.PutOutgoing(o) },
		func(tx ledger.Tx) (ledger.Outgoing, error) { return tx.Outgoing(o.ID) })
	l := s.Open(t)
	older := ledger.Outgoing{ID: "z", Number: 1, Authorisation: key(2), Message: []byte{3}, Due: at, Created: at.Add(time.Second)}
	o.Attempts++
	update(t, l, func(tx ledger.Tx) error { return errors.Join(tx.PutOutgoing(older), tx.PutOutgoing(o)) })
	each := func(want ...ledger.Outgoing) {
		t.Helper()
		var all []ledger.Outgoing
		view(t, l, func(tx ledger.Tx) error {
			return tx.EachOutgoing(0, func(o ledger.Outgoing) error { all = append(all, o); return nil })
		})
		if d := diff(want, all); d != "" {
			t.Errorf("all of them (-want +got):\n%s", d)
		}
	}
	each(older, o)
	var rest []ledger.Outgoing
	view(t, l, func(tx ledger.Tx) error {
		return tx.EachOutgoing(1, func(o ledger.Outgoing) error { rest = append(rest, o); return nil })
	})
	if d := diff([]ledger.Outgoing{o}, rest); d != "" {
		t.Errorf("those after the first (-want +got):\n%s", d)
	}
	stop := errors.New("stop")
	err := l.Update(t.Context(), func(tx ledger.Tx) error { return errors.Join(tx.DeleteOutgoing("z"), stop) })
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the function", err)
	}
	each(older, o)
	update(t, l, func(tx ledger.Tx) error { return errors.Join(tx.DeleteOutgoing("z"), tx.DeleteOutgoing("none")) })
	each(o)
	for _, bad := range []ledger.Outgoing{{}, {ID: "x", Number: 1, Message: []byte{1}}, {ID: "x", Number: 1, Authorisation: key(1)}, {ID: "x", Message: []byte{1}, Authorisation: key(1)}} {
		if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutOutgoing(bad) }); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", bad, err)
		}
	}
}
