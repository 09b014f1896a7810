package sqlledger

import (
	"fmt"

	"github.com/payunit/payunit/payment/host/ledger"
)

const outgoingColumns = "id, number, authorisation, message, due, attempts, created, refusals, code, refused"

var putOutgoing = upsert("outgoing", outgoingColumns, "id")

func scanOutgoing(scan func(...any) error) (ledger.Outgoing, error) {
	var o ledger.Outgoing
	var auth string
	var number, due, created int64
	if err := scan(&o.ID, &number, &auth, &o.Message, &due, &o.Attempts, &created, &o.Refusals, &o.Code, &o.Refused); err != nil {
		return o, err
	}
	o.Number = uint64(number)
	o.Due, o.Created = moment(due), moment(created)
	var err error
	if o.Authorisation, err = ledger.ParseKey(auth); err != nil {
		return o, fmt.Errorf("sqlledger: outgoing message: %w", err)
	}
	return o, nil
}

// Outgoing returns a message by its id, or ErrNotFound.
func (t *tx) Outgoing(id string) (ledger.Outgoing, error) {
	var o ledger.Outgoing
	err := t.one("outgoing message", "SELECT "+outgoingColumns+" FROM outgoing WHERE id = ?", []any{id}, func(scan func(...any) error) (err error) {
		o, err = scanOutgoing(scan)
		return err
	})
	return o, err
}

// PutOutgoing writes a message.
func (t *tx) PutOutgoing(o ledger.Outgoing) error {
	if err := o.Check(); err != nil {
		return err
	}
	return t.exec("writing an outgoing message", putOutgoing, o.ID, int64(o.Number), o.Authorisation.String(), o.Message, micros(o.Due), o.Attempts, micros(o.Created), o.Refusals, o.Code, whole(o.Refused))
}

// DeleteOutgoing strikes a message out.
func (t *tx) DeleteOutgoing(id string) error {
	return t.exec("striking an outgoing message out", "DELETE FROM outgoing WHERE id = ?", id)
}

// EachOutgoing walks over the messages after a number, the oldest first.
func (t *tx) EachOutgoing(after uint64, fn func(ledger.Outgoing) error) error {
	return t.each("reading outgoing messages", "SELECT "+outgoingColumns+" FROM outgoing WHERE number > ? ORDER BY number, id", []any{int64(after)}, func(scan func(...any) error) error {
		o, err := scanOutgoing(scan)
		if err != nil {
			return err
		}
		return fn(o)
	})
}
