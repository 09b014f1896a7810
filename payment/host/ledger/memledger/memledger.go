// Package memledger keeps a ledger in memory: for demonstrations, tests and
// simulations that end with the process. It keeps the contract of package ledger
// but for its promise that a committed update is on disk.
//
// A simulation can make it fail at any write and at any commit: see Faults.
package memledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/payunit/payunit/payment/host/ledger"
)

// Faults lets a ledger fail. The functions are called inside the transaction.
type Faults struct {
	// Write is called before each write of an update; what it returns is
	// returned to the update, which then can't be committed.
	Write func(doing string) error
	// Commit is called when an update is to be committed. With an error the
	// update fails: without effect, or, when kept is true, with its effect,
	// as where a database's answer is lost.
	Commit func() (kept bool, err error)
}

// Ledger is a ledger in memory, made by New. It is safe for concurrent use.
type Ledger struct {
	// Faults are for simulations; to be set before first use.
	Faults Faults

	// turn holds a token while a transaction runs.
	turn   chan struct{}
	orders map[string]ledger.Order
	terms  map[string]ledger.Terminal
	// byKey is the terminal of each device key.
	byKey       map[string]string
	activations map[string]ledger.Activation
	auths       map[ledger.Key]ledger.Authorisation
	batches     map[account]ledger.Batch
	cards       map[string]ledger.Card
	entries     []ledger.Booked
	// booked is where an entry's key stands in entries.
	booked      map[string]int
	balances    map[account]int64
	sequences   map[string]uint64
	outgoing    map[string]ledger.Outgoing
	tickets     map[string]ledger.Ticket
	spendings   map[cardDay]ledger.Spending
	scripts     map[uint64]ledger.Script
	workingKeys map[workingKey]ledger.WorkingKey
}

type account struct{ name, currency string }

var _ ledger.Ledger = (*Ledger)(nil)

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{
		turn: make(chan struct{}, 1), orders: map[string]ledger.Order{}, terms: map[string]ledger.Terminal{}, byKey: map[string]string{},
		activations: map[string]ledger.Activation{}, auths: map[ledger.Key]ledger.Authorisation{}, cards: map[string]ledger.Card{},
		batches: map[account]ledger.Batch{},
		booked:  map[string]int{}, balances: map[account]int64{}, sequences: map[string]uint64{}, outgoing: map[string]ledger.Outgoing{}, tickets: map[string]ledger.Ticket{},
		spendings: map[cardDay]ledger.Spending{}, scripts: map[uint64]ledger.Script{}, workingKeys: map[workingKey]ledger.WorkingKey{},
	}
}

func (l *Ledger) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memledger: waiting for the ledger: %w", err)
	}
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("memledger: waiting for the ledger: %w", ctx.Err())
	}
}

func (l *Ledger) give() { <-l.turn }

// Update runs fn in a transaction; see ledger.Ledger.
func (l *Ledger) Update(ctx context.Context, fn func(ledger.Tx) error) (err error) {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.give()
	t := &tx{l: l}
	keep := false
	// A panic of fn passes through, and leaves nothing either.
	defer func() {
		t.done = true
		if !keep {
			t.back()
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	if t.failed != nil {
		return t.failed
	}
	if l.Faults.Commit != nil {
		if keep, err = l.Faults.Commit(); err != nil {
			return fmt.Errorf("memledger: committing: %w", err)
		}
	}
	keep = true
	return nil
}

// View runs fn over a consistent state; see ledger.Ledger.
func (l *Ledger) View(ctx context.Context, fn func(ledger.Tx) error) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.give()
	t := &tx{l: l, readOnly: true}
	defer func() { t.done = true }()
	return fn(t)
}

// tx is one transaction. It writes at once, and remembers how to take that back.
type tx struct {
	l              *Ledger
	readOnly, done bool
	failed         error
	undo           []func()
}

var _ ledger.Tx = (*tx)(nil)

var errVoid = errors.New("memledger: the transaction is over")

func (t *tx) back() {
	for _, u := range slices.Backward(t.undo) {
		u()
	}
}

func (t *tx) usable() error {
	if t.done {
		return errVoid
	}
	return t.failed
}

func (t *tx) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// writes reports why a write can't be done.
func (t *tx) writes(doing string) error {
	if err := t.usable(); err != nil {
		return err
	}
	if t.readOnly {
		return fmt.Errorf("%w: %s in a view", ledger.ErrInvalid, doing)
	}
	if t.l.Faults.Write != nil {
		if err := t.l.Faults.Write(doing); err != nil {
			return t.fail(fmt.Errorf("memledger: %s: %w", doing, err))
		}
	}
	return nil
}

// set puts a record into a map and remembers what was there.
func set[K comparable, V any](t *tx, m map[K]V, k K, v V) {
	old, was := m[k]
	m[k] = v
	t.undo = append(t.undo, func() {
		if was {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
}

// unset removes a record from a map and remembers it.
func unset[K comparable, V any](t *tx, m map[K]V, k K) {
	if old, was := m[k]; was {
		delete(m, k)
		t.undo = append(t.undo, func() { m[k] = old })
	}
}

// get reads a record.
func get[K comparable, V any](t *tx, m map[K]V, k K, what string) (V, error) {
	var none V
	if err := t.usable(); err != nil {
		return none, err
	}
	v, ok := m[k]
	if !ok {
		return none, fmt.Errorf("%w: %s", ledger.ErrNotFound, what)
	}
	return v, nil
}

// each walks over a map in the order of its keys.
func each[K comparable, V any](t *tx, m map[K]V, order func(a, b K) int, fn func(K, V) error) error {
	if err := t.usable(); err != nil {
		return err
	}
	for _, k := range slices.SortedFunc(maps.Keys(m), order) {
		if err := fn(k, m[k]); err != nil {
			return err
		}
	}
	return nil
}
