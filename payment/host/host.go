// Package host is the payment server: the far end of the units' channels, the
// orders that they may be paid for, the routing of ISO 8583 messages to an
// issuer, and the booking in a ledger.
//
// A financial message is one transaction of the ledger, committed before it is
// answered. What makes that safe to repeat: a request is known by terminal, STAN
// and RRN, and its repeat gets the same answer and is not booked again; a
// reversal counts also when it arrives before its request or without it; a
// message key is taken once.
//
// The amount of a payment is the order's, which the merchant's side creates here.
// A request whose amount, or whose card's amount, is another one is refused.
//
// Where Config.Upstream is set, an acquirer above decides instead of the issuer.
// Its reversal is owed, in the ledger, before it is asked, and what terminals
// advise is stored and forwarded: see Server.Forward. Server.Acquire is the other
// end of that.
//
// What a server knows is in the ledger, resumption tickets and what it owes
// included: any server on it goes on where another one died.
package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// Errors that callers branch on.
var (
	// ErrConfig: New was given a Config that can't work.
	ErrConfig = errors.New("host: configuration")
	// ErrOrderExists: there is an order of that id with another content.
	ErrOrderExists = errors.New("host: the order exists with another content")
	// ErrOrder: an order is not acceptable.
	ErrOrder = errors.New("host: not an order")
	// ErrUnsupported: this version can't do it.
	ErrUnsupported = errors.New("host: not supported")
	// ErrNotFound: there is no such order.
	ErrNotFound = errors.New("host: not found")
)

// Issuer decides about a payment inside the transaction of its message.
type Issuer interface {
	// Authorize decides; it writes through tx only, and an error makes the
	// transaction fail.
	Authorize(ctx context.Context, tx ledger.Tx, r issuer.Request) (issuer.Decision, error)
	// Raise decides whether a card, which is not there, may hold more for what
	// was approved at a time, so that whole is held.
	Raise(ctx context.Context, tx ledger.Tx, card string, approved time.Time, more, whole money.Amount) (issuer.Decision, error)
	// Heard takes what a message that follows the request about tells of the
	// scripts that went with its answer: icc is its field 55.
	Heard(ctx context.Context, tx ledger.Tx, card string, about ledger.Key, icc []byte) error
}

var _ Issuer = (*issuer.Issuer)(nil)

