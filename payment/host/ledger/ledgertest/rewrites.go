package ledgertest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// rewrites reads a record, changes one field of it and writes it, in one
// transaction: whatever field that is, the record has it afterwards.
func rewrites(t *testing.T, s Store) {
	l := s.Open(t)
	o := ledger.Order{
		ID: "o", Type: "sale", Amount: eur(t, 1234), Merchant: "M1", State: ledger.OrderPaid,
		Authorisation: ledger.Key{Terminal: "T1", STAN: "000001", RRN: "603401000001"}, Original: "p", Refunded: 234, Cashback: 34, Tip: 56, Created: at,
	}
	rewritten(t, l, o, []string{"ID"}, ledger.Tx.PutOrder, func(tx ledger.Tx) (ledger.Order, error) { return tx.Order("o") })
	rewritten(t, l, terminal("T1", 1, 1, 2, 3), []string{"ID"}, ledger.Tx.PutTerminal, func(tx ledger.Tx) (ledger.Terminal, error) { return tx.Terminal("T1") })
	a := ledger.Authorisation{
		Key: o.Authorisation, Transmitted: at, Order: "o", Amount: eur(t, 1234), Card: "c", Account: "card/c", State: ledger.AuthApproved,
		Content: []byte{1}, ResponseCode: "00", AuthCode: "123456", ICC: []byte{2}, Completion: []byte{3}, Created: at, Changed: at.Add(time.Second),
	}
	rewritten(t, l, a, []string{"Key"}, ledger.Tx.PutAuthorisation, func(tx ledger.Tx) (ledger.Authorisation, error) { return tx.Authorisation(a.Key) })
}

// rewritten changes each field of v but those that are its key.
func rewritten[T any](t *testing.T, l ledger.Ledger, v T, key []string, put func(ledger.Tx, T) error, get func(ledger.Tx) (T, error)) {
	t.Helper()
	update(t, l, func(tx ledger.Tx) error { return put(tx, v) })
	is := func(what string, tx ledger.Tx) error {
		got, err := get(tx)
		if d := diff(v, got); d != "" {
			t.Errorf("%T.%s (-want +got):\n%s", v, what, d)
		}
		return err
	}
	for i := range reflect.TypeFor[T]().NumField() {
		name := reflect.TypeFor[T]().Field(i).Name
		if name == key[0] {
			continue
		}
		update(t, l, func(tx ledger.Tx) error {
			var err error
			if v, err = get(tx); err != nil {
				return err
			}
			change(t, reflect.ValueOf(&v).Elem().Field(i))
			if err := put(tx, v); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return is(name+" in the same transaction", tx)
		})
		view(t, l, func(tx ledger.Tx) error { return is(name, tx) })
	}
}

// change gives a field another value.
func change(t *testing.T, f reflect.Value) {
	t.Helper()
	switch x := f.Addr().Interface().(type) {
	case *money.Amount:
		x.Minor++
	case *time.Time:
		*x = x.Add(time.Hour)
	case *ledger.Key:
		x.STAN = "000002"
	case *ledger.Window:
		x.Bits ^= 5
	case *[]byte:
		*x = append([]byte{7}, *x...)
	default:
		switch f.Kind() {
		case reflect.String:
			f.SetString(f.String() + "x")
		case reflect.Int64:
			f.SetInt(f.Int() + 1)
		case reflect.Uint8, reflect.Uint64:
			f.SetUint(f.Uint() + 1)
		default:
			t.Fatalf("a field of type %v", f.Type())
		}
	}
}

// balancesWithin: a transaction sees the balances that it made, all at once too.
func balancesWithin(t *testing.T, s Store) {
	l := s.Open(t)
	update(t, l, func(tx ledger.Tx) error {
		if _, err := tx.Post(move("1", ledger.KindOpening, ledger.Key{}, "a", "b", eur(t, 5))); err != nil {
			return err
		}
		got := map[string]int64{}
		if err := tx.EachBalance(func(account, currency string, minor int64) error { got[account+" "+currency] = minor; return nil }); err != nil {
			return err
		}
		if d := diff(map[string]int64{"a EUR": -5, "b EUR": 5}, got); d != "" {
			t.Errorf("in the transaction (-want +got):\n%s", d)
		}
		_, err := tx.Post(move("2", ledger.KindOpening, ledger.Key{}, "b", "a", eur(t, 2)))
		return err
	})
	balance(t, s.Open(t), "a", "EUR", -3)
	balance(t, s.Open(t), "b", "EUR", 3)
	Clean(t, l)
}
