package payment_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/scripted"
)

// gated is a chip reader whose card comes when the gate is open.
type gated struct {
	cardreader.Reader
	gate chan struct{}
}

func (g gated) Connect(ctx context.Context) (cardreader.Card, error) {
	select {
	case <-g.gate:
		return g.Reader.Connect(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inserted counts the cards that were put in; dead ones do not answer.
type inserted struct {
	cardreader.Reader
	dead  bool
	count *atomic.Int32
}

func (c inserted) Connect(ctx context.Context) (cardreader.Card, error) {
	c.count.Add(1)
	if c.dead {
		return nil, fmt.Errorf("test: %w", cardreader.ErrCardMute)
	}
	return c.Reader.Connect(ctx)
}

// pulled counts swipes.
type pulled struct {
	magstripe.Reader
	count *atomic.Int32
}

func (p pulled) Swipe(ctx context.Context) (magstripe.Stripe, error) {
	p.count.Add(1)
	return p.Reader.Swipe(ctx)
}

// stripes gives a rig a stripe reader with a card of its profile.
func stripes(t *testing.T, profile string) *simcard.StripeReader {
	t.Helper()
	p, err := simcard.LookupProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	card, err := simcard.New(p, simcard.Options{PKI: pki()})
	if err != nil {
		t.Fatal(err)
	}
	return card.StripeReader("stripe")
}

func TestEntry(t *testing.T) {
	all := trade.EntryPolicy{Stripe: true, Fallback: true}
	for _, c := range []struct {
		name, profile, faults string
		// chip is what the cardholder does with the chip: "in", "dead", "out", or
		// "later", after the stripe was read.
		chip      string
		policy    trade.EntryPolicy
		spoiled   int
		script    scripted.Script
		intercept func(host.Point) error
		outcome   payment.Outcome
		err       error
		code      string
		reversed  bool
		entry     string
		issuer    []issuer.Entry
		// cards and swipes are how often a card was put in and pulled through;
		// -1 where the reader may or may not have been called off.
		cards, swipes int32
		notices       []trusted.Message
		cvm           string
	}{
		{name: "stripe, signature", profile: "stripe", chip: "out", policy: all, outcome: payment.Approved, code: "00", entry: "magnetic stripe",
			issuer: []issuer.Entry{issuer.EntryStripe}, swipes: 1, notices: []trusted.Message{trusted.MessageInsertOrSwipe}, cvm: "SIGNATURE"},
		{name: "stripe, PIN", profile: "stripe-pin", chip: "out", policy: all, outcome: payment.Approved, code: "00", entry: "magnetic stripe",
			issuer: []issuer.Entry{issuer.EntryStripe}, swipes: 1, cvm: "PIN ENTERED"},
		{name: "stripe, wrong PIN", profile: "stripe-pin", chip: "out", policy: all, script: scripted.Script{PIN: secret.CopyBytes([]byte("9999"))},
			outcome: payment.Declined, code: "55", entry: "magnetic stripe", issuer: []issuer.Entry{issuer.EntryStripe}, swipes: 1},
		{name: "stripe, cancelled at the PIN", profile: "stripe-pin", chip: "out", policy: all, script: scripted.Script{CancelPIN: true}, outcome: payment.Cancelled, swipes: 1},
		{name: "a chip's stripe", profile: "default", chip: "later", policy: all, outcome: payment.Approved, code: "00", entry: "chip",
			issuer: []issuer.Entry{issuer.EntryChip}, cards: 1, swipes: 1, notices: []trusted.Message{trusted.MessageInsertOrSwipe, trusted.MessageInsertNow}, cvm: "PIN ENTERED"},
		{name: "dead chip", profile: "default", chip: "dead", policy: trade.EntryPolicy{Fallback: true}, outcome: payment.Approved, code: "00", entry: "fallback",
			issuer: []issuer.Entry{issuer.EntryFallback}, cards: 3, swipes: 1, notices: []trusted.Message{trusted.MessageInsertCard, trusted.MessageSwipeCard}, cvm: "SIGNATURE"},
		{name: "dead chip, no fallback", profile: "default", chip: "dead", policy: trade.EntryPolicy{Stripe: true}, err: payment.ErrCard, cards: -1, swipes: -1},
		{name: "dead chip, nothing granted", profile: "default", chip: "dead", err: payment.ErrCard, cards: 1},
		{name: "no application", profile: "stripe", chip: "in", policy: trade.EntryPolicy{Fallback: true}, err: payment.ErrCard, cards: 1, swipes: 1},
		{name: "mute while its records are read, once", profile: "default", chip: "in", faults: "mute@read-record:2", policy: trade.EntryPolicy{Fallback: true},
			outcome: payment.Approved, code: "00", entry: "chip", issuer: []issuer.Entry{issuer.EntryChip}, cards: 2, cvm: "PIN ENTERED"},
		{name: "malformed answers, always", profile: "default", chip: "in", faults: "malformed@gpo,mute@select,mute@select:2",
			policy: trade.EntryPolicy{Fallback: true}, outcome: payment.Approved, code: "00", entry: "fallback", issuer: []issuer.Entry{issuer.EntryFallback}, cards: 3, swipes: 1, cvm: "SIGNATURE"},
		{name: "mute at the cryptogram", profile: "default", chip: "in", faults: "mute@first-gac", policy: trade.EntryPolicy{Fallback: true}, err: payment.ErrCard, cards: 1},
		{name: "removed", profile: "default", chip: "in", faults: "remove@read-record:2", policy: trade.EntryPolicy{Fallback: true}, err: payment.ErrCard, cards: 1},
		{name: "the chip declines", profile: "decline", chip: "in", policy: trade.EntryPolicy{Fallback: true}, outcome: payment.Declined, entry: "chip", cards: 1},
		{name: "the bank declines the chip", profile: "low-balance", chip: "in", policy: trade.EntryPolicy{Fallback: true}, outcome: payment.Declined, code: "51", entry: "chip",
			issuer: []issuer.Entry{issuer.EntryChip}, cards: 1},
		{name: "blocked card", profile: "blocked-card", chip: "in", policy: trade.EntryPolicy{Fallback: true}, err: payment.ErrCard, cards: 1},
		{name: "blocked application", profile: "blocked-app", chip: "in", policy: trade.EntryPolicy{Fallback: true}, err: payment.ErrCard, cards: 1},
		{name: "bad swipes", profile: "stripe", chip: "out", policy: all, spoiled: 2, outcome: payment.Approved, code: "00", entry: "magnetic stripe",
			issuer: []issuer.Entry{issuer.EntryStripe}, swipes: 3, cvm: "SIGNATURE"},
		{name: "a stripe that can't be read", profile: "stripe", chip: "out", policy: all, spoiled: 3, err: payment.ErrCard, swipes: 3},
		{name: "fallback stripe that can't be read", profile: "default", chip: "dead", policy: trade.EntryPolicy{Fallback: true}, spoiled: 3, err: payment.ErrCard, cards: 3, swipes: 3},
		{name: "answer lost", profile: "stripe", chip: "out", policy: all, intercept: cuts(host.StageCommitted, 1), outcome: payment.Approved, code: "00", entry: "magnetic stripe",
			issuer: []issuer.Entry{issuer.EntryStripe}, swipes: 1, cvm: "SIGNATURE"},
		{name: "answer and answer to the repeat lost", profile: "stripe", chip: "out", policy: all, intercept: cuts(host.StageCommitted, 2), outcome: payment.Declined, reversed: true,
			entry: "magnetic stripe", issuer: []issuer.Entry{issuer.EntryStripe}, swipes: 1, cvm: "SIGNATURE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.entry = c.policy
			reader := stripes(t, c.profile)
			reader.Spoil(c.spoiled)
			var cards, swipes atomic.Int32
			gate := make(chan struct{})
			switch c.chip {
			case "in", "dead":
				close(gate)
			}
			rc := plain()
			rc.profile, rc.faults = c.profile, c.faults
			if c.script.PIN.Len() > 0 || c.script.CancelPIN {
				rc.script = c.script
			}
			rc.reader = func(r cardreader.Reader) cardreader.Reader {
				return gated{inserted{r, c.chip == "dead", &cards}, gate}
			}
			rc.config = func(pc *payment.Config) { pc.Stripe = pulled{reader, &swipes} }
			rc.observe = func(e payment.Event) {
				if c.chip == "later" && e.Step == payment.StepChipFirst {
					close(gate)
				}
			}
			r := w.rig(rc)
			w.intercept = c.intercept
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got.Outcome != c.outcome || got.ResponseCode != c.code || got.Reversed != c.reversed || got.Entry != c.entry {
				t.Errorf("%s, code %q, reversed %v, entry %q; want %s, %q, %v, %q: %v", got.Outcome, got.ResponseCode, got.Reversed, got.Entry, c.outcome, c.code, c.reversed, c.entry, got.Reasons)
			}
			if !slices.Equal(w.entries, c.issuer) {
				t.Errorf("the issuer was told %v, want %v", w.entries, c.issuer)
			}
			if c.cards >= 0 && cards.Load() != c.cards || c.swipes >= 0 && swipes.Load() != c.swipes {
				t.Errorf("%d cards put in and %d swiped, want %d and %d", cards.Load(), swipes.Load(), c.cards, c.swipes)
			}
			var asked []trusted.Message
			for _, n := range r.holder.Notices() {
				switch n.Message {
				case trusted.MessageInsertCard, trusted.MessageInsertOrSwipe, trusted.MessageInsertNow, trusted.MessageSwipeCard:
					asked = append(asked, n.Message)
				}
			}
			for _, want := range c.notices {
				if !slices.Contains(asked, want) {
					t.Errorf("asked %v, want %v among them", asked, want)
				}
			}
			state, held := trade.Open, int64(0)
			if c.outcome == payment.Approved {
				state, held = trade.Paid, 1234
			}
			if s := w.state("A-1"); s != state {
				t.Errorf("order is %s, want %s", s, state)
			}
			if a := w.audit(); a.Pending != 0 {
				t.Errorf("%d payments pending", a.Pending)
			}
			if b := w.merchantBalance(); b != held {
				t.Errorf("the merchant has %d, want %d", b, held)
			}
			named := c.entry
			if named == "fallback" {
				named = "magnetic stripe, chip failed"
			}
			if c.entry != "" && !strings.Contains(got.Receipt, named) {
				t.Errorf("the receipt does not name the entry %q:\n%s", c.entry, got.Receipt)
			}
			if c.cvm != "" && !strings.Contains(got.Receipt, c.cvm) {
				t.Errorf("the receipt does not say %q:\n%s", c.cvm, got.Receipt)
			}
			if c.entry == "fallback" || c.entry == "magnetic stripe" {
				if got.AID+got.TVR+got.TSI+got.CryptogramType+got.ODA+got.Label != "" || strings.Contains(got.MerchantReceipt, "TVR") {
					t.Errorf("a stripe with a chip's data: %+v", got)
				}
				if want := c.cvm == "SIGNATURE"; strings.Contains(got.MerchantReceipt, "\nSignature\n") != want {
					t.Errorf("a line to sign on: want %v in\n%s", want, got.MerchantReceipt)
				}
			}
			if f := r.final(); len(f) != 1 {
				t.Errorf("%d final events", len(f))
			}
			if rep, err := r.unit.Recover(t.Context()); err != nil || len(rep.Settled)+len(rep.Pending) != 0 {
				t.Errorf("something is owed: %+v, %v", rep, err)
			}
			if c.outcome == payment.Approved {
				if again, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || !again.Repeated || again.RRN != got.RRN || again.Entry != got.Entry {
					t.Errorf("paid again: %+v, %v", again, err)
				}
			}
		})
	}
}

// merchantBalance is what the ledger has for the merchant.
func (w *world) merchantBalance() int64 {
	w.t.Helper()
	var n int64
	if err := w.ledger.View(w.ctx, func(tx ledger.Tx) (err error) {
		n, err = tx.Balance("merchant/"+testMerchant, "EUR")
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// TestEntryNotGranted: what a unit does that the server does not grant, a unit
// that was granted it a moment ago among them, is not carried out.
func TestEntryNotGranted(t *testing.T) {
	w := newWorld(t)
	granted := trade.EntryPolicy{Stripe: true, Fallback: true, Manual: true}
	w.grants = func(n int) trade.EntryPolicy {
		if n == 1 {
			return granted
		}
		return trade.EntryPolicy{Fallback: true, Manual: true}
	}
	rc := plain()
	rc.profile = "stripe"
	rc.reader = func(r cardreader.Reader) cardreader.Reader { return gated{r, nil} }
	rc.config = func(pc *payment.Config) { pc.Stripe = stripes(t, "stripe") }
	r := w.rig(rc)
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || got.Outcome != payment.Declined || got.ResponseCode != "58" {
		t.Fatalf("%+v, %v", got, err)
	}
	if w.state("A-1") != trade.Open || len(w.entries) != 0 {
		t.Errorf("order %s, the issuer was asked %d times", w.state("A-1"), len(w.entries))
	}
}

// wrecked is a reader of chips and stripes that fails, at once or when it is called
// off.
type wrecked struct {
	err  error
	late bool
}

func (f wrecked) Name() string { return "wrecked" }

func (f wrecked) wait(ctx context.Context) error {
	if f.late {
		<-ctx.Done()
	}
	if f.err == nil {
		return ctx.Err()
	}
	return f.err
}

func (f wrecked) Connect(ctx context.Context) (cardreader.Card, error) { return nil, f.wait(ctx) }

func (f wrecked) Swipe(ctx context.Context) (magstripe.Stripe, error) {
	return magstripe.Stripe{}, f.wait(ctx)
}

// TestReadersFailAtOnce: of two readers that fail, the payment tells of the chip's,
// whichever was noticed first; of one that was only called off it tells nothing.
func TestReadersFailAtOnce(t *testing.T) {
	chip, stripe := fmt.Errorf("test: unplugged: %w", cardreader.ErrNoReader), errors.New("test: stripe reader broken")
	for _, c := range []struct {
		name         string
		chip, stripe wrecked
		want         error
	}{
		{"the chip's first", wrecked{err: chip}, wrecked{err: stripe, late: true}, chip},
		{"the stripe's first", wrecked{err: chip, late: true}, wrecked{err: stripe}, chip},
		{"the chip's called off", wrecked{late: true}, wrecked{err: stripe}, stripe},
		{"the stripe's called off", wrecked{err: chip}, wrecked{late: true}, chip},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.entry = trade.EntryPolicy{Stripe: true}
			rc := plain()
			rc.reader = func(cardreader.Reader) cardreader.Reader { return c.chip }
			rc.config = func(pc *payment.Config) { pc.Stripe = c.stripe }
			r := w.rig(rc)
			w.order("A-1", 1234)
			_, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if !errors.Is(err, payment.ErrCard) || errors.Is(err, chip) != errors.Is(c.want, chip) || errors.Is(err, stripe) != errors.Is(c.want, stripe) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
