package sqlledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
)

// A back-up that is made while others write is a whole ledger of one moment.
func TestBackUp(t *testing.T) {
	s := newStore(t).(store)
	l := s.Open(t).(*Ledger)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := l.Update(context.Background(), deposit(t, fmt.Sprintf("%d/%d", w, i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	last := int64(0)
	for n := range 4 {
		before := deposited(t, l)
		to := store(filepath.Join(t.TempDir(), fmt.Sprint(n)))
		if err := l.BackUp(t.Context(), string(to)); err != nil {
			t.Fatal(err)
		}
		after := deposited(t, l)
		copied := to.Open(t)
		got := deposited(t, copied)
		if got < before || got > after || got < last {
			t.Errorf("%d deposits in the copy, %d before it was made, %d after", got, before, after)
		}
		ledgertest.Clean(t, copied)
		if err := copied.Update(t.Context(), deposit(t, "copy")); err != nil {
			t.Errorf("the copy goes on: %v", err)
		}
		last = got
	}
	close(stop)
	wg.Wait()
	if err := l.BackUp(t.Context(), string(s)); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: got %v, want os.ErrExist", err)
	}
	ledgertest.Clean(t, l)
}
