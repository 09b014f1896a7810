package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

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
