package ledgertest

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// move is an entry from one account to another.
func move(key string, kind ledger.Kind, auth ledger.Key, from, to string, a money.Amount) ledger.Entry {
	neg := a
	neg.Minor = -neg.Minor
	return ledger.Entry{
		Key: key, Kind: kind, Authorisation: auth, Cause: "test", Time: at,
		Postings: []ledger.Posting{{Account: from, Amount: neg}, {Account: to, Amount: a}},
	}
}

func balance(t *testing.T, l ledger.Ledger, account, currency string, want int64) {
	t.Helper()
	view(t, l, func(tx ledger.Tx) error {
		got, err := tx.Balance(account, currency)
		if err == nil && got != want {
			t.Errorf("balance of %s: got %d %s, want %d", account, got, currency, want)
		}
		return err
	})
}

func postings(t *testing.T, s Store) {
	l := s.Open(t)
	e := move("open/a", ledger.KindOpening, ledger.Key{}, "issuer", "card/a", eur(t, 500))
	post := func(e ledger.Entry) (posted bool, err error) {
		err = l.Update(t.Context(), func(tx ledger.Tx) error { posted, err = tx.Post(e); return err })
		return posted, err
	}
	if ok, err := post(e); !ok || err != nil {
		t.Fatalf("first time: posted %t, %v", ok, err)
	}
	e.Time = e.Time.Add(time.Hour)
	if ok, err := post(e); ok || err != nil {
		t.Errorf("second time: posted %t, %v; want not posted and no error", ok, err)
	}
	other := e
	other.Postings = move("", "", ledger.Key{}, "issuer", "card/a", eur(t, 501)).Postings
	if ok, err := post(other); ok || !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("same key, other amount: posted %t, %v; want ErrConflict", ok, err)
	}
	if ok, err := post(move("open/b", ledger.KindOpening, ledger.Key{}, "issuer", "card/a", in(t, "JPY", 7))); !ok || err != nil {
		t.Errorf("another currency: posted %t, %v", ok, err)
	}
	l = s.Open(t)
	balance(t, l, "card/a", "EUR", 500)
	balance(t, l, "issuer", "EUR", -500)
	balance(t, l, "card/a", "JPY", 7)
	balance(t, l, "card/none", "EUR", 0)
	if r := Clean(t, l); r.Entries != 2 {
		t.Errorf("%d entries, want 2", r.Entries)
	}
}

func refusedEntries(t *testing.T, s Store) {
	l := s.Open(t)
	good := func() ledger.Entry { return move("k", ledger.KindOpening, ledger.Key{}, "a", "b", eur(t, 5)) }
	for _, c := range []struct {
		name  string
		alter func(e *ledger.Entry)
	}{
		{"sum is not zero", func(e *ledger.Entry) { e.Postings[0].Amount.Minor++ }},
		{"zero over two currencies", func(e *ledger.Entry) { e.Postings[0].Amount = in(t, "USD", -5) }},
		{"one posting", func(e *ledger.Entry) { e.Postings = e.Postings[:1] }},
		{"no posting", func(e *ledger.Entry) { e.Postings = nil }},
		{"posting of zero", func(e *ledger.Entry) {
			e.Postings = append(e.Postings, ledger.Posting{Account: "c", Amount: eur(t, 0)})
		}},
		{"no account", func(e *ledger.Entry) { e.Postings[0].Account = "" }},
		{"no currency", func(e *ledger.Entry) { e.Postings[0].Amount.Currency = money.Currency{} }},
		{"no key", func(e *ledger.Entry) { e.Key = "" }},
		{"space in the key", func(e *ledger.Entry) { e.Key = "a b" }},
		{"unknown kind", func(e *ledger.Entry) { e.Kind = "gift" }},
		{"booking without a request", func(e *ledger.Entry) { e.Kind = ledger.KindBook }},
		{"opening with a request", func(e *ledger.Entry) { e.Authorisation = ledger.Key{Terminal: "T", STAN: "1", RRN: "2"} }},
		{"sum overflows", func(e *ledger.Entry) {
			e.Postings = []ledger.Posting{{Account: "a", Amount: eur(t, math.MaxInt64)}, {Account: "a", Amount: eur(t, math.MaxInt64)}, {Account: "b", Amount: eur(t, 2)}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := good()
			c.alter(&e)
			err := l.Update(t.Context(), func(tx ledger.Tx) error { _, err := tx.Post(e); return err })
			if !errors.Is(err, ledger.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
			balance(t, l, "a", "EUR", 0)
		})
	}
}

func overflow(t *testing.T, s Store) {
	l := s.Open(t)
	update(t, l, func(tx ledger.Tx) error {
		_, err := tx.Post(move("1", ledger.KindOpening, ledger.Key{}, "a", "b", eur(t, math.MaxInt64)))
		return err
	})
	// Even a function that ignores the error commits nothing of it.
	err := l.Update(t.Context(), func(tx ledger.Tx) error {
		_, _ = tx.Post(move("2", ledger.KindOpening, ledger.Key{}, "a", "b", eur(t, 1)))
		return nil
	})
	if !errors.Is(err, ledger.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	balance(t, l, "b", "EUR", math.MaxInt64)
	Clean(t, l)
}
