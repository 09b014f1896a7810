package ledgertest

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

func orders(t *testing.T, s Store) {
	o := ledger.Order{
		ID: "order 1/ä", Type: "sale", Amount: eur(t, 1234), Merchant: "M1", State: ledger.OrderPaid,
		Authorisation: ledger.Key{Terminal: "T1", STAN: "000001", RRN: "603401000001"}, Original: "order 0", Refunded: 234, Cashback: 34, Tip: 56, Created: at,
	}
	get := func(tx ledger.Tx) (ledger.Order, error) { return tx.Order(o.ID) }
	kept(t, s, o, func(tx ledger.Tx, o ledger.Order) error { return tx.PutOrder(o) }, get)
	l := s.Open(t)
	o.State, o.Authorisation = ledger.OrderOpen, ledger.Key{}
	update(t, l, func(tx ledger.Tx) error { return tx.PutOrder(o) })
	var all []ledger.Order
	view(t, l, func(tx ledger.Tx) error {
		return tx.EachOrder(func(o ledger.Order) error { all = append(all, o); return nil })
	})
	if d := diff([]ledger.Order{o}, all); d != "" {
		t.Errorf("after writing it again (-want +got):\n%s", d)
	}
	if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutOrder(ledger.Order{ID: "x"}) }); !errors.Is(err, ledger.ErrInvalid) {
		t.Errorf("order without amount: got %v, want ErrInvalid", err)
	}
	for _, refunded := range []int64{-1, 1235} {
		o.Refunded = refunded
		if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutOrder(o) }); !errors.Is(err, ledger.ErrInvalid) {
			t.Errorf("order of 1234 with %d given back: got %v, want ErrInvalid", refunded, err)
		}
	}
}

func terminal(id string, number uint64, key ...byte) ledger.Terminal {
	return ledger.Terminal{
		ID: id, Number: number, DeviceKey: key, MerchantID: "M1", Merchant: "Shop", PINFormat: 4, Generation: "01020304",
		Device: "device", DeviceClass: "class", Assurance: 3, Activation: "a1", Enrolled: at,
		MACKeys: ledger.Window{High: math.MaxUint64, Bits: math.MaxUint64}, PINKeys: ledger.Window{High: 1, Bits: 1 << 63},
	}
}

func terminals(t *testing.T, s Store) {
	v := terminal("T1", 1, 1, 2, 3)
	kept(t, s, v, func(tx ledger.Tx, v ledger.Terminal) error { return tx.PutTerminal(v) },
		func(tx ledger.Tx) (ledger.Terminal, error) { return tx.TerminalByKey([]byte{1, 2, 3}) })
	l := s.Open(t)
	v.MACKeys.High = 5
	update(t, l, func(tx ledger.Tx) error { return tx.PutTerminal(v) })
	view(t, l, func(tx ledger.Tx) error {
		got, err := tx.Terminal("T1")
		if d := diff(v, got); d != "" {
			t.Errorf("after writing it again (-want +got):\n%s", d)
		}
		return err
	})
	for _, c := range []struct {
		name string
		v    ledger.Terminal
		want error
	}{
		{"device key of another", terminal("T2", 2, 1, 2, 3), ledger.ErrConflict},
		{"no device key", terminal("T3", 3), ledger.ErrInvalid},
		{"no number", terminal("T3", 0, 9), ledger.ErrInvalid},
	} {
		if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutTerminal(c.v) }); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutTerminal(terminal("T4", 1, 7)) }); err == nil {
		t.Error("number of another terminal: taken")
	}
	view(t, l, func(tx ledger.Tx) error { _, err := tx.Terminal("T1"); return err })
	second := terminal("T0", 7, 7)
	update(t, l, func(tx ledger.Tx) error { return tx.PutTerminal(second) })
	var all []ledger.Terminal
	view(t, l, func(tx ledger.Tx) error {
		all = nil
		return tx.EachTerminal(func(v ledger.Terminal) error { all = append(all, v); return nil })
	})
	if d := diff([]ledger.Terminal{second, v}, all); d != "" {
		t.Errorf("all of them (-want +got):\n%s", d)
	}
}

