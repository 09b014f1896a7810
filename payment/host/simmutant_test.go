package host

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host/ledger"
)

// badLedger is a ledger with a defect in its transactions, or in their ends.
type badLedger struct {
	ledger.Ledger
	tx     func(ledger.Tx) ledger.Tx
	commit func() error
}

func (l badLedger) Update(ctx context.Context, fn func(ledger.Tx) error) error {
	var lost error
	err := l.Ledger.Update(ctx, func(tx ledger.Tx) error {
		if l.tx != nil {
			tx = l.tx(tx)
		}
		if err := fn(tx); err != nil {
			return err
		}
		if l.commit != nil {
			lost = l.commit()
		}
		return lost
	})
	if lost != nil {
		// It says that it has committed, and has not.
		return nil
	}
	return err
}

type forgetsReversals struct{ ledger.Tx }

func (t forgetsReversals) PutAuthorisation(a ledger.Authorisation) error {
	if a.State == ledger.AuthReversed && a.ResponseCode == "" {
		return nil
	}
	return t.Tx.PutAuthorisation(a)
}

type forgetsRequests struct{ ledger.Tx }

func (t forgetsRequests) Authorisation(k ledger.Key) (ledger.Authorisation, error) {
	a, err := t.Tx.Authorisation(k)
	if err == nil && a.State == ledger.AuthReversed {
		return ledger.Authorisation{}, ledger.ErrNotFound
	}
	return a, err
}

type booksHalf struct{ ledger.Tx }

func (t booksHalf) Post(e ledger.Entry) (bool, error) {
	if e.Kind == ledger.KindReverse {
		return true, nil
	}
	return t.Tx.Post(e)
}

type opensNothing struct{ ledger.Tx }

func (t opensNothing) PutOrder(o ledger.Order) error {
	if o.State == ledger.OrderOpen && o.Type == "sale" {
		if old, err := t.Order(o.ID); err == nil && old.State == ledger.OrderPending {
			return nil
		}
	}
	return t.Tx.PutOrder(o)
}

type paysTwice struct{ ledger.Tx }

func (t paysTwice) Order(id string) (ledger.Order, error) {
	o, err := t.Tx.Order(id)
	if o.State == ledger.OrderPaid && o.Type == "sale" {
		o.State, o.Authorisation = ledger.OrderOpen, ledger.Key{}
	}
	return o, err
}

type owesNothing struct {
	ledger.Tx
	what string
}

func (t owesNothing) PutOutgoing(o ledger.Outgoing) error {
	if strings.HasPrefix(o.ID, t.what) {
		if _, err := t.Outgoing(o.ID); err != nil {
			return nil
		}
	}
	return t.Tx.PutOutgoing(o)
}

type raisesTwice struct{ ledger.Tx }

func (t raisesTwice) Order(id string) (ledger.Order, error) {
	o, err := t.Tx.Order(id)
	if o.State == ledger.OrderPaid && o.Type == "incremental" {
		o.State, o.Authorisation = ledger.OrderOpen, ledger.Key{}
	}
	return o, err
}

type forgetsIncrements struct{ ledger.Tx }

func (t forgetsIncrements) PutAuthorisation(a ledger.Authorisation) error {
	if old, err := t.Authorisation(a.Key); err == nil && a.State == ledger.AuthHeld && old.State == ledger.AuthHeld {
		return nil
	}
	return t.Tx.PutAuthorisation(a)
}

type givesNothingBack struct{ ledger.Tx }

func (t givesNothingBack) PutSpending(s ledger.Spending) error {
	if old, err := t.Spending(s.Card, s.Day); err == nil && s.Payments < old.Payments {
		return nil
	}
	return t.Tx.PutSpending(s)
}

// badDisk is a unit's storage with a defect.
type badDisk struct {
	payment.Storage
	put  func(name string, value []byte) bool
	next bool
}

func (d badDisk) Put(ctx context.Context, name string, value []byte) error {
	if d.put != nil && !d.put(name, value) {
		return nil
	}
	return d.Storage.Put(ctx, name, value)
}

