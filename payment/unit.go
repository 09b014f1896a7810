// Package payment is the payment unit: it turns an order's name into a payment
// by driving the trusted modules (user interface, storage, communication, PIN
// pad) and the card.
//
// The app that embeds it supplies a relay of opaque bytes and gets events and a
// result. What is charged comes from the payment server, is shown on the trusted
// user interface, is put into the card's cryptogram and is booked: one number.
// A request goes out only after its reversal stands in the journal, so that a
// payment that anything interrupts is reversed, by the next Recover at the
// latest.
//
// This version makes sales, with cashback or a tip too, refunds and pre-authorisations,
// balance inquiries and card verifications, authorised online; sales that the
// card approves without its bank, under Config.Offline; and it voids, completes
// and settles what it made. It reads chips, inserted and tapped, and where the
// server's policy grants it magnetic stripes and what is entered by hand on the
// trusted user interface. Other kinds of trade return ErrUnsupported.
package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// Errors that callers branch on, wrapped with what was being done.
var (
	// ErrBusy: the unit is in the middle of something; it does one thing at a
	// time. The error is a *BusyError, which names it.
	ErrBusy = errors.New("payment: the unit is busy")
	// ErrOrder: the order's name is not 1 to 64 printable ASCII characters.
	ErrOrder = errors.New("payment: not an order id")
	// ErrAlreadyPaid: the server has the order as paid, by another unit.
	ErrAlreadyPaid = errors.New("payment: the order is paid already")
	// ErrVoided: the order was paid, and that was undone; pay a new order.
	ErrVoided = errors.New("payment: the order was voided")
	// ErrOrderPending: another unit has a request for the order under way.
	ErrOrderPending = errors.New("payment: another unit is paying the order")
	// ErrUnsupported: this version can't do what was asked. Nothing was
	// requested.
	ErrUnsupported = errors.New("payment: not supported")
	// ErrServer: the server could not be reached or did not answer as agreed,
	// before anything was requested.
	ErrServer = errors.New("payment: server")
	// ErrCard: the card could not be read, or broke the rules, before
	// anything was requested.
	ErrCard = errors.New("payment: card")
	// ErrOwed: an earlier payment owes a reversal that the server does not
	// take; no new payment is made before.
	ErrOwed = errors.New("payment: an earlier payment is not settled")
)

// Order names what is to be paid. What it costs is the server's to say.
type Order struct {
	// ID is the order's name, 1 to 64 printable ASCII characters. Paying the
	// same order again never charges again.
	ID string
}

// Unit is a payment unit. It does one thing at a time; its methods may be
// called from any goroutine.
type Unit struct {
	c       Config
	kernel  *emv.Kernel
	tap     *contactless.Reader // nil when cards are inserted only
	journal *journal.Journal
	busy    occupied
	// step is where the contact kernel stands with the card.
	step emv.Step
	// pin serves the kernel's PIN requests of the payment that runs.
	pin *pinAdapter
}

