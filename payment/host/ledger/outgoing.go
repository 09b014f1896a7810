package ledger

import (
	"fmt"
	"time"
)

// Outgoing is a message that the server owes to the acquirer above it: written
// in the transaction that made it due, and there until the acquirer has
// acknowledged it.
type Outgoing struct {
	// ID names it: what it does, and to which request. The same again takes
	// its place.
	ID string
	// Number says which is older: it rises in the order in which messages
	// became owed, whatever the clock does.
	Number uint64
	// Authorisation is the request that it is about.
	Authorisation Key
	// Message is the packed ISO 8583 message, without card data.
	Message []byte
	// Due is when it is to be sent next. That of a reversal which stands for a
	// request under way is after the time that the request may take.
	Due time.Time
	// Attempts counts how often it was sent without being acknowledged.
	Attempts int
	// Refusals counts how often the acquirer answered that it does not take it,
	// and Code is its last response code.
	Refusals int
	Code     string
	// Refused is set when it is not sent any more: the acquirer has refused it
	// for good, and people have to see to it.
	Refused bool
	Created time.Time
}

// Check says whether o can be written. Errors wrap ErrInvalid.
func (o *Outgoing) Check() error {
	if o.ID == "" || o.Number == 0 || len(o.Message) == 0 || o.Attempts < 0 || o.Refusals < 0 {
		return fmt.Errorf("%w: outgoing message without id, number or content", ErrInvalid)
	}
	return o.Authorisation.Check()
}
