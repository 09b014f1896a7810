package payment_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
)

// withoutPIN is a unit that may approve offline, with a card that needs no PIN.
func withoutPIN() rigConfig {
	c := plain()
	c.profile = "nocvm"
	c.offline = payment.OfflineLimits{Count: 2, Minor: 6000, Age: time.Hour}
	return c
}

// TestOfflineApproval: under the floor limit the card approves by itself; the
// server gets the card's TC, checks it, and books it once.
func TestOfflineApproval(t *testing.T) {
	w := newWorld(t)
	r := w.rig(withoutPIN())
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Outcome != payment.Approved || got.CryptogramType != "TC" || got.ResponseCode != "Y1" || !strings.Contains(got.Receipt, "APPROVED (offline)") {
		t.Errorf("%+v", got)
	}
	if s := w.state("A-1"); s != trade.Paid {
		t.Errorf("order is %s", s)
	}
	if a := w.audit(); a.Pending != 0 || a.Authorisations != 1 {
		t.Errorf("ledger %+v", a)
	}
	again, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || !again.Repeated || again.RRN != got.RRN {
		t.Errorf("again: %+v, %v", again, err)
	}
	// Above it the bank is asked.
	w.order("A-2", 5001)
	if got, err = r.unit.Pay(t.Context(), payment.Order{ID: "A-2"}); err != nil || got.Outcome != payment.Approved || got.ResponseCode != "00" || strings.Contains(got.Receipt, "offline") {
		t.Errorf("above the floor limit: %+v, %v", got, err)
	}
	s, err := r.unit.CloseBatch(t.Context())
	if err != nil || len(s.Currencies) != 1 || !s.Currencies[0].Agreed || s.Currencies[0].Unit.Debits.Minor != 6235 {
		t.Errorf("settlement: %+v, %v", s, err)
	}
}

// TestStoreAndForward: approvals wait while the advice does not get through, in
// the sealed journal, across a crash; they are booked once, and the account is
// gone from the journal then.
func TestStoreAndForward(t *testing.T) {
	for _, stage := range []host.Stage{host.StageVerified, host.StageCommitted} {
		t.Run(fmt.Sprint("cut at stage ", stage), func(t *testing.T) {
			w := newWorld(t)
			l := &levers{}
			c := withoutPIN()
			l.fit(w, &c)
			w.intercept = func(p host.Point) error {
				if p.Stage == stage && p.MTI[:3] == "022" {
					l.sever()
					return errCut
				}
				return nil
			}
			r := w.rig(c)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if err != nil || got.Outcome != payment.Approved {
				t.Fatalf("%+v, %v", got, err)
			}
			e, ok, err := journal.New(r.vault).Entry(w.ctx, "A-1")
			if err != nil || !ok || e.State != journal.Advice || e.Account == nil || len(e.Account.PAN) != 16 || e.Attempts == 0 {
				t.Fatalf("journal: %+v, %v, %v", e, ok, err)
			}
			if s := fmt.Sprintf("%v %+v %#v", e, e, e.Account); strings.Contains(s, string(e.Account.PAN)) {
				t.Errorf("the entry shows its account: %s", s)
			}
			w.mu.Lock()
			w.intercept = nil
			w.mu.Unlock()
			r = w.open(withoutPIN(), r.vault)
			rep, err := r.unit.Recover(w.ctx)
			if err != nil || len(rep.Settled) != 1 || rep.Settled[0].Outcome != payment.Approved || rep.Settled[0].RRN != got.RRN || len(rep.Pending) != 0 {
				t.Fatalf("Recover: %+v, %v", rep, err)
			}
			if s := w.state("A-1"); s != trade.Paid {
				t.Errorf("order is %s", s)
			}
			if a := w.audit(); a.Pending != 0 || a.Authorisations != 1 {
				t.Errorf("ledger %+v", a)
			}
			if _, ok, err := journal.New(r.vault).Entry(w.ctx, "A-1"); ok || err != nil {
				t.Errorf("the journal still holds it: %v", err)
			}
			if s, err := r.unit.CloseBatch(t.Context()); err != nil || len(s.Currencies) != 1 || !s.Currencies[0].Agreed {
				t.Errorf("settlement: %+v, %v", s, err)
			}
		})
	}
}

