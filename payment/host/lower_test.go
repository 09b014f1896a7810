package host

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
)

// lower gives the server above a line of a name for this chain.
func (c *chained) lower(l LowerConfig) {
	c.t.Helper()
	end, err := c.up.s.Lower(l)
	if err != nil {
		c.t.Fatal(err)
	}
	c.acquire = end.Acquire
}

// below is another chain under the same server, with the terminals' ids and numbers
// of the first.
func (c *chained) below() *chained {
	n := &chained{rig: newRig(c.t), up: c.up}
	n.s.c.Issuer, n.s.c.Upstream = nil, n
	return n
}

func (r *rig) has(what, account string, want int64) {
	r.t.Helper()
	err := r.l.View(r.t.Context(), func(tx ledger.Tx) error {
		got, err := tx.Balance(account, "EUR")
		if err == nil && got != want {
			r.t.Errorf("%s: %s has %d, want %d", what, account, got, want)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestLowerServers: two banks' terminals of the same id, with the same numbers, are
// two; so are their merchants.
func TestLowerServers(t *testing.T) {
	for _, how := range []string{"by the line", "by DE 32"} {
		t.Run(how, func(t *testing.T) {
			a := newChain(t)
			b := a.below()
			ours, theirs := "line:a:", "line:b:"
			if how == "by DE 32" {
				a.s.c.AcquirerID, b.s.c.AcquirerID = "1001", "1002"
				ours, theirs = "line:1001:", "line:1002:"
			} else {
				a.lower(LowerConfig{Name: "a"})
				b.lower(LowerConfig{Name: "b"})
			}
			card := newCard(t)
			for _, c := range []struct {
				*chained
				minor int64
			}{{a, 100}, {b, 200}} {
				c.order("o1", c.minor)
				c.order("o2", c.minor)
				u := c.enrol(1, 4)
				u.card = card
				m := u.sale("o1", c.minor, testPIN)
				resp := u.want("sale", m, codeApproved)
				u.want("repeat", u.repeat(m), codeApproved)
				u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
				n := u.sale("o2", c.minor, testPIN)
				u.want("a second one", n, codeApproved)
				u.want("its reversal", u.reversal(n), codeApproved)
				if c.chained == b {
					if err := c.voidOrder("v1", "o1", c.minor); err != nil {
						t.Fatal(err)
					}
					u.want("void", u.void("v1", m), codeApproved)
				}
				if owed, err := c.s.ForwardDue(t.Context()); owed != 0 || err != nil {
					t.Fatalf("%d messages are owed, %v", owed, err)
				}
			}
			a.up.has("the first bank's merchant", "merchant/"+ours+"M1", 100)
			a.up.has("the other's, voided", "merchant/"+theirs+"M1", 0)
			a.up.has("nobody's", "merchant/M1", 0)
			for _, account := range []string{ours, theirs} {
				a.up.has("in the end", "pending/"+account+"M1", 0)
			}
			ledgertest.Clean(t, a.up.l)
		})
	}
}

// TestLowerServerNamed: what came before a line had a name, or its server named
// itself, is known afterwards.
func TestLowerServerNamed(t *testing.T) {
	c := newChain(t)
	u := c.enrol(1, 4)
	for _, id := range []string{"o1", "o2", "o3"} {
		c.order(id, 100)
	}
	m := u.sale("o1", 100, testPIN)
	resp := u.want("before", m, codeApproved)
	c.lower(LowerConfig{Name: "a", Earlier: true})
	u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
	c.settled("named", 100, 0, 100)

	n := u.sale("o2", 100, testPIN)
	u.want("under a name", n, codeApproved)
	c.s.c.AcquirerID = "1001"
	u.want("reversal", u.reversal(n), codeApproved)
	if owed, err := c.s.ForwardDue(t.Context()); owed != 0 || err != nil {
		t.Fatalf("%d messages are owed, %v", owed, err)
	}
	c.up.has("reversed", "pending/line:a:M1", 0)
	c.up.booked("in the end", 100, 0, 100)
}

// TestLowerServersOwnZones: each line has its working keys, and an exchange on one
// leaves those of the other alone.
func TestLowerServersOwnZones(t *testing.T) {
	up := newRig(t)
	zone := func(name string) *Zone {
		z, err := NewZone(ZoneConfig{
			Ledger: up.l, Name: name, Master: zoneMaster(t, "K0", 'B', 0x31), Initial: zoneMaster(t, "M6", 'C', 0x32),
			Now: func() time.Time { up.mu.Lock(); defer up.mu.Unlock(); return up.now },
		})
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	end := func(name string) *Lower {
		l, err := up.s.Lower(LowerConfig{Name: name, Zone: zone("line/" + name)})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	ask := func(l *Lower) uint64 {
		answer := l.Acquire(context.Background(), acquirer.NewNetworkManagement(acquirer.NetworkKey, "000001", networkTerminal, testNow))
		if answer == nil || answer.ResponseCode != codeApproved {
			t.Fatalf("an exchange is answered with %+v", answer)
		}
		n, _, _, err := parseKeys(string(answer.Extra[keysField]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := end("a"), end("b")
	d := up.s.c.Dialect
	if n := ask(a); n != 1 {
		t.Errorf("the first keys of a have number %d", n)
	}
	flight, err := a.c.Zone.Seal(t.Context(), d, acquirer.NewNetworkManagement(acquirer.NetworkEcho, "000002", networkTerminal, testNow))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ask(b)
		used, err := b.c.Zone.Seal(t.Context(), d, acquirer.NewNetworkManagement(acquirer.NetworkEcho, "000003", networkTerminal, testNow))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.c.Zone.Open(t.Context(), d, used); err != nil {
			t.Fatal(err)
		}
		up.mu.Lock()
		up.now = up.now.Add(time.Hour)
		up.mu.Unlock()
	}
	if _, err := a.c.Zone.Open(t.Context(), d, flight); err != nil {
		t.Errorf("after another line's exchanges: %v", err)
	}
	for name, c := range map[string]LowerConfig{
		"no name": {}, "a name of parts": {Name: "a:b"}, "a slash": {Name: "a/b"}, "twice": {Name: "a"}, "another's zone": {Name: "c", Zone: zone("line/a")},
	} {
		if _, err := up.s.Lower(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}
