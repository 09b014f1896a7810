package ledgertest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// Accounts of the samples.
const (
	accountIssuer   = "issuer"
	accountCard     = "card/1"
	accountPending  = "pending/M1"
	accountMerchant = "merchant/M1"
)

func key(n byte) ledger.Key {
	return ledger.Key{Terminal: "T1", STAN: "00000" + string('0'+n), RRN: "60340100000" + string('0'+n)}
}

// Sample fills l with a life of each kind: completed, pending, declined,
// reversed, and reversed before it came.
func Sample(t testing.TB, l ledger.Ledger) {
	t.Helper()
	err := l.Update(t.Context(), func(tx ledger.Tx) error {
		if _, err := tx.Post(move("open/1", ledger.KindOpening, ledger.Key{}, accountIssuer, accountCard, eur(t, 10000))); err != nil {
			return err
		}
		for _, c := range []struct {
			n     byte
			order ledger.OrderState
			state ledger.AuthState
			kinds []ledger.Kind
		}{
			{1, ledger.OrderPaid, ledger.AuthCompleted, []ledger.Kind{ledger.KindBook, ledger.KindComplete}},
			{2, ledger.OrderPending, ledger.AuthApproved, []ledger.Kind{ledger.KindBook}},
			{3, ledger.OrderOpen, ledger.AuthDeclined, nil},
			{4, ledger.OrderOpen, ledger.AuthReversed, []ledger.Kind{ledger.KindBook, ledger.KindReverse}},
			{5, ledger.OrderOpen, ledger.AuthReversed, nil},
		} {
			if err := sample(tx, c.n, c.order, c.state, c.kinds, eur(t, int64(100+int(c.n)))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sample(tx ledger.Tx, n byte, order ledger.OrderState, state ledger.AuthState, kinds []ledger.Kind, a money.Amount) error {
	k := key(n)
	id := "order-" + string('0'+n)
	o := ledger.Order{ID: id, Type: "sale", Amount: a, Merchant: "M1", State: order, Created: at}
	if order != ledger.OrderOpen {
		o.Authorisation = k
	}
	if err := tx.PutOrder(o); err != nil {
		return err
	}
	if err := tx.PutAuthorisation(ledger.Authorisation{Key: k, Order: id, Amount: a, State: state, Created: at, Changed: at}); err != nil {
		return err
	}
	for _, kind := range kinds {
		from, to := accountCard, accountPending
		switch kind {
		case ledger.KindComplete:
			from, to = accountPending, accountMerchant
		case ledger.KindReverse:
			from, to = accountPending, accountCard
		}
		if _, err := tx.Post(move(string(kind)+"/"+k.String(), kind, k, from, to, a)); err != nil {
			return err
		}
	}
	return nil
}

func auditGood(t *testing.T, s Store) {
	l := s.Open(t)
	if r := Clean(t, l); r.Entries != 0 || r.Hash != [32]byte{} {
		t.Errorf("empty ledger: %+v", r)
	}
	Sample(t, l)
	r := Clean(t, l)
	if r.Entries != 6 || r.Orders != 5 || r.Authorisations != 5 || r.Pending != 1 || r.Hash == [32]byte{} {
		t.Errorf("sample: %+v", r)
	}
	balance(t, l, accountCard, "EUR", 10000-101-102)
	balance(t, l, accountPending, "EUR", 102)
	balance(t, l, accountMerchant, "EUR", 101)

	marked := func(m ledger.Mark) int {
		t.Helper()
		again, err := ledger.Audit(t.Context(), l, m)
		if err != nil {
			t.Fatal(err)
		}
		return len(again.Problems)
	}
	if n := marked(r.Mark()); n != 0 {
		t.Errorf("its own mark: %d problems", n)
	}
	if n := marked(ledger.Mark{Number: 7, Hash: r.Hash}); n != 1 {
		t.Errorf("a mark beyond the end: %d problems, want 1", n)
	}
	if n := marked(ledger.Mark{Number: 5, Hash: r.Hash}); n != 1 {
		t.Errorf("a mark of another entry: %d problems, want 1", n)
	}

	// States that the entries contradict, each alone in a transaction that is
	// audited by the next.
	a := ledger.Authorisation{Key: key(2), Order: "order-2", Amount: eur(t, 102), State: ledger.AuthCompleted, Created: at, Changed: at}
	update(t, l, func(tx ledger.Tx) error { return tx.PutAuthorisation(a) })
	dirty(t, l, "completed without its entry")
	a.State = ledger.AuthReversed
	update(t, l, func(tx ledger.Tx) error { return tx.PutAuthorisation(a) })
	dirty(t, l, "reversed without being booked back")
	a.State, a.Amount = ledger.AuthApproved, eur(t, 103)
	update(t, l, func(tx ledger.Tx) error { return tx.PutAuthorisation(a) })
	dirty(t, l, "another amount than booked")
	a.Amount, a.Order = eur(t, 102), "order-3"
	update(t, l, func(tx ledger.Tx) error { return tx.PutAuthorisation(a) })
	dirty(t, l, "booked for an open order")
	a.Order = "order-1"
	update(t, l, func(tx ledger.Tx) error { return tx.PutAuthorisation(a) })
	dirty(t, l, "order booked twice")
	a.Order = "order-2"
	update(t, l, func(tx ledger.Tx) error { return tx.PutAuthorisation(a) })
	Clean(t, l)
	update(t, l, func(tx ledger.Tx) error {
		_, err := tx.Post(move("x", ledger.KindBook, key(9), accountCard, accountPending, eur(t, 1)))
		return err
	})
	dirty(t, l, "entry without an authorisation")
}

// auditRefunds: what an order says is given back is what its refunds give.
func auditRefunds(t *testing.T, s Store) {
	l := s.Open(t)
	Sample(t, l)
	put := func(id string, alter func(*ledger.Order)) {
		update(t, l, func(tx ledger.Tx) error {
			o, err := tx.Order(id)
			if err != nil {
				return err
			}
			alter(&o)
			return tx.PutOrder(o)
		})
	}
	put("order-1", func(o *ledger.Order) { o.Refunded = 50 })
	dirty(t, l, "given back without a refund")
	put("order-2", func(o *ledger.Order) { o.Original = "order-1" })
	dirty(t, l, "another sum given back than the refunds'")
	put("order-1", func(o *ledger.Order) { o.Refunded = 0 })
	dirty(t, l, "a refund that its original does not know")
	put("order-2", func(o *ledger.Order) { o.Original = "" })
	Clean(t, l)
}

// auditCompletions: a completion takes all that was booked, and an order of its own
// is for what the merchant got.
func auditCompletions(t *testing.T, s Store) {
	l := s.Open(t)
	Sample(t, l)
	complete := func(n byte, amount int64, postings []ledger.Posting) {
		update(t, l, func(tx ledger.Tx) error {
			a := ledger.Authorisation{
				Key: key(n), Order: fmt.Sprint("held-", n), Amount: eur(t, 102), Account: accountCard, State: ledger.AuthCompleted, Created: at, Changed: at,
			}
			held := ledger.Order{ID: a.Order, Type: "preauth", Amount: a.Amount, Merchant: "M1", State: ledger.OrderPaid, Authorisation: a.Key, Created: at}
			taken := held
			taken.ID, taken.Type, taken.Original, taken.Amount = fmt.Sprint("taken-", n), "completion", held.ID, eur(t, amount)
			end := move(fmt.Sprint("complete/", n), ledger.KindComplete, a.Key, accountPending, accountMerchant, a.Amount)
			end.Postings = postings
			for _, e := range []ledger.Entry{move(fmt.Sprint("book/", n), ledger.KindBook, a.Key, accountCard, accountPending, a.Amount), end} {
				if _, err := tx.Post(e); err != nil {
					return err
				}
			}
			return errors.Join(tx.PutAuthorisation(a), tx.PutOrder(held), tx.PutOrder(taken))
		})
	}
	to := func(account string, minor int64) ledger.Posting {
		return ledger.Posting{Account: account, Amount: eur(t, minor)}
	}
	wrong := 0
	for i, c := range []struct {
		wrong    string
		amount   int64
		postings []ledger.Posting
	}{
		{"", 102, []ledger.Posting{to(accountPending, -102), to(accountMerchant, 102)}},
		{"", 100, []ledger.Posting{to(accountPending, -102), to(accountMerchant, 100), to(accountCard, 2)}},
		{"a part stays pending", 100, []ledger.Posting{to(accountPending, -100), to(accountMerchant, 100)}},
		{"more is taken than was booked", 103, []ledger.Posting{to(accountPending, -103), to(accountMerchant, 103)}},
		{"the merchant gets more than the order's", 100, []ledger.Posting{to(accountPending, -102), to(accountMerchant, 102)}},
		{"somebody else gets the rest", 100, []ledger.Posting{to(accountPending, -102), to(accountMerchant, 100), to("card/other", 2)}},
	} {
		complete(byte(20+i), c.amount, c.postings)
		if c.wrong != "" {
			wrong++
		}
		r, err := ledger.Audit(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Problems) != wrong {
			t.Errorf("completion %d (%s): %d problems, want %d: %q", i, c.wrong, len(r.Problems), wrong, r.Problems)
		}
	}
}

func dirty(t *testing.T, l ledger.Ledger, what string) {
	t.Helper()
	r, err := ledger.Audit(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) == 0 {
		t.Errorf("%s: the audit finds nothing", what)
	}
}
