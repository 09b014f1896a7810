package payment

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c2"
	"github.com/payunit/payunit/cardreader/contactless/c3"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/trusted"
)

// cardSession is a kernel's session as the unit needs it: the contact kernel's
// or the contactless reader's.
type cardSession interface {
	authorizer
	Outcome() emv.Outcome
	Languages() []string
}

// authorizer is the session's part between the card and the issuer.
type authorizer interface {
	Decision() emv.Decision
	Authorize() emv.OnlineRequest
	Complete(ctx context.Context, r emv.HostResponse) (emv.Outcome, error)
}

var (
	_ cardSession = (*emv.Session)(nil)
	_ cardSession = (*contactless.Session)(nil)
)

// transaction is what the kernel is told.
func (p *run) transaction(n uint64, at time.Time) emv.Transaction {
	return emv.Transaction{
		Type:    p.kind.transaction,
		Amount:  p.trade.Amount,
		Other:   p.trade.Cashback,
		Counter: uint32(n % 1e8),
		Time:    at,
		// What may not be approved offline is not offered to the card.
		ForceOnline: p.online != "" && !p.u.c.Terminal.Type.OnlineOnly(),
	}
}

// newTap makes the contactless reader of the terminal's applications.
func (u *Unit) newTap() (*contactless.Reader, error) {
	var list []contactless.Combination
	for i := range u.c.Terminal.Applications {
		a := &u.c.Terminal.Applications[i]
		if a.Contactless == nil {
			continue
		}
		k, err := u.tapKernel(a)
		if err != nil {
			return nil, err
		}
		list = append(list, contactless.Combination{
			AID: a.AID, Kernel: contactless.KernelID([]byte{a.Contactless.Kernel}), Settings: contactless.SettingsOf(a.Contactless), Run: k,
		})
	}
	return contactless.New(contactless.Config{
		Terminal: u.c.Terminal, Combinations: list, Observe: u.kernelEvent, Rand: u.c.Rand, Now: u.c.Now,
	}, u.pin)
}

// tornRecords is how many torn transactions kernel 2 keeps.
const tornRecords = 4

// tapKernel makes the kernel of one application.
func (u *Unit) tapKernel(a *emv.Application) (contactless.Kernel, error) {
	t := a.Contactless
	switch t.Kernel {
	case 2:
		return c2.New(c2.Config{
			CAKeys: u.c.CAKeys, Application: *a, Accounts: t.Accounts, Relay: &c2.Relay{}, TornRecords: tornRecords, ReadBalance: true, Exceptions: u.exceptions(),
			TransactionLimit: t.TransactionLimit, DeviceLimit: t.DeviceLimit, FloorLimit: t.FloorLimit, CVMLimit: t.CVMLimit,
		})
	case 3:
		return c3.New(c3.Config{
			CAKeys: u.c.CAKeys, Exceptions: u.exceptions(), Accounts: t.Accounts, CheckCash: t.CheckCash, CheckCashback: t.CheckCashback,
			Programs: programs(t),
		})
	}
	return nil, fmt.Errorf("application %X: contactless kernel %d is not there", a.AID, a.Contactless.Kernel)
}

// programs are kernel 3's limits by card programme.
func programs(t *emv.Tap) []c3.Program {
	var out []c3.Program
	for _, p := range t.Programs {
		out = append(out, c3.Program{ID: p.ID, Settings: contactless.SettingsOfProgram(p)})
	}
	return out
}

