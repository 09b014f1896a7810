// Package ledger is the contract of what a payment server must not forget:
// orders, terminals, authorisations, the state of cards, and the money, as
// double-entry postings in integer minor units.
//
// A Ledger does everything of one message in one transaction that is durable
// before Update returns. What the rules of the money are (an entry sums to zero
// in each currency, a key is booked once) is checked here, in one place, by
// every implementation through Entry.Check; Audit reads a whole ledger and says
// what is wrong with it. ledgertest has the contract as a test; sqlledger
// implements it over database/sql.
//
// No PAN, track, PIN or key is kept: a card goes by a reference that only its
// issuer can make.
package ledger

import (
	"context"
	"errors"
	"time"
)

// Errors that callers branch on.
var (
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("ledger: not found")
	// ErrConflict: the key is in use for something else.
	ErrConflict = errors.New("ledger: conflict with what is recorded")
	// ErrInvalid: a record breaks a rule of the ledger. Nothing was changed.
	ErrInvalid = errors.New("ledger: invalid record")
	// ErrVersion: the store was written by another version of the program.
	ErrVersion = errors.New("ledger: store is of another version")
)

// Ledger is a store of transactions. It is safe for concurrent use.
type Ledger interface {
	// Update runs fn in a transaction and commits it. When it returns nil,
	// what fn did is on disk; otherwise nothing of it is, unless the error is
	// that of the commit itself, whose result the store may not know. Updates
	// are serialised: each sees all earlier ones. fn may run more than once
	// and must have no effect but through tx, which is void after it returns.
	// An error of fn is returned as it is. Ctx bounds the wait for the
	// transaction, not the commit.
	Update(ctx context.Context, fn func(tx Tx) error) error
	// View runs fn over a consistent state. What fn writes fails with
	// ErrInvalid.
	View(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction, in groups of what it reaches. It is not safe for
// concurrent use.
type Tx interface {
	Orders
	Terminals
	Authorisations
	Batches
	Outbox
	Tickets
	Cards
	Scripts
	Spendings
	WorkingKeys
	Book
	Reader
}

// Orders are what merchants want to be paid.
type Orders interface {
	// Order returns an order or ErrNotFound.
	Order(id string) (Order, error)
	// PutOrder writes an order, new or in place of the one of its id.
	PutOrder(o Order) error
}

// Terminals are enrolled units, and the codes under which others may enrol.
type Terminals interface {
	// Terminal returns a terminal by its id, or ErrNotFound.
	Terminal(id string) (Terminal, error)
	// TerminalByKey returns the terminal with that device key, or ErrNotFound.
	TerminalByKey(deviceKey []byte) (Terminal, error)
	// PutTerminal writes a terminal. ErrConflict: another one has its device
	// key.
	PutTerminal(t Terminal) error
	// Activation returns an activation or ErrNotFound.
	Activation(id string) (Activation, error)
	// PutActivation writes an activation.
	PutActivation(a Activation) error
	// EachTerminal walks over the terminals, in the order of their ids.
	EachTerminal(fn func(Terminal) error) error
	// Next returns the next number of a sequence, from 1.
	Next(sequence string) (uint64, error)
}

// Authorisations are requests and reversals with what was answered.
type Authorisations interface {
	// Authorisation returns what is known under a key, or ErrNotFound.
	Authorisation(k Key) (Authorisation, error)
	// PutAuthorisation writes an authorisation.
	PutAuthorisation(a Authorisation) error
}

// Batches are what terminals will settle.
type Batches interface {
	// Batch returns a terminal's batch in a currency; an empty one before the
	// first payment.
	Batch(terminal, currency string) (Batch, error)
	// PutBatch writes a batch.
	PutBatch(b Batch) error
}

// Outbox is what the server owes to the acquirer above it.
type Outbox interface {
	// Outgoing returns a message by its id, or ErrNotFound.
	Outgoing(id string) (Outgoing, error)
	// PutOutgoing writes a message.
	PutOutgoing(o Outgoing) error
	// DeleteOutgoing strikes a message out; one that is not there is no error.
	DeleteOutgoing(id string) error
	// EachOutgoing walks over the messages after a number, 0 for all, the oldest
	// first.
	EachOutgoing(after uint64, fn func(Outgoing) error) error
}

// Tickets are what channels left for their resumption.
type Tickets interface {
	// Ticket returns a ticket by its id, or ErrNotFound.
	Ticket(id string) (Ticket, error)
	// PutTicket writes a ticket.
	PutTicket(t Ticket) error
	// DeleteTicket removes a ticket; one that is not there is no error.
	DeleteTicket(id string) error
	// DeleteTicketsBefore removes those that have expired by then.
	DeleteTicketsBefore(t time.Time) error
}

// Cards are the changing facts about cards.
type Cards interface {
	// Card returns a card's state, or ErrNotFound.
	Card(ref string) (Card, error)
	// PutCard writes a card's state.
	PutCard(c Card) error
}

// Scripts are the commands that the issuer has for cards.
type Scripts interface {
	// Script returns a script by its number, or ErrNotFound.
	Script(number uint64) (Script, error)
	// PutScript writes a script.
	PutScript(s Script) error
	// EachScript walks over a card's scripts, or with "" over all of them, the
	// oldest first.
	EachScript(card string, fn func(Script) error) error
}

// WorkingKeys are keys between servers.
type WorkingKeys interface {
	// PutWorkingKey writes a key.
	PutWorkingKey(k WorkingKey) error
	// DeleteWorkingKey removes a key; one that is not there is no error.
	DeleteWorkingKey(zone, usage string, number uint64) error
	// EachWorkingKey walks over a zone's keys by usage, the oldest first.
	EachWorkingKey(zone string, fn func(WorkingKey) error) error
}

// Spendings are what cards were used for, a record for each card and day.
type Spendings interface {
	// Spending returns a card's day, with zeros when it was not used.
	Spending(card string, day int64) (Spending, error)
	// PutSpending writes a card's day.
	PutSpending(s Spending) error
	// SpentSince returns the sum of the card's days from day on, as of that
	// day.
	SpentSince(card string, day int64) (Spending, error)
}

// Book is the money.
type Book interface {
	// Post books an entry. An entry with a key that is booked already is not
	// booked again: Post returns false, or ErrConflict when the one booked is
	// not the same. Errors also wrap ErrInvalid.
	Post(e Entry) (posted bool, err error)
	// Balance returns the sum of an account in one currency, by its ISO 4217
	// letters; 0 for one that nothing was posted to.
	Balance(account, currency string) (int64, error)
}

// Reader walks over everything, in the order of the keys; Audit and reports
// use it. An error of the callback ends the walk and is returned.
type Reader interface {
	// EachEntry walks over the entries in the order in which they were booked.
	EachEntry(fn func(Booked) error) error
	// EachBalance walks over the accounts as Balance knows them.
	EachBalance(fn func(account, currency string, minor int64) error) error
	// EachOrder walks over the orders.
	EachOrder(fn func(Order) error) error
	// EachAuthorisation walks over the authorisations.
	EachAuthorisation(fn func(Authorisation) error) error
}
