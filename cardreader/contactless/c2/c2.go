// Package c2 is the kernel for Mastercard's contactless cards and phones (EMV
// Contactless Book C-2, Kernel 2 Specification, 2.10) in EMV mode: combined data
// authentication, the relay resistance protocol, verification by the cardholder's
// device or by the card's list and the reader's limits, terminal action analysis,
// torn transactions with RECOVER AC, balance reading.
//
// Magnetic stripe mode is not taken: a card that has nothing else is refused. It
// has no data storage (neither standalone nor integrated) and no data exchange:
// what a terminal has to say, it says before the card is there.
package c2

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// Config configures the kernel for a combination. The names in parentheses are
// the book's data objects.
type Config struct {
	// CAKeys has no default: an empty *oda.Store authenticates no card.
	CAKeys emv.CAKeys
	// Exceptions may be nil. A card on it has the terminal's bit in the TVR
	// (A.1.185), for the action codes to judge: the book leaves the file to
	// the terminal.
	Exceptions emv.ExceptionFile
	// Application has the terminal action codes (DF8120 to DF8122), the
	// version (9F09) and the risk data (9F1D).
	Application emv.Application
	// TransactionLimit (DF8124) and, where a device verifies its holder,
	// DeviceLimit (DF8125) are the highest amounts taken; FloorLimit (DF8123)
	// the highest without asking to go online, CVMLimit (DF8126) the highest
	// without verification. Nil is no limit.
	TransactionLimit, DeviceLimit, FloorLimit, CVMLimit *uint64
	// CVMRequired and CVMNotRequired are byte 2 of the terminal capabilities
	// above and up to the CVM limit (DF8118, DF8119). Zero takes the
	// terminal's, and "no CVM"; a PIN to be verified by the card is left out of
	// both.
	CVMRequired, CVMNotRequired byte
	// NoDeviceCVM leaves verification by devices out (DF811B, bit 6).
	NoDeviceCVM bool
	// Relay are the reader's numbers for the relay resistance protocol; nil
	// leaves it out (DF811B, bit 5).
	Relay *Relay
	// TornRecords is how many torn transactions are kept for recovery
	// (DF811D), zero none; TornLifetime for how long (DF811C), zero 300 s.
	TornRecords  int
	TornLifetime time.Duration
	// ReadBalance reads the card's balance before and after its cryptogram
	// (DF8104, DF8105), where the card tells it.
	ReadBalance bool
	// FieldOff is for how long the field stays off after the transaction of a
	// card that notices that (DF8130); zero is 1.3 s.
	FieldOff time.Duration
	// Hold is for how long messages stay (DF812D); zero is 1.3 s.
	Hold time.Duration
	// PhoneMessages is the phone message table (DF8131): what the cardholder is
	// told when the device asks for a second tap. Nil is the book's. Its last
	// entry has to fit everything.
	PhoneMessages []PhoneMessage
	// Accounts are the beginnings that a card number of the combination's
	// scheme has, in digits; nil takes any. A card of another scheme behind
	// this one's AID is declined (Basin, Sasse, Toro-Pozo: Card Brand Mixup
	// Attack, USENIX Security 2021).
	Accounts []string
}

// Defaults of Config (Book C-2, table 4.3).
const (
	defaultHold     = 1300 * time.Millisecond
	defaultFieldOff = 1300 * time.Millisecond
	defaultLifetime = 300 * time.Second
)

// Kernel is the kernel. It may run several transactions at once as far as
// Config's modules allow; the log of torn transactions is theirs together.
type Kernel struct {
	c    Config
	torn tornLog
}

var _ contactless.Kernel = (*Kernel)(nil)

// New makes a kernel. Errors wrap contactless.ErrConfig.
func New(c Config) (*Kernel, error) {
	switch {
	case c.CAKeys == nil:
		return nil, fmt.Errorf("%w: CAKeys is nil and has no default", contactless.ErrConfig)
	case c.TornRecords < 0:
		return nil, fmt.Errorf("%w: %d torn records", contactless.ErrConfig, c.TornRecords)
	}
	if c.PhoneMessages == nil {
		c.PhoneMessages = phoneMessages()
	}
	c.PhoneMessages = slices.Clone(c.PhoneMessages)
	if n := len(c.PhoneMessages); n == 0 || c.PhoneMessages[n-1].Mask != [3]byte{} || c.PhoneMessages[n-1].Value != [3]byte{} {
		return nil, fmt.Errorf("%w: the last phone message does not fit everything", contactless.ErrConfig)
	}
	if c.Hold <= 0 {
		c.Hold = defaultHold
	}
	if c.FieldOff <= 0 {
		c.FieldOff = defaultFieldOff
	}
	if c.TornLifetime <= 0 {
		c.TornLifetime = defaultLifetime
	}
	c.CVMRequired, c.CVMNotRequired = c.CVMRequired&^offlinePIN, c.CVMNotRequired&^offlinePIN
	if c.CVMNotRequired == 0 {
		c.CVMNotRequired = tags.CapNoCVM
	}
	c.Accounts = slices.Clone(c.Accounts)
	return &Kernel{c: c, torn: tornLog{max: c.TornRecords, life: c.TornLifetime}}, nil
}