// tap runs the payment on the contactless reader. It reports false where there
// is none, or where the card is to be inserted instead and can be.
func (p *run) tap(ctx context.Context) (bool, error) {
	if p.u.tap == nil {
		return false, nil
	}
	n, err := p.u.c.Storage.Next(ctx, "transaction")
	if err != nil {
		return false, fmt.Errorf("payment: transaction sequence counter: %w", err)
	}
	began := p.u.c.Now()
	people := p.u.pin.people
	r := p.u.tap.Showing(func(r contactless.UIRequest) { p.show(ctx, r) })
	s, err := r.Pay(ctx, waited{p.u.c.TapReader, p}, p.transaction(n, began))
	p.timing.Card += p.u.c.Now().Sub(began) - (p.u.pin.people - people)
	switch {
	case errors.Is(err, emv.ErrCancelled):
		return false, err
	case errors.Is(err, cardreader.ErrOther) && p.u.c.Reader != nil:
		p.u.tell(PhaseCard, "a card was inserted")
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%w: %w", ErrCard, err)
	}
	forget := func() {
		if err := s.Close(); err != nil {
			p.u.tell(PhaseCard, "switching the field off: %v", err)
		}
	}
	switch s.Final().Kind {
	case contactless.TryAnotherInterface, contactless.EndApplication:
		why := s.Final().Kind.String()
		if o := s.Outcome(); len(o.Reasons) > 0 {
			why += ": " + o.Reasons[len(o.Reasons)-1]
		}
		forget()
		if p.u.c.Reader == nil {
			return false, fmt.Errorf("%w: the tap ended with %s", ErrCard, why)
		}
		p.u.tell(PhaseCard, "the tap ended with %s", why)
		return false, nil
	}
	p.emv, p.forget, p.how = s, forget, entryTap
	return true, nil
}

// waited is the contactless reader, with the wait for a card counted as the
// cardholder's.
type waited struct {
	cardreader.Reader
	p *run
}

// Connect implements cardreader.Reader.
func (w waited) Connect(ctx context.Context) (cardreader.Card, error) {
	u := w.p.u
	u.tell(PhaseCard, "wait for a card at %s", w.Name())
	began := u.c.Now()
	var card cardreader.Card
	err := u.within(ctx, PhaseInsert, u.c.Limits.Insert, func(ctx context.Context) (err error) {
		card, err = w.Reader.Connect(ctx)
		return err
	})
	took := u.c.Now().Sub(began)
	u.pin.spend(took)
	if err == nil {
		u.c.Observe(Event{Phase: PhaseCard, Step: "reset", Text: fmt.Sprintf("card in the field, ATR %X", card.ATR()), Took: took})
	}
	return card, err
}

// notices are the trusted user interface's messages for a contactless reader's.
var notices = map[contactless.MessageID]trusted.Message{
	contactless.MessageApproved:         trusted.MessageApproved,
	contactless.MessageNotAuthorised:    trusted.MessageDeclined,
	contactless.MessageProcessingError:  trusted.MessageCardError,
	contactless.MessageRemoveCard:       trusted.MessageRemoveCard,
	contactless.MessagePresentCard:      trusted.MessagePresentCard,
	contactless.MessageProcessing:       trusted.MessageReadingCard,
	contactless.MessageCardReadOK:       trusted.MessageCardRead,
	contactless.MessageInsertOrSwipe:    trusted.MessageInsertNow,
	contactless.MessageOneCardOnly:      trusted.MessageOneCardOnly,
	contactless.MessageApprovedSign:     trusted.MessageSignRequired,
	contactless.MessageAuthorising:      trusted.MessageAuthorizing,
	contactless.MessageInsertSwipeOrTry: trusted.MessageOtherCard,
	contactless.MessageInsertCard:       trusted.MessageInsertNow,
	contactless.MessageSeePhone:         trusted.MessageSeePhone,
	contactless.MessagePresentCardAgain: trusted.MessagePresentAgain,
}

// show gives a user interface request of the reader to the trusted user
// interface: the message, the lights, the tone. How the payment ended is the
// unit's to say, after the server has.
func (p *run) show(ctx context.Context, r contactless.UIRequest) {
	m, ok := notices[r.Message]
	if !ok || m == trusted.MessageApproved || m == trusted.MessageDeclined || m == trusted.MessageAuthorizing {
		return
	}
	params := map[string]string{
		"id": fmt.Sprintf("%02X", byte(r.Message)), "status": r.Status.String(), "lights": strconv.Itoa(r.Status.Lights()), "tone": r.Status.Tone().String(),
	}
	if r.Qualifier != contactless.ValueNone {
		params["amount"] = r.Value.String()
	}
	p.notifyWith(ctx, m, params)
}