// TestOfflineRefused: the server refuses a card's approval that does not verify,
// at once or later, and the payment is none.
func TestOfflineRefused(t *testing.T) {
	w := newWorld(t)
	c := withoutPIN()
	c.faults = "corrupt=12@first-gac"
	r := w.rig(c)
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || got.Outcome != payment.Declined || got.ResponseCode != "05" {
		t.Fatalf("%+v, %v", got, err)
	}
	if s := w.state("A-1"); s != trade.Open {
		t.Errorf("order is %s", s)
	}
	if rep, err := r.unit.Recover(w.ctx); err != nil || len(rep.Settled)+len(rep.Pending) != 0 {
		t.Errorf("something is owed: %+v, %v", rep, err)
	}
	w.audit()
}

// TestOfflineLimits: over a limit the bank is asked, and where it can't be, the
// card is told to decline.
func TestOfflineLimits(t *testing.T) {
	waiting := func(n int, minor int64, at time.Time) func(w *world, r *rig) {
		return func(w *world, r *rig) {
			for i := range n {
				err := journal.New(r.vault).Put(w.ctx, journal.Entry{
					Order: fmt.Sprint("X-", i), Type: "sale", State: journal.Advice, STAN: fmt.Sprintf("%06d", 900+i), RRN: fmt.Sprintf("632810%06d", 900+i), MTI: "0200",
					TransmissionTime: at, ProcessingCode: "000000", Amount: euros(w.t, minor), EntryMode: "051",
					Account: &journal.Account{PAN: []byte("4761739001010085"), PSN: "00", Expiry: "3112"},
				})
				if err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
	for _, c := range []struct {
		name  string
		alter func(c *rigConfig)
		minor int64
		kind  trade.Type
		put   func(w *world, r *rig)
		clock time.Duration // what the clock is put back by
	}{
		{name: "count", minor: 100, put: waiting(2, 1, now())},
		{name: "amount", minor: 4000, put: waiting(1, 2001, now())},
		{name: "age of the oldest", minor: 100, put: waiting(1, 1, now().Add(-61*time.Minute))},
		{name: "from the future", minor: 100, put: waiting(1, 1, now().Add(time.Minute))},
		{name: "age of the evidence", minor: 100, clock: -61 * time.Minute},
		{name: "clock set back", minor: 100, clock: time.Minute},
		{name: "another kind of trade", minor: 100, kind: trade.Preauth},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			rc, l := withoutPIN(), &levers{}
			rc.now = l.clock
			var r *rig
			rc.observe = func(e payment.Event) {
				if e.State != payment.StateReading {
					return
				}
				l.set(func(l *levers) { l.back = c.clock })
				if c.put != nil {
					c.put(w, r)
				}
			}
			r = w.rig(rc)
			if c.kind == "" {
				c.kind = trade.Sale
			}
			w.place(host.Order{ID: "A-1", Type: c.kind, Amount: euros(t, c.minor)})
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if err != nil || got.Outcome != payment.Approved || got.ResponseCode != "00" || strings.Contains(got.Receipt, "offline") {
				t.Errorf("%s %q %v, %v", got.Outcome, got.ResponseCode, got.Reasons, err)
			}
		})
	}
}

// TestUnableToGoOnline: the link dies before the request. A card that needs no
// PIN of the bank's may approve under the limits; one whose PIN nobody has
// looked at may not.
func TestUnableToGoOnline(t *testing.T) {
	for _, c := range []struct {
		name, profile string
		limits        payment.OfflineLimits
		outcome       payment.Outcome
		code          string
	}{
		{"no PIN", "nocvm", payment.OfflineLimits{Count: 2, Minor: 6000, Age: time.Hour}, payment.Approved, "Y3"},
		{"no PIN, over the limit", "nocvm", payment.OfflineLimits{Count: 2, Minor: 1000, Age: time.Hour}, "", ""},
		{"online PIN", "default", payment.OfflineLimits{Count: 2, Minor: 6000, Age: time.Hour}, payment.Unknown, ""},
		{"online only", "nocvm", payment.OfflineLimits{}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			l := &levers{}
			rc := plain()
			rc.profile, rc.offline, rc.selected = c.profile, c.limits, true
			l.fit(w, &rc)
			rc.observe = func(e payment.Event) {
				if e.State == payment.StatePreparing {
					l.sever()
				}
			}
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if got.Outcome != c.outcome || got.ResponseCode != c.code || (c.outcome == "") != errors.Is(err, payment.ErrServer) {
				t.Errorf("%+v, %v", got, err)
			}
			if c.outcome == payment.Unknown && got.CryptogramType != "AAC" {
				t.Errorf("the card gave a %s", got.CryptogramType)
			}
			last := r.events[len(r.events)-1]
			if c.outcome == "" && last.State != payment.StateFailed {
				t.Errorf("ended in %s", last.State)
			}
			back := rc
			back.observe, back.link = nil, nil
			r = w.open(back, r.vault)
			if rep, err := r.unit.Recover(w.ctx); err != nil || len(rep.Pending) != 0 || (len(rep.Settled) == 1) != (c.outcome != "") {
				t.Errorf("Recover: %+v, %v", rep, err)
			}
			want := trade.Open
			if c.outcome == payment.Approved {
				want = trade.Paid
			}
			if s := w.state("A-1"); s != want {
				t.Errorf("order is %s, want %s", s, want)
			}
			w.audit()
		})
	}
}