// New composes a unit. It waits for nothing and sends nothing. Errors wrap
// ErrConfig or ErrUnsupported.
func New(c Config) (*Unit, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	if err := c.Offline.check(c.Terminal.Type.OnlineOnly()); err != nil {
		return nil, err
	}
	tid, mid := c.Device.Identity()
	c.Terminal.ID, c.Terminal.MerchantID = tid, fmt.Sprintf("%-15s", mid)
	u := &Unit{c: c, journal: journal.New(c.Storage)}
	u.pin = &pinAdapter{pad: c.Pad, watch: c.Now}
	k, err := emv.New(emv.Config{
		Terminal:   c.Terminal,
		CAKeys:     c.CAKeys,
		Exceptions: u.exceptions(),
		PIN:        u.pin,
		Chooser:    chooser{ui: c.UI, spent: u.pin.spend, now: c.Now},
		Rand:       c.Rand,
		Now:        c.Now,
		Observe:    u.kernelEvent,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	u.kernel = k
	tappable := slices.ContainsFunc(c.Terminal.Applications, func(a emv.Application) bool { return a.Contactless != nil })
	if c.TapReader != nil && (tappable || c.Reader == nil) {
		if u.tap, err = u.newTap(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return u, nil
}

// exceptions is the exception file, nil for none.
func (u *Unit) exceptions() emv.ExceptionFile {
	if u.c.Exceptions == nil && u.c.Terminal.Exceptions.Len() > 0 {
		return u.c.Terminal.Exceptions
	}
	return u.c.Exceptions
}

// Assurance returns the level of the unit's weakest module among screen, pad,
// storage and terminal. A card reader has none of the unit's secrets and does
// not count.
func (u *Unit) Assurance() channel.Assurance {
	return trusted.Weakest(u.c.UI, u.c.Pad, u.c.Storage, u.c.Device)
}

// watch asks the monitor whether the unit may go on.
func (u *Unit) watch(ctx context.Context) error {
	if u.c.Monitor == nil {
		return nil
	}
	signals, err := u.c.Monitor.Check(ctx)
	if err != nil {
		return fmt.Errorf("payment: looking for signs of tampering: %w", err)
	}
	if len(signals) > 0 {
		return &trusted.TamperError{Signals: signals}
	}
	return nil
}

// at notes where the payment that runs stands.
func (u *Unit) at(s State) { u.busy.at(s) }

func (u *Unit) kernelEvent(e emv.Event) {
	u.step = e.Step
	u.c.Observe(Event{Phase: PhaseCard, Step: string(e.Step), Text: e.Text, Took: e.Took})
}

func (u *Unit) tell(p Phase, format string, a ...any) {
	u.c.Observe(Event{Phase: p, Text: fmt.Sprintf(format, a...)})
}

// Pay carries one order out. It returns a Result for every ending that is an
// outcome, and an error when a step could not be carried out before anything
// was requested: then nothing was charged. Exactly one event with Final set is
// observed. Errors: ErrBusy, ErrOrder, ErrAlreadyPaid, ErrVoided, ErrOrderPending,
// ErrUnsupported, ErrServer, ErrCard, ErrOwed, ErrRefused, those of the trusted
// modules, or one that wraps ctx.Err().
func (u *Unit) Pay(ctx context.Context, o Order) (Result, error) {
	began := u.c.Now()
	if err := u.busy.take(BusyError{Doing: "pay", Order: o.ID, State: StateAsking, Since: began}); err != nil {
		return Result{}, err
	}
	defer u.busy.release()
	p := &run{u: u, order: o, start: began}
	r, err := p.pay(ctx)
	if err != nil {
		u.c.Observe(Event{Phase: PhaseResult, State: StateFailed, On: p.on, Text: err.Error(), Final: true})
		return Result{}, err
	}
	u.c.Observe(Event{Phase: PhaseResult, State: p.state, On: p.on, Text: ending(r), Took: r.Timing.Total, Final: true, Outcome: r.Outcome})
	return r, nil
}

func ending(r Result) string {
	s := string(r.Outcome) + " " + r.Amount + " " + r.Currency
	if r.Reversed {
		s += ", reversed"
	}
	if len(r.Reasons) > 0 {
		s += ": " + r.Reasons[len(r.Reasons)-1]
	}
	return s
}

// checkOrder keeps names to what every dialect's field carries.
func checkOrder(id string) error {
	if id == "" || len(id) > trade.MaxOrderID {
		return fmt.Errorf("%w: %d characters, want 1 to %d", ErrOrder, len(id), trade.MaxOrderID)
	}
	for i := 0; i < len(id); i++ {
		if id[i] <= ' ' || id[i] > '~' {
			return fmt.Errorf("%w: character %d is not printable ASCII", ErrOrder, i+1)
		}
	}
	return nil
}

// stored reads a kept result back.
func stored(b json.RawMessage) (Result, error) {
	var r Result
	if err := json.Unmarshal(b, &r); err != nil {
		return Result{}, fmt.Errorf("payment: kept result: %w", journal.ErrCorrupt)
	}
	return r, nil
}
