package payment

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/trusted"
)

// entry is how the card's data came.
type entry uint8

const (
	entryChip entry = iota
	entryTap
	entryStripe
	entryFallback
	entryManual
)

// entries are the words of results and receipts, and DE 22 of ISO 8583:1987, with
// PIN entry capability.
var entries = [...]struct{ word, mode string }{
	entryChip:     {"chip", acquirer.EntryChip + "1"},
	entryTap:      {"contactless", acquirer.EntryContactless + "1"},
	entryStripe:   {"magnetic stripe", acquirer.EntryTrack + "1"},
	entryFallback: {"fallback", acquirer.EntryFallback + "1"},
	entryManual:   {"manual", acquirer.EntryManual + "1"},
}

// chip reports whether a chip gave the data, inserted or tapped.
func (e entry) chip() bool { return e == entryChip || e == entryTap }

// defaultChipAttempts is Config.ChipAttempts when it is zero.
const defaultChipAttempts = 3

// StepChipFirst is the Step of the event that tells that a card was swiped whose
// chip is to be read.
const StepChipFirst = "chip first"

// badReads is how often a swipe may be read, or a number entered, badly.
const badReads = 3

// ways are where a card's data may come from while the unit waits.
type ways struct {
	chip, stripe, keys bool
	// again: what was entered by hand last was no card's number.
	again bool
}

// present waits for a card at the chip reader or, as far as the server's policy
// goes, at the stripe reader or on the trusted user interface, and reads it. A card
// that has a chip is read by its chip; its stripe counts only after the chip could
// not be read, never after it spoke against the payment.
func (p *run) present(ctx context.Context) error {
	policy := p.trade.Entry
	_, keys := p.u.c.UI.(trusted.CardKeyer)
	swipes := p.u.c.Stripe != nil
	from := ways{chip: true, stripe: swipes && policy.Stripe, keys: keys && policy.Manual}
	failures, bad := 0, 0
	notice := trusted.MessageInsertCard
	for {
		if from.stripe && notice == trusted.MessageInsertCard {
			notice = trusted.MessageInsertOrSwipe
		}
		got, err := p.await(ctx, notice, from)
		from.again = errors.Is(err, errKeyed)
		switch {
		case (errors.Is(err, magstripe.ErrTrack) || from.again) && bad < badReads-1:
			bad++
			p.notify(ctx, trusted.MessageCardError)
			continue
		case err != nil:
		case !got.keyed.PAN.IsZero():
			return p.keyed(got.keyed)
		case got.card == nil:
			if !got.stripe.ServiceCode().Chip() {
				return p.swiped(ctx, got.stripe, entryStripe)
			}
			got.stripe.Wipe()
			p.u.c.Observe(Event{Phase: PhaseCard, Step: StepChipFirst, Text: "the stripe says that the card has a chip, which is to be used"})
			from, notice = ways{chip: true}, trusted.MessageInsertNow
			continue
		default:
			err = p.runKernel(ctx)
		}
		if err == nil || !p.unreadable(ctx, err) || !swipes || !policy.Fallback {
			return err
		}
		p.putBack()
		if failures++; failures < p.u.c.ChipAttempts && !errors.Is(err, emv.ErrNoApplication) {
			p.u.tell(PhaseCard, "the chip could not be read, %d of %d: %v", failures, p.u.c.ChipAttempts, err)
			p.notify(ctx, trusted.MessageCardError)
			continue
		}
		p.u.tell(PhaseCard, "the chip can't be read, its stripe is to be: %v", err)
		return p.fallBack(ctx, err)
	}
}

// putBack lets go of the card in the reader.
func (p *run) putBack() {
	if p.card == nil {
		return
	}
	if err := p.card.Close(); err != nil {
		p.u.tell(PhaseCard, "powering the card down: %v", err)
	}
	p.card = nil
}

