package host

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/host/ledger/memledger"
	"github.com/payunit/payunit/payment/money"
)

// A recorder is a ledger that remembers what is done with it, so that the same can
// be done with another, without messages, cryptography and decisions.
type recorder struct {
	*memledger.Ledger
	mu    sync.Mutex
	steps []step
}

// step is a transaction: what it reads and writes, in order.
type step struct {
	view  bool
	calls []func(ledger.Tx) error
}

// do carries a step out on a ledger.
func (s *step) do(ctx context.Context, l ledger.Ledger) error {
	if s.view {
		return l.View(ctx, s.in)
	}
	return l.Update(ctx, s.in)
}

// in carries a step out in a transaction. What was not found then may not be
// found again.
func (s *step) in(tx ledger.Tx) error {
	for _, c := range s.calls {
		if err := c(tx); err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (r *recorder) Update(ctx context.Context, fn func(ledger.Tx) error) error {
	s := step{}
	err := r.Ledger.Update(ctx, func(tx ledger.Tx) error { return fn(&recording{tx, &s}) })
	r.keep(s, err)
	return err
}

func (r *recorder) View(ctx context.Context, fn func(ledger.Tx) error) error {
	s := step{view: true}
	err := r.Ledger.View(ctx, func(tx ledger.Tx) error { return fn(&recording{tx, &s}) })
	r.keep(s, err)
	return err
}

func (r *recorder) keep(s step, err error) {
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, s)
}

// taken are the steps since the last time.
func (r *recorder) taken() []step {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.steps
	r.steps = nil
	return s
}

// recorded is a rig whose ledger is a recorder.
func recorded(t testing.TB) (*rig, *recorder) {
	t.Helper()
	r, rec := newRig(t), &recorder{Ledger: memledger.New()}
	r.s.c.Ledger, r.reg.c.Ledger, r.quiet = rec, rec, true
	return r, rec
}

// recording is a transaction that is remembered, as far as sales use it.
type recording struct {
	ledger.Tx
	s *step
}

func (r *recording) add(c func(ledger.Tx) error) { r.s.calls = append(r.s.calls, c) }

func (r *recording) Order(id string) (ledger.Order, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Order(id); return err })
	return r.Tx.Order(id)
}

func (r *recording) PutOrder(o ledger.Order) error {
	r.add(func(tx ledger.Tx) error { return tx.PutOrder(o) })
	return r.Tx.PutOrder(o)
}

func (r *recording) Terminal(id string) (ledger.Terminal, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Terminal(id); return err })
	return r.Tx.Terminal(id)
}

func (r *recording) TerminalByKey(key []byte) (ledger.Terminal, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.TerminalByKey(key); return err })
	return r.Tx.TerminalByKey(key)
}

func (r *recording) PutTerminal(v ledger.Terminal) error {
	r.add(func(tx ledger.Tx) error { return tx.PutTerminal(v) })
	return r.Tx.PutTerminal(v)
}

func (r *recording) Activation(id string) (ledger.Activation, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Activation(id); return err })
	return r.Tx.Activation(id)
}

func (r *recording) PutActivation(a ledger.Activation) error {
	r.add(func(tx ledger.Tx) error { return tx.PutActivation(a) })
	return r.Tx.PutActivation(a)
}

func (r *recording) Next(sequence string) (uint64, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Next(sequence); return err })
	return r.Tx.Next(sequence)
}

func (r *recording) Authorisation(k ledger.Key) (ledger.Authorisation, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Authorisation(k); return err })
	return r.Tx.Authorisation(k)
}

func (r *recording) PutAuthorisation(a ledger.Authorisation) error {
	r.add(func(tx ledger.Tx) error { return tx.PutAuthorisation(a) })
	return r.Tx.PutAuthorisation(a)
}

func (r *recording) Batch(terminal, currency string) (ledger.Batch, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Batch(terminal, currency); return err })
	return r.Tx.Batch(terminal, currency)
}

func (r *recording) PutBatch(b ledger.Batch) error {
	r.add(func(tx ledger.Tx) error { return tx.PutBatch(b) })
	return r.Tx.PutBatch(b)
}

func (r *recording) Card(ref string) (ledger.Card, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Card(ref); return err })
	return r.Tx.Card(ref)
}

func (r *recording) PutCard(c ledger.Card) error {
	r.add(func(tx ledger.Tx) error { return tx.PutCard(c) })
	return r.Tx.PutCard(c)
}

func (r *recording) Spending(card string, day int64) (ledger.Spending, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Spending(card, day); return err })
	return r.Tx.Spending(card, day)
}

func (r *recording) PutSpending(s ledger.Spending) error {
	r.add(func(tx ledger.Tx) error { return tx.PutSpending(s) })
	return r.Tx.PutSpending(s)
}

func (r *recording) SpentSince(card string, day int64) (ledger.Spending, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.SpentSince(card, day); return err })
	return r.Tx.SpentSince(card, day)
}

func (r *recording) Post(e ledger.Entry) (bool, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Post(e); return err })
	return r.Tx.Post(e)
}

func (r *recording) Balance(account, currency string) (int64, error) {
	r.add(func(tx ledger.Tx) error { _, err := tx.Balance(account, currency); return err })
	return r.Tx.Balance(account, currency)
}

// TestReplay: what was recorded makes the same ledger elsewhere, down to the hash
// of its last entry.
func TestReplay(t *testing.T) {
	from, rec := recorded(t)
	u := from.enrol(1, 4)
	from.limit(issuer.Velocity{Days: 1, Count: 9, Amount: 10_000})
	for _, id := range []string{"o1", "o2", "o3"} {
		from.order(id, 700)
		m := u.sale(id, 700, testPIN)
		resp := u.want("sale", m, codeApproved)
		if id == "o2" {
			u.want("reversal", u.reversal(m), codeApproved)
			continue
		}
		u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	}
	to := newRig(t)
	views := 0
	for _, s := range rec.taken() {
		if s.view {
			views++
		}
		if err := s.do(t.Context(), to.l); err != nil {
			t.Fatal(err)
		}
	}
	want, got := ledgertest.Clean(t, rec), ledgertest.Clean(t, to.l)
	if d := cmp.Diff(want, got); d != "" || want.Entries != 7 {
		t.Errorf("%d entries (-want +got): %s", want.Entries, d)
	}
	if views == 0 {
		t.Error("nothing was read")
	}
	for _, id := range []string{"o1", "o2", "o3"} {
		a, b := all(t, rec, id), all(t, to.l, id)
		if d := cmp.Diff(a, b, cmp.Comparer(func(a, b money.Currency) bool { return a == b })); d != "" {
			t.Errorf("%s (-want +got): %s", id, d)
		}
	}
}

// all is what a ledger has about an order.
func all(t *testing.T, l ledger.Ledger, id string) (out []any) {
	t.Helper()
	err := l.View(t.Context(), func(tx ledger.Tx) error {
		o, err := tx.Order(id)
		if err != nil {
			return err
		}
		out = append(out, o)
		return tx.EachAuthorisation(func(a ledger.Authorisation) error {
			if a.Order != id {
				return nil
			}
			terminal, err := tx.Terminal(a.Key.Terminal)
			card, err2 := tx.Card(a.Card)
			batch, err3 := tx.Batch(a.Key.Terminal, "EUR")
			spent, err4 := tx.SpentSince(a.Card, 0)
			out = append(out, a, terminal, card, batch, spent)
			return errors.Join(err, err2, err3, err4)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