func (d badDisk) Next(ctx context.Context, name string) (uint64, error) {
	n, err := d.Storage.Next(ctx, name)
	if d.next {
		n = (n + 1) / 2
	}
	return n, err
}

// The simulation finds what it is there to find: each defect, in a ledger or in
// a unit's storage, is seen in one of the first worlds.
func TestWorldFindsDefects(t *testing.T) {
	inTx := func(f func(ledger.Tx) ledger.Tx) func(*simWorld, ledger.Ledger) ledger.Ledger {
		return func(_ *simWorld, l ledger.Ledger) ledger.Ledger { return badLedger{Ledger: l, tx: f} }
	}
	onDisk := func(d badDisk) func(payment.Storage) payment.Storage {
		return func(s payment.Storage) payment.Storage { d.Storage = s; return d }
	}
	state := func(s string) func(string, []byte) bool {
		return func(name string, value []byte) bool {
			return !strings.HasPrefix(name, "journal/") || !bytes.Contains(value, []byte(`"state":"`+s+`"`))
		}
	}
	parts := newSimParts(t)
	for _, m := range []mutant{
		{name: "a reversal that comes before its request is forgotten", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return forgetsReversals{tx} })},
		{name: "a request is carried out after its reversal", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return forgetsRequests{tx} })},
		{name: "a reversal books nothing back", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return booksHalf{tx} })},
		{name: "a reversal leaves the order pending", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return opensNothing{tx} })},
		{name: "an order can be paid twice", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return paysTwice{tx} })},
		{name: "one commit in forty is acknowledged and lost", ledger: func(w *simWorld, l ledger.Ledger) ledger.Ledger {
			return badLedger{Ledger: l, commit: func() error {
				if w.chaos && w.r.IntN(40) == 0 {
					return errSimFull
				}
				return nil
			}}
		}},
		{name: "no reversal is written before the request", storage: onDisk(badDisk{put: state("reversal")})},
		{name: "no completion is written", storage: onDisk(badDisk{put: state("completion")})},
		{name: "no void is written", storage: onDisk(badDisk{put: state("void")})},
		{name: "results are not kept", storage: onDisk(badDisk{put: func(name string, _ []byte) bool { return !strings.HasPrefix(name, "result/") }})},
		{name: "above, a reversal that comes before its request is forgotten", above: func(l ledger.Ledger) ledger.Ledger {
			return badLedger{Ledger: l, tx: func(tx ledger.Tx) ledger.Tx { return forgetsReversals{tx} }}
		}},
		{name: "a reversal owed above is lost", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return owesNothing{tx, "reversal/"} })},
		{name: "a completion owed above is lost", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return owesNothing{tx, "completion/"} })},
		{name: "an increment is held twice", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return raisesTwice{tx} })},
		{name: "an increment is booked, and not held", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return forgetsIncrements{tx} })},
		{name: "no increment is written", storage: onDisk(badDisk{put: state("increment")})},
		{name: "above, an increment is held twice", above: func(l ledger.Ledger) ledger.Ledger {
			return badLedger{Ledger: l, tx: func(tx ledger.Tx) ledger.Tx { return raisesTwice{tx} }}
		}},
		{name: "an advice of what was approved in the acquirer's place is lost", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return owesNothing{tx, "standin/"} })},
		{name: "what came to nothing counts for limits", ledger: inTx(func(tx ledger.Tx) ledger.Tx { return givesNothingBack{tx} })},
		{name: "every number comes twice", storage: onDisk(badDisk{next: true})},
	} {
		found := uint64(0)
		var w *simWorld
		for seed := uint64(1); seed <= 400 && found == 0; seed++ {
			if w = simulate(t, parts, seed, m); len(w.problems) > 0 {
				found = seed
			}
		}
		if found == 0 {
			t.Errorf("not found: %s", m.name)
			continue
		}
		t.Logf("%s: found with seed %d: %s", m.name, found, w.problems[0])
	}
}
