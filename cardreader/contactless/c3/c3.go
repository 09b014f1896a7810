// Package c3 is the kernel for Visa's contactless cards and phones (EMV
// Contactless Book C-3, Kernel 3 Specification, 2.10): qVSDC, with fast dynamic
// data authentication, cardholder verification by card transaction qualifiers,
// dynamic reader limits and issuer update processing.
//
// It has no magnetic stripe mode: a card that has nothing else is not accepted. The
// check for cash machines (5.5.1.5), an option of theirs, is not there.
package c3

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
)

// Config configures the kernel for a combination.
type Config struct {
	// CAKeys has no default: an empty *oda.Store authenticates no card.
	CAKeys emv.CAKeys
	// Exceptions may be nil.
	Exceptions emv.ExceptionFile
	// Programs are the dynamic reader limits (Book C-3, 5.1): the settings for
	// cards of an application program, in place of the combination's.
	Programs []Program
	// CheckCash and CheckCashback have the application usage control checked
	// for cash and for cashback (5.5.1.3, 5.5.1.4).
	CheckCash, CheckCashback bool
	// Accounts are the beginnings that a card number of the combination's
	// scheme has, in digits; nil takes any. A card of another scheme behind
	// this one's AID is declined (Basin, Sasse, Toro-Pozo: Card Brand Mixup
	// Attack, USENIX Security 2021).
	Accounts []string
}

// Program is a set of dynamic reader limits.
type Program struct {
	// ID is the beginning of the application program identifier (9F5A) of the
	// cards that it is for.
	ID []byte
	// Settings are the flags and limits; the TTQ stay the combination's.
	Settings contactless.Settings
}

// Kernel is the kernel. It does not change, and may run several transactions at
// once as far as Config's modules allow.
type Kernel struct{ c Config }

var _ contactless.Kernel = (*Kernel)(nil)

// New makes a kernel. Errors wrap contactless.ErrConfig.
func New(c Config) (*Kernel, error) {
	if c.CAKeys == nil {
		return nil, fmt.Errorf("%w: CAKeys is nil and has no default", contactless.ErrConfig)
	}
	for i, p := range c.Programs {
		if len(p.ID) == 0 || len(p.ID) > 16 {
			return nil, fmt.Errorf("%w: program %d: identifier of %d bytes, want 1 to 16", contactless.ErrConfig, i+1, len(p.ID))
		}
	}
	c.Programs = slices.Clone(c.Programs)
	return &Kernel{c: c}, nil
}

// transaction is one run of the kernel.
type transaction struct {
	k    *Kernel
	a    *contactless.Activation
	d    *contactless.Data
	ttq  tags.TTQValue
	ctq  tags.CTQValue
	aip  tags.AIPValue
	kind tags.Cryptogram
	// hasCTQ: the card gave card transaction qualifiers.
	hasCTQ bool
	// decline and online are 'Decline Required by Reader' and 'Online Required
	// by Reader' (5.4.3.2).
	decline, online bool
	reasons         []string
}

// Activate implements contactless.Kernel.
func (k *Kernel) Activate(ctx context.Context, a *contactless.Activation) (contactless.Outcome, error) {
	if a.Issuer != nil && a.Before != nil {
		return k.update(ctx, a)
	}
	t := &transaction{k: k, a: a}
	out, err := t.run(ctx)
	if err != nil {
		t.d.Wipe()
		return contactless.Outcome{}, err
	}
	out.Reasons = append(t.reasons, out.Reasons...)
	if out.Data == nil {
		t.d.Wipe()
	}
	return out, nil
}

// run carries the transaction out. A breach of the book by the card ends the
// application, a card that is lost is tried again.
func (t *transaction) run(ctx context.Context) (contactless.Outcome, error) {
	d, err := contactless.NewData(t.a)
	if err != nil {
		return t.breach(err)
	}
	t.d = d
	if t.a.Indicators.TTQ == nil || !t.asksTTQ() {
		return t.selectNext("the card does not ask for the terminal's qualifiers")
	}
	if !t.limits() {
		return t.selectNext("contactless is not allowed under the limits for this card programme")
	}
	r, _, err := d.Options(ctx, t.a)
	if err != nil {
		return t.breach(err)
	}
	if out, ok := t.refused(r.SW); ok {
		return out, nil
	}
	if err := d.TakeOptions(r.Data); err != nil {
		return t.breach(err)
	}
	if err := d.ReadRecords(ctx, t.a); err != nil {
		return t.breach(err)
	}
	t.a.Show(contactless.UIRequest{Message: contactless.MessageCardReadOK, Status: contactless.StatusCardRead, Languages: d.Languages()})
	if err := t.check(); err != nil {
		return t.breach(err)
	}
	return t.decide(), nil
}

func (t *transaction) selectNext(why string) (contactless.Outcome, error) {
	return contactless.Outcome{Kind: contactless.SelectNext, Start: contactless.StartC, Reasons: []string{why}}, nil
}

// breach makes the outcome of an error of the card.
func (t *transaction) breach(err error) (contactless.Outcome, error) {
	switch {
	case contactless.Lost(err):
		return contactless.PresentAgain("the card was taken away before it was read"), nil
	case errors.Is(err, emv.ErrCard):
		return contactless.EndWith(err.Error()), nil
	}
	return contactless.Outcome{}, err
}

// refused judges the status of GET PROCESSING OPTIONS (5.2.2.2).
func (t *transaction) refused(sw apdu.Status) (contactless.Outcome, bool) {
	switch {
	case sw.OK():
		return contactless.Outcome{}, false
	case sw == 0x6984:
		return contactless.Outcome{
			Kind: contactless.TryAnotherInterface, Alternate: contactless.AlternateContact,
			UI:      &contactless.UIRequest{Message: contactless.MessageInsertCard, Status: contactless.StatusProcessingError},
			Reasons: []string{"the card wants to be inserted"},
		}, true
	case sw == apdu.StatusConditionsNotSatisfied:
		return contactless.Outcome{Kind: contactless.SelectNext, Start: contactless.StartC, Reasons: []string{"the card does not want this application now"}}, true
	case sw == 0x6986:
		return contactless.Outcome{
			Kind: contactless.TryAgain, Start: contactless.StartB,
			UI:        &contactless.UIRequest{Message: contactless.MessageSeePhone, Status: contactless.StatusProcessingError, Hold: seePhone},
			UIRestart: &contactless.UIRequest{Message: contactless.MessagePresentCardAgain, Status: contactless.StatusReadyToRead},
			FieldOff:  contactless.FieldOff{Requested: true, Hold: seePhone},
			Reasons:   []string{"the cardholder has to act on the device first"},
		}, true
	}
	return contactless.EndWith("GET PROCESSING OPTIONS was answered " + sw.String()), true
}

func (t *transaction) because(format string, args ...any) {
	t.reasons = append(t.reasons, fmt.Sprintf(format, args...))
}
