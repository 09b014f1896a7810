package memledger

import (
	"cmp"
	"slices"
	"strings"

	"github.com/payunit/payunit/payment/host/ledger"
)

// Outgoing returns a message by its id, or ErrNotFound.
func (t *tx) Outgoing(id string) (ledger.Outgoing, error) {
	o, err := get(t, t.l.outgoing, id, "outgoing message")
	o.Message = owned(o.Message)
	return o, err
}

// PutOutgoing writes a message.
func (t *tx) PutOutgoing(o ledger.Outgoing) error {
	if err := o.Check(); err != nil {
		return err
	}
	if err := t.writes("writing an outgoing message"); err != nil {
		return err
	}
	o.Message, o.Due, o.Created = owned(o.Message), moment(o.Due), moment(o.Created)
	set(t, t.l.outgoing, o.ID, o)
	return nil
}

// DeleteOutgoing strikes a message out.
func (t *tx) DeleteOutgoing(id string) error {
	if err := t.writes("striking an outgoing message out"); err != nil {
		return err
	}
	unset(t, t.l.outgoing, id)
	return nil
}

// EachOutgoing walks over the messages after a number, the oldest first.
func (t *tx) EachOutgoing(after uint64, fn func(ledger.Outgoing) error) error {
	if err := t.usable(); err != nil {
		return err
	}
	var all []ledger.Outgoing
	for _, o := range t.l.outgoing {
		if o.Number <= after {
			continue
		}
		o.Message = owned(o.Message)
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b ledger.Outgoing) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.ID, b.ID))
	})
	for _, o := range all {
		if err := fn(o); err != nil {
			return err
		}
	}
	return nil
}
