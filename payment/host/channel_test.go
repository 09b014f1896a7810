package host

import (
	"context"
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/trade"
)

// TestRevokedOnChannel: a terminal that is taken out of service has nothing booked
// any more, on a channel that has known it before either.
func TestRevokedOnChannel(t *testing.T) {
	c := newChain(t)
	for _, above := range []bool{false, true} {
		r := c.rig
		if !above {
			r = newRig(t)
		}
		u := r.enrol(1, 4)
		u.channel = u.newChannel()
		r.order("o1", 1000)
		c.fate = nil
		held := u.held("p1", 1000)
		if err := r.place("i1", trade.Incremental, "p1", 500); err != nil {
			t.Fatal(err)
		}
		if err := r.reg.Revoke(context.Background(), u.grant.TerminalID); err != nil {
			t.Fatal(err)
		}
		sent := 0
		c.fate = func(*acquirer.Message) fate { sent++; return arrives }
		before := u.channel
		for name, m := range map[string]*acquirer.Message{"sale": u.sale("o1", 1000, testPIN), "increment": u.increment("i1", held, 500), "reversal": u.reversal(held)} {
			u.channel = u.newChannel()
			u.channel.terminal.Store(before.terminal.Load())
			for n := range 2 {
				if _, err := u.send(m); code(err) != trade.CodeNotEnrolled {
					t.Errorf("%s, time %d: got %v, want that it is not enrolled", name, n, err)
				}
			}
		}
		if sent != 0 {
			t.Errorf("%d messages were sent above", sent)
		}
		r.state("revoked", "p1", trade.Held)
		r.state("revoked", "o1", trade.Open)
	}
}

// TestNewKeysOnChannel: keys that a terminal got elsewhere are known on a channel
// that has known its old ones.
func TestNewKeysOnChannel(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	u.channel = u.newChannel()
	r.order("o1", 1000)
	r.order("o2", 1000)
	m := u.sale("o1", 1000, testPIN)
	u.want("sale", m, codeApproved)
	u.want("reversal", u.reversal(m), codeApproved)
	e, err := trade.Encode(trade.KindRotate, 1, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := (&handler{r.s, u.newChannel()}).Handle(t.Context(), &conn{id: u.identity}, e)
	if err != nil {
		t.Fatal(err)
	}
	var g trade.Grant
	if err := out.Decode(&g); err != nil {
		t.Fatal(err)
	}
	_, old := u.seal(u.sale("o2", 1000, testPIN))
	u.take(g, 4)
	u.want("sale under the new keys", u.sale("o2", 1000, testPIN), codeApproved)
	if _, err := u.post(old); err == nil {
		t.Error("under the old keys: it is taken")
	}
}