// TestNoOfflineForAFault: a unit that can't write the reversal down does not let
// the card approve instead.
func TestNoOfflineForAFault(t *testing.T) {
	w := newWorld(t)
	l := &levers{}
	c := withoutPIN()
	c.selected = true
	l.fit(w, &c)
	c.observe = func(e payment.Event) {
		if e.State == payment.StatePreparing {
			l.set(func(l *levers) { l.storage = trusted.ErrStorageFull })
		}
	}
	r := w.rig(c)
	w.order("A-1", 1234)
	if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); !errors.Is(err, trusted.ErrStorageFull) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, e := range r.events {
		if e.State == payment.StateStoring || strings.Contains(e.Text, "answers with TC") {
			t.Errorf("the card approved: %s", e.Text)
		}
	}
}

// TestOfflineConfig: limits are whole, and belong to a terminal that may approve
// offline.
func TestOfflineConfig(t *testing.T) {
	w := newWorld(t)
	base := w.rig(withoutPIN()).config
	for _, o := range []payment.OfflineLimits{{}, {Count: 1}, {Count: 1, Minor: 1}, {Minor: 1, Age: 1}, {Count: -1, Minor: 1, Age: 1}, {Count: 1, Minor: 1, Age: -1}} {
		c := base
		c.Offline = o
		if _, err := payment.New(c); !errors.Is(err, payment.ErrConfig) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	c := base
	c.Terminal.Type = 0x21
	if _, err := payment.New(c); !errors.Is(err, payment.ErrConfig) {
		t.Errorf("online only: %v", err)
	}
}

// TestDeviceRefusedApprovesNothing: a device whose evidence the server refuses
// gets no offline approval of the payment that runs, and none of later ones while
// the server can't be reached.
func TestDeviceRefusedApprovesNothing(t *testing.T) {
	for _, refused := range []bool{false, true} {
		w := newWorld(t)
		w.judge = func(n int, claims channel.Claims, err error) (channel.Claims, error) {
			switch {
			case n == 2 && refused:
				return channel.Claims{}, channel.RefuseEvidence(channel.ReasonPlatform, "x")
			case n == 2:
				return channel.Claims{}, errors.New("dial tcp")
			}
			return claims, err
		}
		c := withoutPIN()
		c.selected = true // to go online
		r := w.rig(c)
		w.order("A-1", 1234)
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
		if approved := err == nil && got.Outcome == payment.Approved; approved == refused {
			t.Errorf("refused %v: %+v, %v", refused, got, err)
		}
		if _, err := r.vault.Get(w.ctx, "offline/evidence"); errors.Is(err, trusted.ErrNotFound) != refused {
			t.Errorf("refused %v: the evidence that was taken: %v", refused, err)
		}
		w.audit()
	}
}
