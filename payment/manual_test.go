package payment_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// printedCard is what is printed on a profile's card.
func printedCard(t *testing.T, profile string) trusted.KeyedCard {
	t.Helper()
	p, err := simcard.LookupProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	card, err := simcard.New(p, simcard.Options{PKI: pki()})
	if err != nil {
		t.Fatal(err)
	}
	var k trusted.KeyedCard
	if k.PAN, k.Expiry, k.CVV2, err = card.Printed(); err != nil {
		t.Fatal(err)
	}
	return k
}

// enterBy makes a rig's card come another way than by its chip, and returns its
// number and its printed value.
func enterBy(t *testing.T, c *rigConfig, way string) (pan string, printed []byte) {
	t.Helper()
	k := printedCard(t, c.profile)
	switch way {
	case "fallback":
		c.reader = func(r cardreader.Reader) cardreader.Reader { return inserted{r, true, new(atomic.Int32)} }
		c.script.PIN = secret.CopyBytes([]byte(simcard.TestPIN))
		fallthrough
	case "stripe":
		s := stripes(t, c.profile)
		c.config = func(pc *payment.Config) { pc.Stripe = s }
		if way == "fallback" {
			// The swipe that comes while the chip is waited for is one too many.
			c.config = func(pc *payment.Config) { pc.Stripe, pc.ChipAttempts = s, 1 }
		}
	case "manual":
		c.script.Card = k
	}
	return string(k.PAN.Reveal()), k.CVV2.Reveal()
}

func TestManualEntry(t *testing.T) {
	granted := trade.EntryPolicy{Manual: true}
	for _, c := range []struct {
		name      string
		profile   string
		policy    trade.EntryPolicy
		alter     func(*trusted.KeyedCard)
		chip      string // "out" or "dead"
		intercept func(host.Point) error
		outcome   payment.Outcome
		err       error
		code      string
		reversed  bool
	}{
		{name: "with CVV2", policy: granted, outcome: payment.Approved, code: "00"},
		{name: "without CVV2", policy: granted, alter: func(k *trusted.KeyedCard) { k.CVV2 = secret.Bytes{} }, outcome: payment.Approved, code: "00"},
		{name: "wrong CVV2", policy: granted, alter: func(k *trusted.KeyedCard) { k.CVV2.Reveal()[0] = '0' + (k.CVV2.Reveal()[0]-'0'+1)%10 }, outcome: payment.Declined, code: "05"},
		{name: "another expiry", policy: granted, alter: func(k *trusted.KeyedCard) { k.Expiry = "3012" }, outcome: payment.Declined, code: "54"},
		{name: "expired", profile: "expired", policy: granted, outcome: payment.Declined, code: "54"},
		{name: "no money", profile: "low-balance", policy: granted, outcome: payment.Declined, code: "51"},
		{name: "a digit wrong", policy: granted, alter: func(k *trusted.KeyedCard) { k.PAN.Reveal()[9] ^= 1 }, err: payment.ErrCard},
		{name: "two digits exchanged", policy: granted, alter: func(k *trusted.KeyedCard) { d := k.PAN.Reveal(); d[2], d[3] = d[3], d[2] }, err: payment.ErrCard},
		{name: "month 13", policy: granted, alter: func(k *trusted.KeyedCard) { k.Expiry = "3113" }, err: payment.ErrCard},
		{name: "CVV2 of two digits", policy: granted, alter: func(k *trusted.KeyedCard) { k.CVV2 = secret.CopyBytes([]byte("12")) }, err: payment.ErrCard},
		{name: "not granted", policy: trade.EntryPolicy{Stripe: true, Fallback: true}, chip: "dead", err: payment.ErrCard},
		{name: "answer lost", policy: granted, intercept: cuts(host.StageCommitted, 1), outcome: payment.Approved, code: "00"},
		{name: "request and repeat lost", policy: granted, intercept: cuts(host.StageVerified, 2), outcome: payment.Declined, reversed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.entry, w.intercept = c.policy, c.intercept
			rc := plain()
			if c.profile != "" {
				rc.profile = c.profile
			}
			rc.script.Card = printedCard(t, rc.profile)
			if c.alter != nil {
				c.alter(&rc.script.Card)
			}
			rc.reader = func(r cardreader.Reader) cardreader.Reader {
				if c.chip == "dead" {
					return inserted{r, true, new(atomic.Int32)}
				}
				return gated{r, nil}
			}
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got.Outcome != c.outcome || got.ResponseCode != c.code || got.Reversed != c.reversed {
				t.Errorf("%s, code %q, reversed %v, want %s, %q, %v: %v", got.Outcome, got.ResponseCode, got.Reversed, c.outcome, c.code, c.reversed, got.Reasons)
			}
			if c.err == nil && (got.Entry != "manual" || !strings.Contains(got.Receipt, "keyed") || !strings.Contains(got.MerchantReceipt, "\nSignature\n") || got.AID+got.TVR != "") {
				t.Errorf("entry %q, AID %q, receipt\n%s", got.Entry, got.AID, got.MerchantReceipt)
			}
			if c.err == nil && c.name != "request and repeat lost" && !slices.Equal(w.entries, []issuer.Entry{issuer.EntryManual}) {
				t.Errorf("the issuer was told %v", w.entries)
			}
			held := int64(0)
			if c.outcome == payment.Approved {
				held = 1234
			}
			if b := w.merchantBalance(); b != held {
				t.Errorf("the merchant has %d, want %d", b, held)
			}
			if a := w.audit(); a.Pending != 0 {
				t.Errorf("%d payments pending", a.Pending)
			}
			if f := r.final(); len(f) != 1 {
				t.Errorf("%d final events", len(f))
			}
		})
	}
}

// TestCardBeforeHand: a card that is put in while a number may be entered ends the
// entry, and its chip counts.
func TestCardBeforeHand(t *testing.T) {
	w := newWorld(t)
	w.entry = trade.EntryPolicy{Manual: true}
	r := w.rig(plain())
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || got.Outcome != payment.Approved || got.Entry != "chip" {
		t.Errorf("%+v, %v", got, err)
	}
}
