// Package emv is an EMV contact kernel: application selection, and the steps of
// a transaction from GET PROCESSING OPTIONS to the second GENERATE AC and the
// issuer's scripts (EMV 4.4 Books 1 to 4), a file a step.
//
// A transaction is three calls, so that its owner can write down what it is
// about to do before it goes online: Kernel.Start runs to the first GENERATE AC;
// Session.Authorize says what to ask the issuer; Session.Complete runs the
// rest. The kernel asks for a PIN, a choice and keys through interfaces of its
// own, and keeps no card data after Session.Close.
//
// It has no biometric verification and no PIN encipherment on elliptic curves
// (Book 2, 13), and leaves the character sets that a display lacks to the label;
// CDA is asked for with every ARQC and TC (mode 1 of Book 4, 6.3.2). Card data
// that breaks a rule ends the session with a typed error; what card, terminal or
// issuer decide is an Outcome.
package emv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
)

// CAKeys gives certification authority keys; *oda.Store is one.
type CAKeys interface {
	CAKey(rid oda.RID, index byte) (oda.CAKey, bool)
	// Revoked reports whether an issuer certificate is on the revocation
	// list.
	Revoked(rid oda.RID, index byte, serial [3]byte) bool
}

// Candidate is an application that card and terminal have in common.
type Candidate struct {
	AID []byte
	// Label is tag 50. PreferredName is 9F12, empty when the terminal lacks
	// its character set, which CodeTable names (the part of ISO/IEC 8859, 0
	// for none). Both are UTF-8 without control characters.
	Label         string
	PreferredName string
	CodeTable     int
	// Priority is 1 (highest) to 15; 0 is none.
	Priority int
	// Confirm asks for the cardholder's word before the application is used.
	Confirm bool
	// Languages are what the cardholder prefers (5F2D), ISO 639-1, best first.
	Languages []string
}

// Name is what to show: the preferred name, else the label, else the AID in hex
// (Book 4, 11.3).
func (c Candidate) Name() string {
	switch {
	case c.PreferredName != "":
		return c.PreferredName
	case c.Label != "":
		return c.Label
	}
	return fmt.Sprintf("%X", c.AID)
}

// Chooser lets the cardholder choose among applications, in order of priority;
// it returns an index of list. It is asked about a list of one too: an
// application that is not to be used without the cardholder's word, or one that
// takes the place of another that was chosen and can't be used (Book 1, 12.4).
// ErrCancelled when the cardholder gives up.
type Chooser interface {
	Choose(ctx context.Context, list []Candidate) (int, error)
}

// PINMethod is how a PIN is verified.
type PINMethod uint8

// The methods.
const (
	OnlinePIN         PINMethod = iota + 1 // enciphered, verified by the issuer
	OfflinePlaintext                       // given to the card in clear
	OfflineEnciphered                      // given to the card under its key
)

// String returns the method in words.
func (m PINMethod) String() string {
	switch m {
	case OnlinePIN:
		return "online PIN"
	case OfflinePlaintext:
		return "offline plaintext PIN"
	case OfflineEnciphered:
		return "offline enciphered PIN"
	}
	return "no PIN method"
}

// PINRequest asks for a PIN.
type PINRequest struct {
	Method PINMethod
	// PAN binds an online PIN block; it is the session's and not to be kept.
	PAN secret.PAN
	// Card and Key are for offline PIN; Key is nil for plaintext.
	Card cardreader.Card
	Key  *oda.PublicKey
	// TriesLeft is the PIN try counter, -1 when it is not known.
	TriesLeft int
	// Attempt counts this transaction's entries from 0.
	Attempt int
	Amount  money.Amount
	// Label is the application's name for the screen.
	Label string
	// Languages are what the cardholder prefers (5F2D), ISO 639-1, best first.
	Languages []string
}

// PINEntry says what became of the entry.
type PINEntry uint8

// The ways in which an entry ends. The zero value is none, and taken for a pad
// that failed.
const (
	PINEntered PINEntry = iota + 1
	PINBypassed
	PINPadFailed
)

// PINResult is the end of a PIN entry. Status is the card's answer to VERIFY.
type PINResult struct {
	Entry  PINEntry
	Status apdu.Status
}

