package payment_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/acquirer/link"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// above is the line to the server above, which may be down.
type above struct {
	w    *world
	down atomic.Bool
}

func (a *above) Exchange(ctx context.Context, m *acquirer.Message) (*acquirer.Message, error) {
	if a.down.Load() {
		return nil, fmt.Errorf("%w: the line is down", link.ErrNotSent)
	}
	d := acquirer.Default()
	b, err := d.Pack(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", link.ErrNotSent, err)
	}
	there, err := d.Unpack(b)
	if err != nil {
		return nil, err
	}
	if answer := a.w.server.Acquire(ctx, there); answer != nil {
		return answer, nil
	}
	return nil, link.ErrNoAnswer
}

func (w *world) balance(account string) (minor int64) {
	w.t.Helper()
	err := w.ledger.View(w.ctx, func(tx ledger.Tx) (err error) {
		minor, err = tx.Balance(account, "EUR")
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return minor
}

// TestPaidByStandIn pays whole payments while the bank above is out of reach: one
// approved in its place, one over the limit, one with a PIN that it would have to
// verify; and tells it afterwards what was approved.
func TestPaidByStandIn(t *testing.T) {
	line := &above{w: newWorld(t)}
	line.down.Store(true)
	w := newWorld(t, func(c *host.Config) {
		c.Issuer, c.Upstream = nil, line
		c.StandIn = &host.StandIn{Limit: euros(t, 2000), Velocity: []issuer.Velocity{{Days: 1, Count: 2}}, Cards: []string{"476173"}}
	})
	cfg := plain()
	// A card that approves also where its issuer has not answered.
	cfg.reader = func(cardreader.Reader) cardreader.Reader {
		p, err := simcard.LookupProfile("nocvm")
		if err != nil {
			t.Fatal(err)
		}
		p.Applications[0].AuthOptional = true
		card, err := simcard.New(p, simcard.Options{PKI: pki(), Rand: counters{w}})
		if err != nil {
			t.Fatal(err)
		}
		return card.Reader("test")
	}
	r := w.rig(cfg)
	got := r.pay(w, "A-1")
	if got.Outcome != payment.Approved || len(got.AuthCode) != 6 || got.ResponseCode != "00" {
		t.Fatalf("%s, %s: %v %v", got.Outcome, got.ResponseCode, got.Reasons, w.events)
	}
	w.order("A-2", 2001)
	over, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-2"})
	if err != nil || over.Outcome != payment.Declined || over.ResponseCode != "91" {
		t.Errorf("over the limit: %s, %s, %v", over.Outcome, over.ResponseCode, err)
	}
	withPIN := w.rig(plain())
	if got := withPIN.pay(w, "A-3"); got.Outcome != payment.Declined || got.ResponseCode != "91" {
		t.Errorf("with a PIN: %s, %s", got.Outcome, got.ResponseCode)
	}
	w.audit()
	if paid, owes := w.state("A-1"), w.balance("upstream/standin"); paid != trade.Paid || owes != -1000 {
		t.Errorf("order is %s, the bank above owes %d", paid, -owes)
	}
	if owed, err := w.server.ForwardDue(t.Context()); err != nil || owed != 2 {
		t.Fatalf("%d messages are owed while the line is down, %v; want the advice and the completion", owed, err)
	}
	line.down.Store(false)
	w.mu.Lock()
	w.passed += 20 * 60 * 1e9
	w.mu.Unlock()
	if owed, err := w.server.ForwardDue(t.Context()); err != nil || owed != 0 {
		t.Fatalf("%d messages are owed, %v", owed, err)
	}
	line.w.audit()
	if got := line.w.balance("merchant/" + testMerchant); got != 1000 {
		t.Errorf("the bank above booked %d", got)
	}
	// From now on it decides itself.
	if got := r.pay(w, "A-4"); got.Outcome != payment.Approved {
		t.Errorf("afterwards: %s: %v", got.Outcome, got.Reasons)
	}
	if _, err := w.server.ForwardDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := line.w.balance("merchant/" + testMerchant); got != 2000 || w.balance("upstream/standin") != -1000 {
		t.Errorf("the bank above booked %d", got)
	}
	if r := w.audit(); r.Asked != 0 || r.Pending != 0 {
		t.Errorf("ledger %+v", r)
	}
}

// TestStandInRefusedByCard: a card that insists on its issuer declines what was
// approved in its place, and nothing is left of it.
func TestStandInRefusedByCard(t *testing.T) {
	line := &above{w: newWorld(t)}
	line.down.Store(true)
	w := newWorld(t, func(c *host.Config) {
		c.Issuer, c.Upstream = nil, line
		c.StandIn = &host.StandIn{Limit: euros(t, 2000), Velocity: []issuer.Velocity{{Days: 1, Count: 2}}, Cards: []string{"476173"}}
	})
	cfg := plain()
	cfg.profile = "nocvm"
	got := w.rig(cfg).pay(w, "A-1")
	if got.Outcome != payment.Declined || !got.Reversed {
		t.Errorf("%s, reversed %v: %v", got.Outcome, got.Reversed, got.Reasons)
	}
	line.down.Store(false)
	w.mu.Lock()
	w.passed += 20 * 60 * 1e9
	w.mu.Unlock()
	if owed, err := w.server.ForwardDue(t.Context()); err != nil || owed != 0 {
		t.Errorf("%d messages are owed, %v", owed, err)
	}
	if a, b := w.balance("upstream/standin"), line.w.balance("pending/"+testMerchant); a != 0 || b != 0 || w.state("A-1") != trade.Open {
		t.Errorf("the bank above owes %d, and waits for %d", -a, b)
	}
	line.w.audit()
	w.audit()
}
