package issuer

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/ledger"
)

// TestVelocity walks through days of payments with one card.
func TestVelocity(t *testing.T) {
	today := now
	d := newDesk(t, Config{Velocity: []Velocity{{Days: 1, Count: 1}}, Now: func() time.Time { return today }},
		line{more: `,"velocity":[{"days":1,"count":3,"amount":500},{"days":3,"amount":900}]`})
	pay := func(what string, minor int64, code string) {
		t.Helper()
		d.want(what, d.authorize(d.request(minor, "")), code)
	}
	pay("the first", 100, CodeApproved)
	pay("over the day's amount", 401, CodeOverLimit)
	pay("what was declined does not count", 400, CodeApproved)
	pay("nothing is left of the day's amount", 1, CodeOverLimit)
	today = today.Add(24 * time.Hour)
	pay("the next day", 200, CodeApproved)
	pay("over three days' amount", 201, CodeOverLimit)
	pay("of the next day", 1, CodeApproved)
	pay("of the next day", 1, CodeApproved)
	pay("too often", 1, CodeFrequency)
	refund := d.request(1, "")
	refund.Credit = true
	d.want("a refund", d.authorize(refund), CodeApproved)
	inquiry := d.request(0, "")
	inquiry.Inquiry = true
	err := d.l.Update(t.Context(), func(tx ledger.Tx) error {
		got, err := d.i.Authorize(t.Context(), tx, inquiry)
		d.want("a question", got, CodeApproved)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	d.gave(0x40)
	tc := d.request(450, "")
	tc.Offline = true
	d.want("what the card approved", d.authorize(tc), CodeApproved)
	d.alter = nil
	today = today.Add(24 * time.Hour)
	pay("the third day, over three days' amount", 1, CodeOverLimit)
	today = today.Add(24 * time.Hour)
	pay("the fourth day, with the second's", 249, CodeOverLimit)
	pay("the fourth day", 248, CodeApproved)
}

// TestVelocityOfAll: the issuer's limits are for cards without their own.
func TestVelocityOfAll(t *testing.T) {
	d := newDesk(t, Config{Velocity: []Velocity{{Days: 1, Count: 1}}}, line{})
	d.want("the first", d.authorize(d.request(1, "")), CodeApproved)
	d.want("the second", d.authorize(d.request(1, "")), CodeFrequency)
}

// TestGiveBack: what came to nothing is room again, and no more than that.
func TestGiveBack(t *testing.T) {
	d := newDesk(t, Config{}, line{more: `,"velocity":[{"days":1,"count":2,"amount":500}]`})
	back := func(at time.Time, payments int, minor int64) {
		t.Helper()
		if err := d.l.Update(t.Context(), func(tx ledger.Tx) error { return GiveBack(tx, d.k.ref, at, payments, minor) }); err != nil {
			t.Fatal(err)
		}
	}
	back(now, 1, 400)
	r := d.request(400, "")
	r.Time = now
	d.want("nothing was given back before", d.authorize(r), CodeApproved)
	back(now.Add(24*time.Hour), 1, 400)
	d.want("another day was given back", d.authorize(d.request(101, "")), CodeOverLimit)
	back(now, 0, 150)
	d.want("the rest was given back", d.authorize(d.request(250, "")), CodeApproved)
	d.want("its payment was not", d.authorize(d.request(1, "")), CodeFrequency)
	back(now, 1, 250)
	back(now, 1, 9999)
	d.want("all was given back", d.authorize(d.request(500, "")), CodeApproved)
	d.want("and no more", d.authorize(d.request(1, "")), CodeOverLimit)
}

// TestPartCounts: of a part, the part counts.
func TestPartCounts(t *testing.T) {
	d := newDesk(t, Config{}, line{balance: 250, more: `,"velocity":[{"days":1,"amount":500}]`})
	r := d.request(300, "")
	r.Partial = true
	if got := d.authorize(r); got.Code != CodePartial || got.Part.Minor != 250 {
		t.Errorf("a part: %+v", got)
	}
	d.want("the rest of the limit", d.authorize(d.request(250, "")), CodeApproved)
}

// TestVelocityOfServers: servers that share a ledger let a card pass as often as
// one would.
func TestVelocityOfServers(t *testing.T) {
	d := newDesk(t, Config{CountersInAnyOrder: true}, line{more: `,"velocity":[{"days":1,"count":5}]`})
	other, err := New(d.i.c)
	if err != nil {
		t.Fatal(err)
	}
	servers := []*Issuer{d.i, other}
	var requests []Request
	for range 20 {
		requests = append(requests, d.request(1, ""))
	}
	codes := make([]string, len(requests))
	var all sync.WaitGroup
	for n, r := range requests {
		all.Go(func() {
			err := d.l.Update(t.Context(), func(tx ledger.Tx) error {
				got, err := servers[n%2].Authorize(t.Context(), tx, r)
				codes[n] = got.Code
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	count := map[string]int{}
	for _, c := range codes {
		count[c]++
	}
	if count[CodeApproved] != 5 || count[CodeFrequency] != 15 {
		t.Errorf("%v, want 5 approved and 15 too often", count)
	}
}

func TestVelocityFile(t *testing.T) {
	for _, c := range []struct{ velocity, want string }{
		{`[{"days":1,"count":1}]`, ""},
		{`[]`, ""},
		{`[{"days":0,"count":1}]`, "cards[0].velocity[0].days"},
		{`[{"days":1,"count":1},{"days":367,"count":1}]`, "cards[0].velocity[1].days"},
		{`[{"days":1}]`, "cards[0].velocity[0].count"},
		{`[{"days":1,"count":-1}]`, "cards[0].velocity[0].count"},
		{`[{"days":1,"amount":-1}]`, "cards[0].velocity[0].amount"},
		{`[{"days":1,"amount":1000000000000}]`, "cards[0].velocity[0].amount"},
		{`[{"days":1,"count":1,"hours":3}]`, "cards[0]"},
	} {
		_, err := ParseCards(strings.NewReader(file(line{more: `,"velocity":` + c.velocity})))
		var e *CardsError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.velocity, err)
		case c.want != "" && (!errors.As(err, &e) || e.Place != c.want):
			t.Errorf("%s: got %v, want an error at %s", c.velocity, err, c.want)
		}
	}
	cards, err := ParseCards(strings.NewReader(file(line{})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Cards: cards, Velocity: []Velocity{{Days: 1}}}); !errors.Is(err, ErrConfig) {
		t.Errorf("got %v, want ErrConfig", err)
	}
}

// TestRaiseBlocked: a card that its file says is blocked holds no more.
func TestRaiseBlocked(t *testing.T) {
	d := newDesk(t, Config{}, line{more: `,"blocked":true`})
	more := d.request(100, "").Amount
	err := d.l.Update(t.Context(), func(tx ledger.Tx) error {
		got, err := d.i.Raise(t.Context(), tx, d.k.ref, now, more, more)
		if got.Code != CodeRestricted {
			t.Errorf("code %s (%s), want %s", got.Code, got.Reason, CodeRestricted)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRaiseCounts: what is held more counts with its payment, on that one's day,
// and as no payment of its own.
func TestRaiseCounts(t *testing.T) {
	today := now
	d := newDesk(t, Config{Now: func() time.Time { return today }}, line{more: `,"velocity":[{"days":1,"count":3,"amount":500},{"days":3,"amount":900}]`})
	pay := func(what string, minor int64, code string) {
		t.Helper()
		r := d.request(minor, "")
		r.Time = today
		d.want(what, d.authorize(r), code)
	}
	raise := func(what string, at time.Time, minor int64, code string) {
		t.Helper()
		more := d.request(minor, "").Amount
		err := d.l.Update(t.Context(), func(tx ledger.Tx) error {
			got, err := d.i.Raise(t.Context(), tx, d.k.ref, at, more, more)
			if got.Code != code {
				t.Errorf("%s: code %s (%s), want %s", what, got.Code, got.Reason, code)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pay("held", 100, CodeApproved)
	raise("over the day's amount", now, 401, CodeOverLimit)
	raise("what was refused does not count", now, 200, CodeApproved)
	raise("the rest", now, 100, CodeApproved)
	pay("over with what is held more", 101, CodeOverLimit)
	pay("a second", 50, CodeApproved)
	pay("a third: no increment is a payment", 1, CodeApproved)
	raise("over with the others", now, 50, CodeOverLimit)
	raise("all of the day's amount", now, 49, CodeApproved)
	today = now.Add(24 * time.Hour)
	pay("the next day", 300, CodeApproved)
	raise("the day before is full", now, 1, CodeOverLimit)
	raise("over three days' amount", today, 101, CodeOverLimit)
	raise("up to three days' amount", today, 100, CodeApproved)
	today = now.Add(3 * 24 * time.Hour)
	pay("when the first day does not count", 500, CodeApproved)
	raise("which counts three days with the second", now.Add(24*time.Hour), 1, CodeOverLimit)
	today = now.Add(9 * 24 * time.Hour)
	raise("also later", now.Add(24*time.Hour), 1, CodeOverLimit)
	if err := d.l.Update(t.Context(), func(tx ledger.Tx) error { return GiveBack(tx, d.k.ref, now, 1, 449) }); err != nil {
		t.Fatal(err)
	}
	raise("of a day that has room again", now, 450, CodeOverLimit)
	raise("as far as it has", now, 449, CodeApproved)

	today = now.Add(20 * 24 * time.Hour)
	before := today
	pay("held", 100, CodeApproved)
	today = today.Add(24 * time.Hour)
	raise("a day later", before, 10, CodeApproved)
	pay("that day has all its room", 500, CodeApproved)
	today = today.Add(24 * time.Hour)
	pay("the third day", 290, CodeApproved)
	raise("the first day has room, the three have none", before, 1, CodeOverLimit)
}