// Close wipes the log of torn transactions.
func (k *Kernel) Close() { k.torn.clean() }

// The bits of byte 5 of the TVR that the kernel has (Book C-2, A.1.185).
const (
	tvrRelayNotPerformed tags.TVRBit = 0x0401
	tvrRelayPerformed    tags.TVRBit = 0x0402
	tvrRelayTimeLimits   tags.TVRBit = 0x0404
	tvrRelayThreshold    tags.TVRBit = 0x0408
)

// Bits of byte 2 of the AIP (Book C-2, A.1.16).
const (
	aipEMVMode byte = 0x80
	aipRelay   byte = 0x01
)

// transaction is one run of the kernel.
type transaction struct {
	k   *Kernel
	a   *contactless.Activation
	d   *contactless.Data
	aip tags.AIPValue
	// capabilities are the terminal's, byte 2 by the amount.
	capabilities tags.CapabilitiesValue
	// fieldOff: the card notices that the field goes off.
	fieldOff bool
	// device: the cardholder's device verifies its holder.
	device bool
	// cda: a combined signature is asked for; request is what is.
	cda     bool
	signed  bool
	request byte
	relay   *measurement

	pdol, cdol1 []byte
	cvm         contactless.CVM
	receipt     bool
	reasons     []string
}

// Activate implements contactless.Kernel.
func (k *Kernel) Activate(ctx context.Context, a *contactless.Activation) (contactless.Outcome, error) {
	t := &transaction{k: k, a: a}
	out, err := t.run(ctx)
	if err != nil {
		t.d.Wipe()
		return contactless.Outcome{}, err
	}
	out.Reasons = append(t.reasons, out.Reasons...)
	if t.fieldOff && out.Kind != contactless.SelectNext {
		out.FieldOff = contactless.FieldOff{Requested: true, Hold: k.c.FieldOff}
	}
	if out.Data == nil {
		t.d.Wipe()
	}
	return out, nil
}

// stop ends the run early with an outcome.
type stop struct{ out contactless.Outcome }

// Error implements error; a stop never leaves the package.
func (s stop) Error() string { return s.out.String() }

func (t *transaction) run(ctx context.Context) (contactless.Outcome, error) {
	d, err := contactless.NewData(t.a)
	if err != nil {
		// S1.8
		return t.selectNext(err.Error()), nil
	}
	t.d = d
	t.fieldOff = t.capability(aciFieldOff)
	for _, step := range []func(context.Context) error{
		t.terminal, t.options, t.resistRelay, t.read, t.check, t.restrict, t.chooseCVM, t.analyse,
	} {
		if err := step(ctx); err != nil {
			return t.ended(err)
		}
	}
	out, err := t.cryptogram(ctx)
	if err != nil {
		return t.ended(err)
	}
	return out, nil
}

// ended makes the outcome of what ended the run early: a rule's, a breach by the
// card, a card that was lost.
func (t *transaction) ended(err error) (contactless.Outcome, error) {
	var s stop
	switch {
	case errors.As(err, &s):
		return s.out, nil
	case contactless.Lost(err):
		return t.presentAgain("the card was taken away before it was read"), nil
	case errors.Is(err, emv.ErrCard):
		return t.invalid(err.Error()), nil
	}
	return contactless.Outcome{}, err
}

func (t *transaction) selectNext(why string) contactless.Outcome {
	return contactless.Outcome{Kind: contactless.SelectNext, Start: contactless.StartC, Reasons: []string{why}}
}

// presentAgain is the outcome for a card that was lost (S4.6, S9.10).
func (t *transaction) presentAgain(why string) contactless.Outcome {
	u := contactless.UIRequest{Message: contactless.MessagePresentCardAgain, Status: contactless.StatusReadyToRead}
	return contactless.Outcome{Kind: contactless.EndApplication, Start: contactless.StartB, UI: &u, UIRestart: &u, Reasons: []string{why}}
}

// invalid is the outcome for an answer that breaks a rule (S4.27, S910.50).
func (t *transaction) invalid(why string) contactless.Outcome {
	return contactless.Outcome{
		Kind:    contactless.EndApplication,
		UI:      &contactless.UIRequest{Message: contactless.MessageInsertSwipeOrTry, Status: contactless.StatusNotReady, Hold: t.k.c.Hold},
		Reasons: []string{why},
	}
}

func (t *transaction) because(format string, args ...any) {
	t.reasons = append(t.reasons, fmt.Sprintf(format, args...))
}

// over reports whether the amount is above a limit.
func (t *transaction) over(limit *uint64) bool {
	return limit != nil && uint64(max(t.a.Transaction.Amount.Minor, 0)) > *limit
}