// PINVerifier takes a PIN. It returns ErrCancelled when the cardholder ends the
// payment, and an error that wraps oda.ErrFailed when a PIN can't be enciphered:
// GET CHALLENGE gave anything but 9000 with eight bytes, or the key is not fit.
// The method has failed then, not the transaction.
type PINVerifier interface {
	VerifyPIN(ctx context.Context, r PINRequest) (PINResult, error)
}

// ExceptionFile knows cards that are not to be accepted (Book 3, 10.6).
type ExceptionFile interface {
	Listed(pan secret.PAN, psn string) bool
}

// TransactionLog sums up what was approved for a PAN recently, for floor limits
// against split sales (Book 3, 10.6.1). It returns minor units of c.
type TransactionLog interface {
	Recent(pan secret.PAN, psn string, c money.Currency) int64
}

// Event says what the kernel does, in words without secrets.
type Event struct {
	Step Step
	Text string
	Took time.Duration
}

// Step names the steps of a transaction as Book 3, 10 does.
type Step string

// The steps.
const (
	StepSelect       Step = "application selection"
	StepInitiate     Step = "initiate application processing"
	StepRead         Step = "read application data"
	StepODA          Step = "offline data authentication"
	StepRestrictions Step = "processing restrictions"
	StepCVM          Step = "cardholder verification"
	StepRisk         Step = "terminal risk management"
	StepAction       Step = "terminal action analysis"
	StepGenerate     Step = "first GENERATE AC"
	StepIssuerAuth   Step = "issuer authentication"
	StepScript       Step = "issuer script processing"
	StepComplete     Step = "second GENERATE AC"
)

// Config configures a kernel.
type Config struct {
	Terminal Terminal
	// CAKeys has no default: an empty *oda.Store authenticates no card.
	CAKeys CAKeys
	// PIN and Chooser have no default.
	PIN     PINVerifier
	Chooser Chooser
	// Exceptions and Log may be nil.
	Exceptions ExceptionFile
	Log        TransactionLog
	// Observe may be nil.
	Observe func(Event)
	// Rand is the source of unpredictable numbers; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Kernel runs transactions. It does not change; sessions of several goroutines
// may run at once as far as Config's modules allow.
type Kernel struct{ c Config }

// New makes a kernel. Errors wrap ErrConfig.
func New(c Config) (*Kernel, error) {
	switch {
	case c.CAKeys == nil:
		return nil, fmt.Errorf("%w: CAKeys is nil and has no default", ErrConfig)
	case c.PIN == nil:
		return nil, fmt.Errorf("%w: PIN is nil and has no default", ErrConfig)
	case c.Chooser == nil:
		return nil, fmt.Errorf("%w: Chooser is nil and has no default", ErrConfig)
	}
	if err := c.Terminal.check(); err != nil {
		return nil, err
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	// The sets are read during transactions: the caller's slice may change.
	c.Terminal.Applications = slices.Clone(c.Terminal.Applications)
	return &Kernel{c: c}, nil
}

// Transaction is what is to be paid.
type Transaction struct {
	// Type is tag 9C, the first two digits of the processing code as coded:
	// 0x00 goods and services, 0x01 cash, 0x09 with cashback, 0x20 refund.
	Type byte
	// Amount includes Other.
	Amount money.Amount
	// Other is the cash of a purchase with cashback; its zero value is none.
	Other money.Amount
	// Counter is tag 9F41.
	Counter uint32
	// ForceOnline is the merchant's wish (Book 3, 10.6).
	ForceOnline bool
	// Time is the local date and time; zero means Config.Now.
	Time time.Time
}

// Start runs a transaction on a powered card up to the first GENERATE AC, and
// past it when its cryptogram does not verify. The session is to be closed.
// Errors: *CardError, *StatusError, ErrCardBlocked, ErrNoApplication,
// ErrCancelled, those of the card and of Config's modules, and ErrConfig for a
// Transaction that can't be expressed.
func (k *Kernel) Start(ctx context.Context, c cardreader.Card, t Transaction) (*Session, error) {
	s, err := k.session(c, t)
	if err != nil {
		return nil, err
	}
	if err := s.run(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		s.selectAndInitiate,
		s.readRecords,
		s.authenticateData,
		s.restrictions,
		s.verifyCardholder,
		s.manageRisk,
		s.analyse,
		s.generateFirst,
	} {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("emv: %w", err)
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// errNext sends the transaction back to application selection.
var errNext = errors.New("emv: try the next application")
