package payment_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// otherwise is an issuer that answers otherwise.
type otherwise struct {
	host.Issuer
	do func(*issuer.Decision)
}

func (o otherwise) Authorize(ctx context.Context, tx ledger.Tx, r issuer.Request) (issuer.Decision, error) {
	d, err := o.Issuer.Authorize(ctx, tx, r)
	o.do(&d)
	return d, err
}

// TestAnswersInDoubt: an answer that may stand for something booked, and is none
// that this unit takes, is taken back: a code that no table has, and a part of an
// amount with a tip.
func TestAnswersInDoubt(t *testing.T) {
	for _, c := range []struct {
		name   string
		tip    int64
		answer func(t *testing.T, d *issuer.Decision)
		code   string
	}{
		{"a code in no table", 0, func(_ *testing.T, d *issuer.Decision) { d.Code = "Z9" }, "Z9"},
		{"a part with a tip", 100, func(t *testing.T, d *issuer.Decision) { d.Code, d.Part = issuer.CodePartial, euros(t, 600) }, "10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, partials, func(hc *host.Config) {
				hc.Issuer = otherwise{hc.Issuer, func(d *issuer.Decision) { c.answer(t, d) }}
			})
			w.tips = 20
			rc := plain()
			rc.script.Tip = c.tip
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if err != nil || got.Outcome != payment.Declined || got.ResponseCode != c.code || !got.Reversed || got.CryptogramType != "AAC" {
				t.Errorf("%s, code %q, reversed %v, %s: %q, %v", got.Outcome, got.ResponseCode, got.Reversed, got.CryptogramType, got.Reasons, err)
			}
			if shown := r.holder.Confirmed(); len(shown) != 1 {
				t.Errorf("the cardholder agreed to %+v", shown)
			}
			if a := w.audit(); a.Pending != 0 || w.merchantBalance() != 0 || w.state("A-1") != trade.Open {
				t.Errorf("%d pending, the merchant has %d, the order is %s", a.Pending, w.merchantBalance(), w.state("A-1"))
			}
		})
	}
}

// chooses is a screen on which applications are chosen as it says.
type chooses struct {
	trusted.UI
	n   int
	err error
}

func (c chooses) Choose(context.Context, []string) (int, error) { return c.n, c.err }

// TestNoFallbackForTheScreen: what goes wrong as an application is chosen is no
// fault of the chip, whose stripe is not read for it.
func TestNoFallbackForTheScreen(t *testing.T) {
	broken := errors.New("the screen is broken")
	for _, c := range []struct {
		name string
		ui   chooses
		err  error
	}{
		{"fails", chooses{err: broken}, broken},
		{"nobody chooses", chooses{err: context.DeadlineExceeded}, context.DeadlineExceeded},
		{"none of the list", chooses{n: 2}, payment.ErrCard},
		{"below the list", chooses{n: -1}, payment.ErrCard},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.entry = trade.EntryPolicy{Fallback: true}
			var cards, swipes atomic.Int32
			rc := plain()
			rc.profile = "multi-app"
			rc.reader = func(r cardreader.Reader) cardreader.Reader { return inserted{r, false, &cards} }
			rc.config = func(pc *payment.Config) {
				pc.ChipAttempts = 1
				pc.Stripe = pulled{stripes(t, rc.profile), &swipes}
			}
			c.ui.UI = w.rig(plain()).holder
			rc.ui = c.ui
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if !errors.Is(err, payment.ErrCard) || !errors.Is(err, c.err) || got.Outcome != "" {
				t.Errorf("%s: error %v", got.Outcome, err)
			}
			if cards.Load() != 1 || swipes.Load() != 0 {
				t.Errorf("%d cards put in and %d swiped", cards.Load(), swipes.Load())
			}
		})
	}
}

// TestNoFallbackForTheReader: a reader that fails, or that another program holds,
// is no chip that can't be read.
func TestNoFallbackForTheReader(t *testing.T) {
	service := errors.New("the reader's service is not running")
	for _, c := range []struct {
		name     string
		err      error
		fallback bool
	}{
		{"its service stopped", service, false},
		{"none there", cardreader.ErrNoReader, false},
		{"held by another program", cardreader.ErrBusy, false},
		{"closed", cardreader.ErrClosed, false},
		{"the card was taken out", cardreader.ErrCardRemoved, false},
		{"the card does not answer", cardreader.ErrCardMute, true},
		{"the card breaks the protocol", cardreader.ErrProtocol, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.entry = trade.EntryPolicy{Fallback: true}
			var swipes atomic.Int32
			rc := plain()
			rc.reader = func(r cardreader.Reader) cardreader.Reader { return failing{r, c.err} }
			rc.config = func(pc *payment.Config) { pc.Stripe = pulled{stripes(t, rc.profile), &swipes} }
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			want := int32(0)
			if c.fallback {
				want = 1
			} else if !errors.Is(err, c.err) {
				t.Errorf("error %v", err)
			}
			if swipes.Load() != want || (got.Entry == "fallback") != c.fallback {
				t.Errorf("%d swipes, entry %q, %v", swipes.Load(), got.Entry, err)
			}
		})
	}
}

// failing is a reader that brings no card.
type failing struct {
	cardreader.Reader
	err error
}

func (f failing) Connect(context.Context) (cardreader.Card, error) { return nil, f.err }
