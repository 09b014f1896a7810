package host

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/trade"
)

// limit gives the server's cards velocity limits.
func (r *rig) limit(v ...issuer.Velocity) {
	r.s.c.Issuer = r.issuer(func() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now }, v...)
}

// TestVelocityGivenBack: what was reversed, voided or not taken is room again.
func TestVelocityGivenBack(t *testing.T) {
	r := newRig(t)
	r.limit(issuer.Velocity{Days: 1, Count: 2, Amount: 1000})
	u := r.enrol(1, 4)
	for n := range 9 {
		r.order(fmt.Sprintf("o%d", n), 600)
	}
	m := u.sale("o0", 600, testPIN)
	u.want("sale", m, codeApproved)
	u.want("over the day's amount", u.sale("o1", 600, testPIN), issuer.CodeOverLimit)
	u.want("reversal", u.reversal(m), codeApproved)
	u.want("reversal repeated", u.repeat(u.reversal(m)), codeApproved)
	m = u.sale("o2", 600, testPIN)
	resp := u.want("room again", m, codeApproved)
	u.want("once", u.sale("o3", 600, testPIN), issuer.CodeOverLimit)
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	if err := r.voidOrder("v2", "o2", 600); err != nil {
		t.Fatal(err)
	}
	u.want("void", u.void("v2", m), codeApproved)
	held := u.held("p1", 900)
	if err := errors.Join(r.place("i1", trade.Incremental, "p1", 101), r.place("i2", trade.Incremental, "p1", 100)); err != nil {
		t.Fatal(err)
	}
	u.want("more than the day has", u.increment("i1", held, 101), issuer.CodeOverLimit)
	u.want("more is held", u.increment("i2", held, 100), codeApproved)
	u.want("once", u.repeat(u.increment("i2", held, 100)), codeApproved)
	r.order("o10", 1)
	u.want("over with what is held", u.sale("o10", 1, testPIN), issuer.CodeOverLimit)
	if err := errors.Join(r.place("c1", trade.Completion, "p1", 300)); err != nil {
		t.Fatal(err)
	}
	u.want("completion of a part", u.capture("c1", held, 300), codeApproved)
	m = u.sale("o5", 600, testPIN)
	u.want("room for what was not taken", m, codeApproved)
	r.order("o9", 1)
	u.want("too often", u.sale("o9", 1, testPIN), issuer.CodeFrequency)
	r.mu.Lock()
	r.now = r.now.Add(24 * time.Hour)
	r.mu.Unlock()
	tomorrow := u.sale("o6", 600, testPIN)
	u.want("the next day", tomorrow, codeApproved)
	u.want("yesterday's is reversed", u.reversal(m), codeApproved)
	u.want("which is no room today", u.sale("o7", 600, testPIN), issuer.CodeOverLimit)
}

// velocityOfServers has terminals of two servers on one ledger use a card at once.
func velocityOfServers(t *testing.T, r, second *rig) {
	const most, tries = 3, 10
	for _, s := range []*rig{r, second} {
		s.limit(issuer.Velocity{Days: 1, Count: most})
	}
	card := newCard(t)
	var all sync.WaitGroup
	codes := make([]string, tries)
	for n := range tries {
		order := fmt.Sprintf("o%d", n)
		r.order(order, 100)
		u := r.enrol(byte(n+1), 4)
		if n%2 == 1 {
			u = u.at(second)
		}
		u.card = card
		m := u.sale(order, 100, testPIN)
		all.Go(func() {
			got, err := u.send(m)
			if err != nil {
				t.Error(err)
				return
			}
			codes[n] = got.ResponseCode
		})
	}
	all.Wait()
	count := map[string]int{}
	for _, c := range codes {
		count[c]++
	}
	if count[codeApproved] != most || count[issuer.CodeFrequency] != tries-most {
		t.Errorf("%v, want %d approved", count, most)
	}
	r.booked("in the end", most*100, most*100, 0)
}

func TestVelocityOfServers(t *testing.T) {
	r := openRig(t, filepath.Join(t.TempDir(), "ledger.db"))
	velocityOfServers(t, r, openRig(t, r.path))
}
