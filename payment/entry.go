package payment

import (
	"context"
	"errors"
	"fmt"

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

// badSwipes is how often a swipe may be read badly.
const badSwipes = 3

// present waits for a card at the chip reader or, as far as the server's policy
// goes, at the stripe reader, and reads it. A card that has a chip is read by its
// chip; its stripe counts only after the chip could not be read, never after it
// spoke against the payment.
func (p *run) present(ctx context.Context) error {
	policy := p.trade.Entry
	swipes := p.u.c.Stripe != nil
	anyway, failures, bad := swipes && policy.Stripe, 0, 0
	notice := trusted.MessageInsertCard
	for {
		if anyway && notice == trusted.MessageInsertCard {
			notice = trusted.MessageInsertOrSwipe
		}
		stripe, err := p.await(ctx, notice, true, anyway)
		switch {
		case errors.Is(err, magstripe.ErrTrack) && bad < badSwipes-1:
			bad++
			p.notify(ctx, trusted.MessageCardError)
			continue
		case err == nil && !stripe.Track2.IsZero():
			if !stripe.ServiceCode().Chip() {
				return p.swiped(ctx, stripe, entryStripe)
			}
			stripe.Wipe()
			p.u.tell(PhaseCard, "the stripe says that the card has a chip, which is to be used")
			anyway, notice = false, trusted.MessageInsertNow
			continue
		case err == nil:
			err = p.runKernel(ctx)
		}
		if err == nil || !p.unreadable(ctx, err) || !swipes || !policy.Fallback {
			return err
		}
		if failures++; failures < p.u.c.ChipAttempts && !errors.Is(err, emv.ErrNoApplication) {
			p.u.tell(PhaseCard, "the chip could not be read, %d of %d: %v", failures, p.u.c.ChipAttempts, err)
			p.notify(ctx, trusted.MessageCardError)
			p.putBack()
			continue
		}
		p.putBack()
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
// read; so was one that has come as far as the cardholder's verification.
func (p *run) unreadable(ctx context.Context, err error) bool {
	switch {
	case ctx.Err() != nil, !errors.Is(err, ErrCard),
		errors.Is(err, emv.ErrCardBlocked), errors.Is(err, emv.ErrNotUsable), errors.Is(err, cardreader.ErrCardRemoved),
		errors.Is(err, cardreader.ErrNoReader), errors.Is(err, cardreader.ErrBusy), errors.Is(err, magstripe.ErrTrack):
		return false
	case errors.Is(err, context.DeadlineExceeded):
		var late *TimeoutError
		return errors.As(err, &late) && late.Phase == PhaseCard && p.u.early()
	}
	return p.u.early()
}

// early reports whether the kernel has not come beyond reading the card's data.
func (u *Unit) early() bool {
	if u.pin.asked {
		return false
	}
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
		stripe, err := p.await(ctx, trusted.MessageSwipeCard, false, true)
		switch {
		case errors.Is(err, magstripe.ErrTrack) && bad < badSwipes-1:
			p.notify(ctx, trusted.MessageCardError)
		case err != nil:
			return err
		case stripe.ServiceCode().Chip():
			return p.swiped(ctx, stripe, entryFallback)
		case p.trade.Entry.Stripe:
			return p.swiped(ctx, stripe, entryStripe)
		default:
			stripe.Wipe()
			return failure
		}
	}
}

// await waits for a card at the chip reader, at the stripe reader, or at both.
// Without an error the card is p.card, or the stripe is not zero.
func (p *run) await(ctx context.Context, notice trusted.Message, chip, stripe bool) (magstripe.Stripe, error) {
	p.u.step = ""
	if !stripe {
		return magstripe.Stripe{}, p.insert(ctx, notice)
	}
	p.notify(ctx, notice)
	where := p.u.c.Stripe.Name()
	if chip {
		where = p.u.c.Reader.Name() + " or " + where
	}
	p.u.tell(PhaseCard, "wait for a card in %s", where)
	began := p.u.c.Now()
	var got taken
	err := p.u.within(ctx, PhaseInsert, p.u.c.Limits.Insert, func(ctx context.Context) (err error) {
		got, err = p.u.either(ctx, chip)
		return err
	})
	waited := p.u.c.Now().Sub(began)
	if err != nil {
		p.u.pin.spend(waited)
		return magstripe.Stripe{}, fmt.Errorf("%w: waiting for it: %w", ErrCard, err)
	}
	if got.card != nil {
		p.powered(ctx, got.card, waited)
		return magstripe.Stripe{}, nil
	}
	p.u.c.Observe(Event{Phase: PhaseCard, Step: "swipe", Text: "card swiped, service code " + string(got.stripe.ServiceCode()), Took: waited})
	return got.stripe, nil
}

// taken is what the cardholder gave.
type taken struct {
	card   cardreader.Card
	stripe magstripe.Stripe
	err    error
}

// either waits for whichever comes first, and calls the other reader off. A chip
// counts before a stripe where both came.
func (u *Unit) either(ctx context.Context, chip bool) (taken, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	found := make(chan taken, 2)
	n := 1
	go func() {
		s, err := u.c.Stripe.Swipe(ctx)
		found <- taken{stripe: s, err: err}
	}()
	if chip {
		n++
		go func() {
			c, err := u.c.Reader.Connect(ctx)
			found <- taken{card: c, err: err}
		}()
	}
	first := <-found
	stop()
	if n == 1 {
		return first, first.err
	}
	second := <-found
	if first.err == nil && second.err == nil && first.card == nil {
		first, second = second, first
	} else if first.err != nil && second.err == nil {
		// It came before it could be called off.
		first, second = second, first
	}
	if second.err == nil {
		second.stripe.Wipe()
		if second.card != nil {
			if err := second.card.Close(); err != nil {
				u.tell(PhaseCard, "powering a card down: %v", err)
			}
		}
	}
	return first, first.err
}
