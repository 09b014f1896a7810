package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

func scripts(t *testing.T, s Store) {
	a := ledger.Script{
		Number: 1<<32 - 1, Card: "c", Command: "pin-change", Data: []byte{1}, Early: true, State: ledger.ScriptSent, Authorisation: key(1), ATC: 0xFFFF,
		Sent: 2, Refused: 1, Result: 0x21, Created: at, Changed: at.Add(time.Second),
	}
	kept(t, s, a, func(tx ledger.Tx, a ledger.Script) error { return tx.PutScript(a) },
		func(tx ledger.Tx) (ledger.Script, error) { return tx.Script(a.Number) })
	l := s.Open(t)
	older := ledger.Script{Number: 7, Card: "c", Command: "block", State: ledger.ScriptOwed, Created: at, Changed: at}
	other := ledger.Script{Number: 8, Card: "d", Command: "block", State: ledger.ScriptOwed, Created: at, Changed: at}
	a.State = ledger.ScriptDone
	update(t, l, func(tx ledger.Tx) error {
		return errors.Join(tx.PutScript(other), tx.PutScript(older), tx.PutScript(a))
	})
	each := func(card string, want ...ledger.Script) {
		t.Helper()
		var all []ledger.Script
		view(t, l, func(tx ledger.Tx) error {
			all = nil
			return tx.EachScript(card, func(s ledger.Script) error { all = append(all, s); return nil })
		})
		if d := diff(want, all); d != "" {
			t.Errorf("of %q (-want +got):\n%s", card, d)
		}
	}
	each("", older, other, a)
	each("c", older, a)
	each("e")
	for _, bad := range []func(*ledger.Script){
		func(s *ledger.Script) { s.Number = 0 }, func(s *ledger.Script) { s.Number = 1 << 32 }, func(s *ledger.Script) { s.Card = "" },
		func(s *ledger.Script) { s.Command = "" }, func(s *ledger.Script) { s.State = "" }, func(s *ledger.Script) { s.Authorisation.RRN = "" },
	} {
		b := a
		bad(&b)
		if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutScript(b) }); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", b, err)
		}
	}
}

func workingKeys(t *testing.T, s Store) {
	l := s.Open(t)
	k := func(usage string, n uint64, until time.Time) ledger.WorkingKey {
		return ledger.WorkingKey{Zone: "z", Usage: usage, Number: n, Block: usage + "-block", Created: at, Until: until}
	}
	pin, old, mac := k("pin", 2, time.Time{}), k("pin", 1, at), k("mac", 9, time.Time{})
	elsewhere := pin
	elsewhere.Zone = "y"
	update(t, l, func(tx ledger.Tx) error {
		return errors.Join(tx.PutWorkingKey(pin), tx.PutWorkingKey(k("pin", 1, time.Time{})), tx.PutWorkingKey(mac), tx.PutWorkingKey(elsewhere), tx.PutWorkingKey(old))
	})
	each := func(want ...ledger.WorkingKey) {
		t.Helper()
		var all []ledger.WorkingKey
		view(t, s.Open(t), func(tx ledger.Tx) error {
			all = nil
			return tx.EachWorkingKey("z", func(k ledger.WorkingKey) error { all = append(all, k); return nil })
		})
		if d := diff(want, all); d != "" {
			t.Errorf("the zone's keys (-want +got):\n%s", d)
		}
	}
	each(mac, old, pin)
	update(t, l, func(tx ledger.Tx) error {
		return errors.Join(tx.DeleteWorkingKey("z", "pin", 1), tx.DeleteWorkingKey("z", "pin", 1), tx.DeleteWorkingKey("z", "mac", 2))
	})
	each(mac, pin)
	for _, bad := range []ledger.WorkingKey{{Usage: "u", Number: 1, Block: "b"}, {Zone: "z", Number: 1, Block: "b"}, {Zone: "z", Usage: "u", Block: "b"}, {Zone: "z", Usage: "u", Number: 1}} {
		if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutWorkingKey(bad) }); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", bad, err)
		}
	}
}
