// Package ledgertest is the contract of a ledger as a test: an implementation
// calls Run with a way to make an empty ledger, and one to open it again.
package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// Store is where a ledger under test lives.
type Store interface {
	// Open opens the ledger, as a new process would, and closes it at the end
	// of the test. A second call opens the same one again while the first is
	// open.
	Open(t *testing.T) ledger.Ledger
}

// Run tests the ledgers of the stores that newStore makes; each is empty.
func Run(t *testing.T, newStore func(t *testing.T) Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s Store)
	}{
		{"orders", orders},
		{"terminals", terminals},
		{"activations", activations},
		{"sequences", sequences},
		{"authorisations", authorisations},
		{"cards", cards},
		{"postings", postings},
		{"refused entries", refusedEntries},
		{"balance out of range", overflow},
		{"rollback", rollback},
		{"panic", panics},
		{"view writes nothing", viewWrites},
		{"void transaction", voidTx},
		{"cancelled wait", cancelledWait},
		{"concurrent updates", concurrent},
		{"two at once", twoAtOnce},
		{"one update at a time", oneAtATime},
		{"audit", auditGood},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newStore(t)) })
	}
}

var at = time.Date(2026, 3, 4, 5, 6, 7, 89000, time.UTC)

// diff compares records; currencies are values.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b money.Currency) bool { return a == b }))
}

func eur(t testing.TB, minor int64) money.Amount { return in(t, "EUR", minor) }