func activations(t *testing.T, s Store) {
	a := ledger.Activation{ID: "a1", MerchantID: "M1", Merchant: "Shop", Expires: at, Terminal: "T1"}
	kept(t, s, a, func(tx ledger.Tx, a ledger.Activation) error { return tx.PutActivation(a) },
		func(tx ledger.Tx) (ledger.Activation, error) { return tx.Activation("a1") })
}

func sequences(t *testing.T, s Store) {
	l := s.Open(t)
	for want := uint64(1); want <= 3; want++ {
		update(t, l, func(tx ledger.Tx) error {
			n, err := tx.Next("a")
			if err == nil && n != want {
				t.Errorf("got %d, want %d", n, want)
			}
			return err
		})
	}
	stop := errors.New("stop")
	if err := l.Update(t.Context(), func(tx ledger.Tx) error { _, _ = tx.Next("a"); return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the function", err)
	}
	update(t, s.Open(t), func(tx ledger.Tx) error {
		n, err := tx.Next("a")
		m, err2 := tx.Next("b")
		if n != 4 || m != 1 {
			t.Errorf("after a rollback and a new process: got %d and %d, want 4 and 1", n, m)
		}
		return errors.Join(err, err2)
	})
}

func authorisations(t *testing.T, s Store) {
	a := ledger.Authorisation{
		Key: ledger.Key{Terminal: "T1", STAN: "000001", RRN: "603401000001"}, Transmitted: at, Order: "o1", Amount: eur(t, 1234),
		Card: "c", Account: "card/c", State: ledger.AuthApproved, Content: []byte{1}, ResponseCode: "00", AuthCode: "123456", ICC: []byte{2},
		Completion: []byte{3}, Created: at, Changed: at.Add(time.Second),
	}
	kept(t, s, a, func(tx ledger.Tx, a ledger.Authorisation) error { return tx.PutAuthorisation(a) },
		func(tx ledger.Tx) (ledger.Authorisation, error) { return tx.Authorisation(a.Key) })
	l := s.Open(t)
	// Each part of the key counts: two terminals with one STAN are two.
	for _, k := range []ledger.Key{{Terminal: "T2", STAN: "000001", RRN: "603401000001"}, {Terminal: "T1", STAN: "000002", RRN: "603401000001"}, {Terminal: "T1", STAN: "000001", RRN: "603401000002"}} {
		err := l.View(t.Context(), func(tx ledger.Tx) error { _, err := tx.Authorisation(k); return err })
		if !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", k, err)
		}
	}
	// A reversal without its request has little in it.
	b := ledger.Authorisation{Key: ledger.Key{Terminal: "T0", STAN: "000009", RRN: "603401000009"}, State: ledger.AuthReversed, Created: at, Changed: at}
	update(t, l, func(tx ledger.Tx) error { return tx.PutAuthorisation(b) })
	var all []ledger.Authorisation
	view(t, l, func(tx ledger.Tx) error {
		return tx.EachAuthorisation(func(a ledger.Authorisation) error { all = append(all, a); return nil })
	})
	if d := diff([]ledger.Authorisation{b, a}, all); d != "" {
		t.Errorf("all of them (-want +got):\n%s", d)
	}
	if err := l.Update(t.Context(), func(tx ledger.Tx) error { return tx.PutAuthorisation(ledger.Authorisation{}) }); !errors.Is(err, ledger.ErrInvalid) {
		t.Errorf("without a key: got %v, want ErrInvalid", err)
	}
}

func cards(t *testing.T, s Store) {
	c := ledger.Card{Ref: "r", ATC: ledger.Window{High: 70, Bits: math.MaxUint64}, PINTries: 2, Blocked: true, Scripts: 3, PIN: []byte{4}}
	kept(t, s, c, func(tx ledger.Tx, c ledger.Card) error { return tx.PutCard(c) },
		func(tx ledger.Tx) (ledger.Card, error) { return tx.Card("r") })
}