// Config composes a server. The fields without a default are the ones that
// decide whom it trusts, or where money is written down.
type Config struct {
	// Ledger is where everything is kept. No default.
	Ledger ledger.Ledger
	// Registry knows the terminals. It uses the same ledger. No default.
	Registry *Registry
	// Handshaker makes channels; it asks the Registry who may have one. No
	// default.
	Handshaker channel.Handshaker
	// Verifier judges the evidence that a unit gives inside its channel,
	// before each payment and again before the PIN. It is the Handshaker's,
	// as a rule. No default.
	Verifier channel.Verifier
	// Issuer decides about payments. No default, unless Upstream is set.
	Issuer Issuer
	// Upstream, when not nil, decides instead of Issuer: the acquirer above.
	// Forward has to run then, in one server at least.
	Upstream Upstream
	// UpstreamZone, when not nil, are the working keys of the line to Upstream,
	// which ExchangeKeys changes: PIN blocks go up under its PIN key. Without it
	// they go as the terminals enciphered them.
	UpstreamZone *Zone
	// LineZone, when not nil, are the working keys of the line of one lower server,
	// or of several on one ledger: see Acquire. Where lower servers have nothing to
	// do with each other, each has a Lower with a zone of its own.
	LineZone *Zone
	// AcquirerID is what this server calls itself in its messages to Upstream
	// (DE 32), up to 11 digits that don't begin with a zero; empty leaves that to
	// the line.
	AcquirerID string
	// StandIn, when not nil, is what the server approves by itself while
	// Upstream can't be asked.
	StandIn *StandIn
	// Keys are the base keys of the terminals' PIN and message keys. No
	// default.
	Keys Keys
	// ServerKey is the Handshaker's static public key, which enrolment gives
	// to units. No default.
	ServerKey []byte
	// Configuration returns the signed configuration that units are to have
	// (trusted/config), from several goroutines at once, and ConfigKey is the
	// key that signs it, 32 bytes, which enrolment gives to units that have no
	// other. The server hands both on as they are. Nil and empty for none.
	Configuration func() []byte
	ConfigKey     []byte
	// Dialect is the ISO 8583 dialect; nil means acquirer.Default().
	Dialect *acquirer.Dialect
	// RefundsWithoutOriginal takes refunds that name no paid order. Whoever
	// may create orders can then give away any amount to any card.
	RefundsWithoutOriginal bool
	// TipPercent says how large a tip a cardholder may add to an order at a
	// terminal, in per cent of it, at most 100; nil lets them add none. A refund
	// gives none of it back, a void all.
	TipPercent func(terminalID, orderID string) int
	// PartialApprovals takes a part of a sale's amount where the issuer
	// approves no more, and the cardholder agrees to pay the rest otherwise.
	PartialApprovals bool
	// PINPolicy says what a terminal's cardholders may do on the pad; nil
	// grants nothing.
	PINPolicy func(terminalID string) trade.PINPolicy
	// KeyUses is how far a terminal's key counters may run before the server
	// has it change its keys; zero leaves that to the terminal's owner.
	KeyUses uint64
	// EntryPolicy says in which ways, beside the chip, a terminal may come by a
	// card's data; nil grants none.
	EntryPolicy func(terminalID string) trade.EntryPolicy
	// Limits bound what peers can use up; zero fields have defaults.
	Limits Limits
	// Observe is told what happens, in words without secrets, from several
	// goroutines at once; nil tells nobody. It must not block for long.
	Observe func(Event)
	// Intercept, when not nil, may cut a channel at a stage of a financial
	// message. It is there for tests and demonstrations of what a lost
	// answer does; nil in production.
	Intercept func(Point) error
	// Rand is the source of randomness; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Limits bound what peers can use up.
type Limits struct {
	// Channels is the number of connections at once, handshakes included;
	// zero means 1024. Further ones are closed unanswered.
	Channels int
	// Idle is how long a channel may be without a request; zero means five
	// minutes.
	Idle time.Duration
	// Rate is how many requests a second a unit may make in the long run, and
	// Burst how many at once; zero means 20, and 100. A payment makes about
	// ten. Further ones are answered with trade.CodeBusy.
	Rate, Burst float64
	// Handle is how long a request may wait for the ledger; zero means 20 s.
	Handle time.Duration
	// Upstream is how long the acquirer above may take for an answer; zero
	// means 15 s.
	Upstream time.Duration
	// Forwards is how many requests' messages go to the acquirer above at once of
	// those that it is owed; zero means one after another.
	Forwards int
	// Reply is how long writing an answer may take; zero means 10 s.
	Reply time.Duration
	// Evidence is how long evidence for a payment counts at most, from when it
	// was judged; zero means ten minutes.
	Evidence time.Duration
}

func (c *Config) complete() error {
	for _, f := range []struct {
		name string
		none bool
	}{
		{"Ledger", c.Ledger == nil},
		{"Registry", c.Registry == nil},
		{"Handshaker", c.Handshaker == nil},
		{"Verifier", c.Verifier == nil},
		{"Issuer", c.Issuer == nil && c.Upstream == nil},
		{"ServerKey", len(c.ServerKey) == 0},
	} {
		if f.none {
			return fmt.Errorf("%w: %s is empty and has no default", ErrConfig, f.name)
		}
	}
	if (c.Configuration == nil) != (len(c.ConfigKey) == 0) {
		return fmt.Errorf("%w: one of Configuration and ConfigKey is empty", ErrConfig)
	}
	if c.AcquirerID != "" && (len(c.AcquirerID) > 11 || c.AcquirerID[0] == '0' || strings.Trim(c.AcquirerID, "0123456789") != "") {
		return fmt.Errorf("%w: AcquirerID: want up to 11 digits that don't begin with a zero", ErrConfig)
	}
	if err := c.StandIn.check(); err != nil {
		return err
	}
	if err := c.Keys.check(); err != nil {
		return err
	}
	if c.Dialect == nil {
		c.Dialect = acquirer.Default()
	}
	if c.Limits.Channels <= 0 {
		c.Limits.Channels = 1024
	}
	if c.Limits.Idle <= 0 {
		c.Limits.Idle = 5 * time.Minute
	}
	if c.Limits.Handle <= 0 {
		c.Limits.Handle = 20 * time.Second
	}
	if c.Limits.Rate <= 0 {
		c.Limits.Rate = 20
	}
	if c.Limits.Burst <= 0 {
		c.Limits.Burst = max(100, c.Limits.Rate)
	}
	if c.Limits.Upstream <= 0 {
		c.Limits.Upstream = 15 * time.Second
	}
	if c.Limits.Forwards <= 0 {
		c.Limits.Forwards = 1
	}
	if c.Limits.Reply <= 0 {
		c.Limits.Reply = 10 * time.Second
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	if c.Intercept == nil {
		c.Intercept = func(Point) error { return nil }
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// Server is a payment server. It is safe for concurrent use. What it knows is in
// the ledger: two servers on one ledger are one.
type Server struct {
	c Config
	// bases are those of the newest generation.
	bases       bases
	generations generations
	// slots holds a token for each connection.
	slots    chan struct{}
	open     sync.WaitGroup
	rates    *rates
	counters counters
	// owed wakes Forward up.
	owed chan struct{}
	// lowers are the lower servers' lines, under lowerMu.
	lowerMu sync.Mutex
	lowers  []*Lower
}

// New composes a server. Errors wrap ErrConfig.
func New(c Config) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	b, err := c.Keys.bases()
	if err != nil {
		return nil, fmt.Errorf("%w: Keys: %w", ErrConfig, err)
	}
	g, err := c.Keys.generations()
	if err != nil {
		return nil, fmt.Errorf("%w: Keys.Earlier: %w", ErrConfig, err)
	}
	return &Server{c: c, bases: b, generations: g, slots: make(chan struct{}, c.Limits.Channels), owed: make(chan struct{}, 1), rates: newRates(c.Limits.Rate, c.Limits.Burst, c.Now)}, nil
}
