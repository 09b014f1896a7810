package memledger

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

// moment is a time as other ledgers keep it: microseconds, UTC.
func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

func owned(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// Order returns an order or ErrNotFound.
func (t *tx) Order(id string) (ledger.Order, error) { return get(t, t.l.orders, id, "order") }

// PutOrder writes an order.
func (t *tx) PutOrder(o ledger.Order) error {
	if o.ID == "" || o.Amount.Currency.IsZero() || o.Amount.Minor < 0 || o.Cashback < 0 || o.Cashback > o.Amount.Minor || o.Tip < 0 || o.Tip > o.Amount.Minor || o.Refunded < 0 || o.Refunded > o.Amount.Minor {
		return fmt.Errorf("%w: order %s", ledger.ErrInvalid, o.ID)
	}
	if err := t.writes("writing an order"); err != nil {
		return err
	}
	o.Created = moment(o.Created)
	set(t, t.l.orders, o.ID, o)
	return nil
}

// EachOrder walks over the orders.
func (t *tx) EachOrder(fn func(ledger.Order) error) error {
	return each(t, t.l.orders, strings.Compare, func(_ string, o ledger.Order) error { return fn(o) })
}

// Terminal returns a terminal or ErrNotFound.
func (t *tx) Terminal(id string) (ledger.Terminal, error) {
	v, err := get(t, t.l.terms, id, "terminal")
	v.DeviceKey = owned(v.DeviceKey)
	return v, err
}

// TerminalByKey returns the terminal with that device key, or ErrNotFound.
func (t *tx) TerminalByKey(key []byte) (ledger.Terminal, error) {
	id, err := get(t, t.l.byKey, string(key), "terminal")
	if err != nil {
		return ledger.Terminal{}, err
	}
	return t.Terminal(id)
}

// PutTerminal writes a terminal.
func (t *tx) PutTerminal(v ledger.Terminal) error {
	if v.ID == "" || len(v.DeviceKey) == 0 || v.Number == 0 {
		return fmt.Errorf("%w: terminal without id, number or device key", ledger.ErrInvalid)
	}
	if other, ok := t.l.byKey[string(v.DeviceKey)]; ok && other != v.ID {
		return fmt.Errorf("%w: the device key belongs to another terminal", ledger.ErrConflict)
	}
	for _, other := range t.l.terms {
		if other.Number == v.Number && other.ID != v.ID {
			return t.fail(fmt.Errorf("%w: the number belongs to another terminal", ledger.ErrConflict))
		}
	}
	if err := t.writes("writing a terminal"); err != nil {
		return err
	}
	v.DeviceKey, v.Enrolled = owned(v.DeviceKey), moment(v.Enrolled)
	set(t, t.l.terms, v.ID, v)
	set(t, t.l.byKey, string(v.DeviceKey), v.ID)
	return nil
}

// Activation returns an activation or ErrNotFound.
func (t *tx) Activation(id string) (ledger.Activation, error) {
	return get(t, t.l.activations, id, "activation")
}

// PutActivation writes an activation.
func (t *tx) PutActivation(a ledger.Activation) error {
	if a.ID == "" {
		return fmt.Errorf("%w: activation without id", ledger.ErrInvalid)
	}
	if err := t.writes("writing an activation"); err != nil {
		return err
	}
	a.Expires = moment(a.Expires)
	set(t, t.l.activations, a.ID, a)
	return nil
}

// Next returns the next number of a sequence.
func (t *tx) Next(sequence string) (uint64, error) {
	if sequence == "" {
		return 0, fmt.Errorf("%w: sequence without a name", ledger.ErrInvalid)
	}
	if err := t.writes("counting"); err != nil {
		return 0, err
	}
	n := t.l.sequences[sequence] + 1
	set(t, t.l.sequences, sequence, n)
	return n, nil
}

// Authorisation returns what is known under a key, or ErrNotFound.
func (t *tx) Authorisation(k ledger.Key) (ledger.Authorisation, error) {
	a, err := get(t, t.l.auths, k, "authorisation")
	a.Content, a.ICC, a.Completion = owned(a.Content), owned(a.ICC), owned(a.Completion)
	return a, err
}

// PutAuthorisation writes an authorisation.
func (t *tx) PutAuthorisation(a ledger.Authorisation) error {
	if err := a.Key.Check(); err != nil {
		return err
	}
	if err := t.writes("writing an authorisation"); err != nil {
		return err
	}
	a.Content, a.ICC, a.Completion = owned(a.Content), owned(a.ICC), owned(a.Completion)
	a.Transmitted, a.Created, a.Changed = moment(a.Transmitted), moment(a.Created), moment(a.Changed)
	set(t, t.l.auths, a.Key, a)
	return nil
}

// EachAuthorisation walks over the authorisations.
func (t *tx) EachAuthorisation(fn func(ledger.Authorisation) error) error {
	order := func(a, b ledger.Key) int {
		return cmp.Or(strings.Compare(a.Terminal, b.Terminal), strings.Compare(a.STAN, b.STAN), strings.Compare(a.RRN, b.RRN))
	}
	return each(t, t.l.auths, order, func(_ ledger.Key, a ledger.Authorisation) error { return fn(a) })
}

// Card returns a card's state, or ErrNotFound.
func (t *tx) Card(ref string) (ledger.Card, error) {
	c, err := get(t, t.l.cards, ref, "card")
	c.PIN = owned(c.PIN)
	return c, err
}

// PutCard writes a card's state.
func (t *tx) PutCard(c ledger.Card) error {
	if c.Ref == "" || c.PINTries < 0 || c.Scripts < 0 {
		return fmt.Errorf("%w: card without reference", ledger.ErrInvalid)
	}
	if err := t.writes("writing a card"); err != nil {
		return err
	}
	c.PIN = owned(c.PIN)
	set(t, t.l.cards, c.Ref, c)
	return nil
}

// Post books an entry; see ledger.Book.
func (t *tx) Post(e ledger.Entry) (bool, error) {
	if err := e.Check(); err != nil {
		return false, err
	}
	if err := t.usable(); err != nil {
		return false, err
	}
	if at, ok := t.l.booked[e.Key]; ok {
		if !t.l.entries[at].Same(&e) {
			return false, fmt.Errorf("%w: entry %s", ledger.ErrConflict, e.Key)
		}
		return false, nil
	}
	if err := t.writes("booking"); err != nil {
		return false, err
	}
	for _, p := range e.Postings {
		a := account{p.Account, p.Amount.Currency.Code()}
		sum := t.l.balances[a]
		if p.Amount.Minor > 0 && sum > math.MaxInt64-p.Amount.Minor || p.Amount.Minor < 0 && sum < math.MinInt64-p.Amount.Minor {
			return false, t.fail(fmt.Errorf("memledger: booking: %w: balance of %s out of range", ledger.ErrInvalid, p.Account))
		}
		set(t, t.l.balances, a, sum+p.Amount.Minor)
	}
	e.Time = moment(e.Time)
	e.Postings = append([]ledger.Posting(nil), e.Postings...)
	b := ledger.Booked{Entry: e, Number: uint64(len(t.l.entries)) + 1}
	var previous [32]byte
	if len(t.l.entries) > 0 {
		previous = t.l.entries[len(t.l.entries)-1].Hash
	}
	b.Hash = ledger.Chain(previous, b.Number, &b.Entry)
	set(t, t.l.booked, e.Key, len(t.l.entries))
	t.l.entries = append(t.l.entries, b)
	t.undo = append(t.undo, func() { t.l.entries = t.l.entries[:len(t.l.entries)-1] })
	return true, nil
}

// Balance returns the sum of an account in one currency.
func (t *tx) Balance(name, currency string) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	return t.l.balances[account{name, currency}], nil
}

// EachBalance walks over the accounts.
func (t *tx) EachBalance(fn func(account, currency string, minor int64) error) error {
	order := func(a, b account) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.currency, b.currency))
	}
	return each(t, t.l.balances, order, func(a account, minor int64) error { return fn(a.name, a.currency, minor) })
}

// EachEntry walks over the entries.
func (t *tx) EachEntry(fn func(ledger.Booked) error) error {
	if err := t.usable(); err != nil {
		return err
	}
	for _, b := range t.l.entries {
		b.Postings = append([]ledger.Posting(nil), b.Postings...)
		if err := fn(b); err != nil {
			return err
		}
	}
	return nil
}
