package memledger

import (
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

// Ticket returns a ticket by its id, or ErrNotFound.
func (t *tx) Ticket(id string) (ledger.Ticket, error) {
	v, err := get(t, t.l.tickets, id, "ticket")
	v.Sealed = owned(v.Sealed)
	return v, err
}

// PutTicket writes a ticket.
func (t *tx) PutTicket(v ledger.Ticket) error {
	if v.ID == "" || len(v.Sealed) == 0 {
		return fmt.Errorf("%w: ticket without id or content", ledger.ErrInvalid)
	}
	if err := t.writes("writing a ticket"); err != nil {
		return err
	}
	v.Sealed, v.Expires = owned(v.Sealed), moment(v.Expires)
	set(t, t.l.tickets, v.ID, v)
	return nil
}

// DeleteTicket removes a ticket.
func (t *tx) DeleteTicket(id string) error {
	if err := t.writes("removing a ticket"); err != nil {
		return err
	}
	unset(t, t.l.tickets, id)
	return nil
}

// DeleteTicketsBefore removes those that have expired by then.
func (t *tx) DeleteTicketsBefore(at time.Time) error {
	if err := t.writes("removing tickets"); err != nil {
		return err
	}
	for id, v := range t.l.tickets {
		if v.Expires.Before(at) {
			unset(t, t.l.tickets, id)
		}
	}
	return nil
}
