package main

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// The values of -entry.
const (
	entryChip     = "chip"
	entryStripe   = "stripe"
	entryFallback = "fallback"
	entryManual   = "manual"
)

// entryPolicy is what the bank in this process grants.
func (o options) entryPolicy() trade.EntryPolicy {
	return trade.EntryPolicy{
		Stripe: o.swipes(), Fallback: o.entry == entryFallback, Manual: o.entry == entryManual,
	}
}

// swipes reports whether the unit has a reader of stripes.
func (o options) swipes() bool { return o.entry == entryStripe || o.entry == entryFallback }

// tipPercent is how large a tip the bank in this process lets the cardholder add.
func (o options) tipPercent() int {
	if o.tip.Minor == 0 {
		return 0
	}
	return 100
}

// deadChip is a reader in which no chip answers.
type deadChip struct{ cardreader.Reader }

// Connect returns cardreader.ErrCardMute.
func (d deadChip) Connect(ctx context.Context) (cardreader.Card, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("pay: -entry fallback: %w", cardreader.ErrCardMute)
}

// entered has the software card used as -entry says: it is kept out of the chip
// reader until the unit wants its chip, or its chip is dead.
func (d *demonstration) entered(r cardreader.Reader) (cardreader.Reader, magstripe.Reader) {
	switch d.o.entry {
	case entryFallback:
		return deadChip{r}, d.card.StripeReader("stripe reader")
	case entryStripe:
		d.slot.Remove()
		return r, d.card.StripeReader("stripe reader")
	case entryManual:
		d.slot.Remove()
	}
	return r, nil
}

// event shows an event, and puts a card in whose chip the unit wants.
func (d *demonstration) event(e payment.Event) {
	d.screen.event(e)
	if e.Step == payment.StepChipFirst && d.slot != nil {
		d.slot.Insert()
	}
}

// keyed is what the scripted cardholder enters by hand.
func (d *demonstration) keyed() (k trusted.KeyedCard, err error) {
	if d.o.entry == entryManual {
		k.PAN, k.Expiry, k.CVV2, err = d.card.Printed()
	}
	return k, err
}
