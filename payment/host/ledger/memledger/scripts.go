package memledger

import (
	"cmp"
	"strings"

	"github.com/payunit/payunit/payment/host/ledger"
)

// EachTerminal walks over the terminals.
func (t *tx) EachTerminal(fn func(ledger.Terminal) error) error {
	return each(t, t.l.terms, strings.Compare, func(_ string, v ledger.Terminal) error {
		v.DeviceKey = owned(v.DeviceKey)
		return fn(v)
	})
}

// Script returns a script by its number, or ErrNotFound.
func (t *tx) Script(number uint64) (ledger.Script, error) {
	s, err := get(t, t.l.scripts, number, "script")
	s.Data = owned(s.Data)
	return s, err
}

// PutScript writes a script.
func (t *tx) PutScript(s ledger.Script) error {
	if err := s.Check(); err != nil {
		return err
	}
	if err := t.writes("writing a script"); err != nil {
		return err
	}
	s.Data, s.Created, s.Changed = owned(s.Data), moment(s.Created), moment(s.Changed)
	set(t, t.l.scripts, s.Number, s)
	return nil
}

// EachScript walks over a card's scripts, or over all.
func (t *tx) EachScript(card string, fn func(ledger.Script) error) error {
	return each(t, t.l.scripts, cmp.Compare[uint64], func(_ uint64, s ledger.Script) error {
		if card != "" && s.Card != card {
			return nil
		}
		s.Data = owned(s.Data)
		return fn(s)
	})
}

// workingKey is what a working key is found by.
type workingKey struct {
	zone, usage string
	number      uint64
}

// PutWorkingKey writes a key.
func (t *tx) PutWorkingKey(k ledger.WorkingKey) error {
	if err := k.Check(); err != nil {
		return err
	}
	if err := t.writes("writing a working key"); err != nil {
		return err
	}
	k.Created, k.Until = moment(k.Created), moment(k.Until)
	set(t, t.l.workingKeys, workingKey{k.Zone, k.Usage, k.Number}, k)
	return nil
}

// DeleteWorkingKey removes a key.
func (t *tx) DeleteWorkingKey(zone, usage string, number uint64) error {
	if err := t.writes("removing a working key"); err != nil {
		return err
	}
	unset(t, t.l.workingKeys, workingKey{zone, usage, number})
	return nil
}

// EachWorkingKey walks over a zone's keys.
func (t *tx) EachWorkingKey(zone string, fn func(ledger.WorkingKey) error) error {
	order := func(a, b workingKey) int {
		return cmp.Or(strings.Compare(a.usage, b.usage), cmp.Compare(a.number, b.number))
	}
	return each(t, t.l.workingKeys, order, func(k workingKey, v ledger.WorkingKey) error {
		if k.zone != zone {
			return nil
		}
		return fn(v)
	})
}