func in(t testing.TB, code string, minor int64) money.Amount {
	t.Helper()
	c, err := money.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

func update(t *testing.T, l ledger.Ledger, fn func(tx ledger.Tx) error) {
	t.Helper()
	if err := l.Update(t.Context(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t *testing.T, l ledger.Ledger, fn func(tx ledger.Tx) error) {
	t.Helper()
	if err := l.View(t.Context(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// Clean fails the test when an audit of l finds anything, and returns its
// report.
func Clean(t testing.TB, l ledger.Ledger) ledger.Report {
	t.Helper()
	r, err := ledger.Audit(context.Background(), l)
	if err != nil {
		t.Fatalf("Audit: %v", err)
	}
	for _, p := range r.Problems {
		t.Errorf("Audit: %s", p)
	}
	return r
}

// kept writes v, and reads it back in the same transaction, in the next and
// after the ledger was opened again.
func kept[T any](t *testing.T, s Store, v T, put func(ledger.Tx, T) error, get func(ledger.Tx) (T, error)) {
	t.Helper()
	l := s.Open(t)
	check := func(where string) func(tx ledger.Tx) error {
		return func(tx ledger.Tx) error {
			got, err := get(tx)
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			if d := diff(v, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", where, d)
			}
			return nil
		}
	}
	view(t, l, func(tx ledger.Tx) error {
		if _, err := get(tx); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("before it is written: got %v, want ErrNotFound", err)
		}
		return nil
	})
	update(t, l, func(tx ledger.Tx) error {
		if err := put(tx, v); err != nil {
			return err
		}
		return check("in the same transaction")(tx)
	})
	view(t, l, check("in the next transaction"))
	view(t, s.Open(t), check("in another process"))
}

func orders(t *testing.T, s Store) {
	o := ledger.Order{
		ID: "order 1/ä", Type: "sale", Amount: eur(t, 1234), Merchant: "M1", State: ledger.OrderPaid,
		Authorisation: ledger.Key{Terminal: "T1", STAN: "000001", RRN: "603401000001"}, Created: at,
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
}

func terminal(id string, number uint64, key ...byte) ledger.Terminal {
	return ledger.Terminal{
		ID: id, Number: number, DeviceKey: key, MerchantID: "M1", Merchant: "Shop", PINFormat: 4,
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
	c := ledger.Card{Ref: "r", ATC: ledger.Window{High: 70, Bits: math.MaxUint64}, PINTries: 2, Blocked: true}
	kept(t, s, c, func(tx ledger.Tx, c ledger.Card) error { return tx.PutCard(c) },
		func(tx ledger.Tx) (ledger.Card, error) { return tx.Card("r") })
}

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

func rollback(t *testing.T, s Store) {
	l := s.Open(t)
	stop := errors.New("stop")
	err := l.Update(t.Context(), func(tx ledger.Tx) error {
		if _, err := tx.Post(move("1", ledger.KindOpening, ledger.Key{}, "a", "b", eur(t, 5))); err != nil {
			return err
		}
		if err := tx.PutCard(ledger.Card{Ref: "c"}); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the function", err)
	}
	balance(t, l, "b", "EUR", 0)
	err = l.View(t.Context(), func(tx ledger.Tx) error { _, err := tx.Card("c"); return err })
	if !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("card of a transaction that failed: got %v, want ErrNotFound", err)
	}
}

func panics(t *testing.T, s Store) {
	l := s.Open(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the function did not come through")
			}
		}()
		_ = l.Update(t.Context(), func(tx ledger.Tx) error {
			_ = tx.PutCard(ledger.Card{Ref: "c"})
			panic("misuse")
		})
	}()
	err := l.View(t.Context(), func(tx ledger.Tx) error { _, err := tx.Card("c"); return err })
	if !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("card of a transaction that panicked: got %v, want ErrNotFound", err)
	}
	update(t, l, func(tx ledger.Tx) error { return tx.PutCard(ledger.Card{Ref: "d"}) })
}

func viewWrites(t *testing.T, s Store) {
	l := s.Open(t)
	err := l.View(t.Context(), func(tx ledger.Tx) error { return tx.PutCard(ledger.Card{Ref: "c"}) })
	if !errors.Is(err, ledger.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func voidTx(t *testing.T, s Store) {
	l := s.Open(t)
	var kept ledger.Tx
	update(t, l, func(tx ledger.Tx) error { kept = tx; return nil })
	if err := kept.PutCard(ledger.Card{Ref: "c"}); err == nil {
		t.Error("a transaction writes after its end")
	}
	if _, err := kept.Card("c"); err == nil || errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a transaction reads after its end: %v", err)
	}
}

func cancelledWait(t *testing.T, s Store) {
	l := s.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	inside, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- l.Update(context.Background(), func(tx ledger.Tx) error { close(inside); <-release; return nil })
	}()
	<-inside
	cancel()
	if err := l.Update(ctx, func(ledger.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// concurrent has many goroutines read a balance and post one more than it: a
// lost update would show in the sum.
func concurrent(t *testing.T, s Store) {
	l := s.Open(t)
	const workers, each = 6, 5
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				err := l.Update(context.Background(), func(tx ledger.Tx) error {
					b, err := tx.Balance("b", "EUR")
					if err != nil {
						return err
					}
					_, err = tx.Post(move(fmt.Sprintf("%d/%d", w, i), ledger.KindOpening, ledger.Key{}, "a", "b", eur(t, b+1)))
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	balance(t, l, "b", "EUR", 1<<(workers*each)-1)
	Clean(t, l)
}

// twoAtOnce has two processes count in one store, and read before they write.
func twoAtOnce(t *testing.T, s Store) {
	const each = 25
	var wg sync.WaitGroup
	for range 2 {
		l := s.Open(t)
		wg.Go(func() {
			for range each {
				err := l.Update(context.Background(), func(tx ledger.Tx) error {
					b, err := tx.Balance("b", "EUR")
					if err != nil {
						return err
					}
					n, err := tx.Next("n")
					if err != nil {
						return err
					}
					if b != int64(n)-1 {
						t.Errorf("balance %d at count %d", b, n)
					}
					_, err = tx.Post(move(fmt.Sprint(n), ledger.KindOpening, ledger.Key{}, "a", "b", eur(t, 1)))
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	update(t, s.Open(t), func(tx ledger.Tx) error {
		n, err := tx.Next("n")
		if n != 2*each+1 {
			t.Errorf("got %d, want %d", n, 2*each+1)
		}
		return err
	})
}

// oneAtATime has an update of another process wait for the end of this one's,
// before it reads anything.
func oneAtATime(t *testing.T, s Store) {
	l, other := s.Open(t), s.Open(t)
	entered, done := make(chan struct{}), make(chan error, 1)
	err := l.Update(t.Context(), func(tx ledger.Tx) error {
		if _, err := tx.Balance("b", "EUR"); err != nil {
			return err
		}
		go func() {
			done <- other.Update(context.Background(), func(tx ledger.Tx) error {
				close(entered)
				if n, err := tx.Next("n"); n != 2 {
					return fmt.Errorf("got %d, want 2: %w", n, err)
				}
				return nil
			})
		}()
		select {
		case <-entered:
			t.Error("a second update runs while the first does")
		case <-time.After(50 * time.Millisecond):
		}
		_, err := tx.Next("n")
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
