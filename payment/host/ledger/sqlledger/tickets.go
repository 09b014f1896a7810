package sqlledger

import (
	"fmt"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

var putTicket = upsert("tickets", "id, sealed, expires", "id")

// Ticket returns a ticket by its id, or ErrNotFound.
func (t *tx) Ticket(id string) (ledger.Ticket, error) {
	v := ledger.Ticket{ID: id}
	var expires int64
	if err := t.row("ticket", "SELECT sealed, expires FROM tickets WHERE id = ?", []any{id}, &v.Sealed, &expires); err != nil {
		return ledger.Ticket{}, err
	}
	v.Expires = moment(expires)
	return v, nil
}

// PutTicket writes a ticket.
func (t *tx) PutTicket(v ledger.Ticket) error {
	if v.ID == "" || len(v.Sealed) == 0 {
		return fmt.Errorf("%w: ticket without id or content", ledger.ErrInvalid)
	}
	return t.exec("writing a ticket", putTicket, v.ID, v.Sealed, micros(v.Expires))
}

// DeleteTicket removes a ticket.
func (t *tx) DeleteTicket(id string) error {
	return t.exec("removing a ticket", "DELETE FROM tickets WHERE id = ?", id)
}

// DeleteTicketsBefore removes those that have expired by then.
func (t *tx) DeleteTicketsBefore(at time.Time) error {
	return t.exec("removing tickets", "DELETE FROM tickets WHERE expires < ?", micros(at))
}