// unreadable reports whether a chip could not be read: it does not answer, answers
// with what is no card's, or has no application in common with the terminal. A
// card that was taken out, or is blocked, or lets its application not be used, was
// read; so was one that has come as far as the cardholder's verification. What
// fails on this side, the reader, its service, the screen, says nothing of a chip:
// whoever brings that about, the app for one, has no stripe read for it.
func (p *run) unreadable(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !errors.Is(err, ErrCard) || !p.u.early() {
		return false
	}
	for _, no := range []error{errChoice, emv.ErrCardBlocked, emv.ErrNotUsable, cardreader.ErrCardRemoved} {
		if errors.Is(err, no) {
			return false
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		var late *TimeoutError
		return errors.As(err, &late) && late.Phase == PhaseCard
	}
	for _, yes := range []error{cardreader.ErrCardMute, cardreader.ErrProtocol, emv.ErrCard, emv.ErrNoApplication} {
		if errors.Is(err, yes) {
			return true
		}
	}
	return false
}

// early reports whether the kernel has not come beyond reading the card's data.
func (u *Unit) early() bool {
	switch u.step {
	case "", emv.StepSelect, emv.StepInitiate, emv.StepRead:
		return true
	}
	return false
}

// fallBack reads the stripe in the chip's place; failure is why the chip could not
// be read.
func (p *run) fallBack(ctx context.Context, failure error) error {
	for bad := 0; ; bad++ {
		got, err := p.await(ctx, trusted.MessageSwipeCard, ways{stripe: true})
		switch {
		case errors.Is(err, magstripe.ErrTrack) && bad < badReads-1:
			p.notify(ctx, trusted.MessageCardError)
		case err != nil:
			return err
		case got.stripe.ServiceCode().Chip():
			return p.swiped(ctx, got.stripe, entryFallback)
		case p.trade.Entry.Stripe:
			return p.swiped(ctx, got.stripe, entryStripe)
		default:
			got.stripe.Wipe()
			return failure
		}
	}
}

// await waits for a card. A chip that comes is p.card too, powered.
func (p *run) await(ctx context.Context, notice trusted.Message, from ways) (taken, error) {
	p.u.step = ""
	if !from.stripe && !from.keys {
		err := p.insert(ctx, notice)
		return taken{card: p.card}, err
	}
	p.notify(ctx, notice)
	p.u.tell(PhaseCard, "wait for a card: %s", p.u.where(from))
	began := p.u.c.Now()
	var got taken
	err := p.u.within(ctx, PhaseInsert, p.u.c.Limits.Insert, func(ctx context.Context) (err error) {
		got, err = p.first(ctx, from)
		return err
	})
	waited := p.u.c.Now().Sub(began)
	switch {
	case err != nil:
		p.u.pin.spend(waited)
		if errors.Is(err, trusted.ErrCancelled) {
			return taken{}, err
		}
		return taken{}, fmt.Errorf("%w: waiting for it: %w", ErrCard, err)
	case got.card != nil:
		p.powered(ctx, got.card, waited)
	case !got.keyed.PAN.IsZero():
		p.u.pin.spend(waited)
		p.u.c.Observe(Event{Phase: PhaseCard, Step: "manual entry", Text: "the card's number was entered by hand", Took: waited})
	default:
		p.u.c.Observe(Event{Phase: PhaseCard, Step: "swipe", Text: "card swiped, service code " + string(got.stripe.ServiceCode()), Took: waited})
	}
	return got, nil
}

// where names the ways in words.
func (u *Unit) where(from ways) string {
	var list []string
	if from.chip {
		list = append(list, u.c.Reader.Name())
	}
	if from.stripe {
		list = append(list, u.c.Stripe.Name())
	}
	if from.keys {
		list = append(list, "entry by hand")
	}
	return strings.Join(list, ", ")
}

// taken is what the cardholder gave: one of the three, or an error.
type taken struct {
	card   cardreader.Card
	stripe magstripe.Stripe
	keyed  trusted.KeyedCard
	err    error
	// way is where it came from, counted as they are asked.
	way int
}

// before reports whether t counts and o does not. It does not matter which was
// first to be noticed: a payment that is played again takes the same.
func (t taken) before(o taken) bool {
	if t.rank() != o.rank() {
		return t.rank() < o.rank()
	}
	return t.way < o.way
}

// rank orders what came at once: a chip counts before a stripe, that before what
// was entered, that before an error, and last is what was only called off.
func (t taken) rank() int {
	switch {
	case errors.Is(t.err, context.Canceled), errors.Is(t.err, context.DeadlineExceeded):
		return 4
	case t.err != nil:
		return 3
	case t.card != nil:
		return 0
	case !t.stripe.Track2.IsZero():
		return 1
	}
	return 2
}

// drop lets go of what is not used.
func (t taken) drop() error {
	if t.err != nil {
		return nil
	}
	t.stripe.Wipe()
	t.keyed.PAN.Wipe()
	t.keyed.CVV2.Wipe()
	if t.card != nil {
		return t.card.Close()
	}
	return nil
}

// first waits for whichever comes first, and calls the others off. What came
// before it could be called off counts too.
func (p *run) first(ctx context.Context, from ways) (taken, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var waits []func() taken
	if from.chip {
		waits = append(waits, func() taken {
			c, err := p.u.c.Reader.Connect(ctx)
			return taken{card: c, err: err}
		})
	}
	if from.stripe {
		waits = append(waits, func() taken {
			s, err := p.u.c.Stripe.Swipe(ctx)
			return taken{stripe: s, err: err}
		})
	}
	if from.keys {
		waits = append(waits, func() taken {
			c, err := p.keyCard(ctx, from.again)
			return taken{keyed: c, err: err}
		})
	}
	found := make(chan taken, len(waits))
	for way, wait := range waits {
		go func() {
			t := wait()
			t.way = way
			found <- t
		}()
	}
	best := <-found
	stop()
	for range len(waits) - 1 {
		other := <-found
		if other.before(best) {
			best, other = other, best
		}
		if err := other.drop(); err != nil {
			p.u.tell(PhaseCard, "powering a card down: %v", err)
		}
	}
	return best, best.err
}
