package host

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
)

// outbox are the messages that are kept.
func (c *chained) outbox() (all []ledger.Outgoing) {
	c.t.Helper()
	err := c.l.View(c.t.Context(), func(tx ledger.Tx) error {
		all = nil
		return tx.EachOutgoing(0, func(o ledger.Outgoing) error { all = append(all, o); return nil })
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// later sends what is owed, once an hour.
func (c *chained) later(times int) (owed int) {
	for range times {
		owed = c.forward()
		c.mu.Lock()
		c.now = c.now.Add(time.Hour)
		c.mu.Unlock()
	}
	return owed
}

func (c *chained) metric(line string) {
	c.t.Helper()
	var b strings.Builder
	if err := c.s.WriteMetrics(&b); err != nil {
		c.t.Fatal(err)
	}
	if !strings.Contains(b.String(), "\n"+line+"\n") {
		c.t.Errorf("%q is not in\n%s", line, b.String())
	}
}

// TestAdviceRefused: what the acquirer above refuses again and again is not sent
// any more, is not lost, and can be seen; what it can't take yet is sent for as
// long as it takes.
func TestAdviceRefused(t *testing.T) {
	for _, x := range []struct {
		code    string
		refused bool
	}{{"14", true}, {"25", true}, {"57", true}, {"91", false}, {"96", false}} {
		t.Run(x.code, func(t *testing.T) {
			c := newStandIn(t)
			u := c.enrol(1, 4)
			m := u.sale("o0", 500, "")
			u.want("completion", u.completion(m, u.want("sale", m, codeApproved).AuthCode), codeApproved)
			sent := 0
			c.refusal = x.code
			c.fate = func(*acquirer.Message) fate { sent++; return refused }
			if owed := c.later(maxRefusals - 1); owed != 2 || sent != maxRefusals-1 {
				t.Errorf("%d owed after %d times", owed, sent)
			}
			want := map[bool]int{true: 0, false: 2}[x.refused]
			if owed := c.later(20); owed != want {
				t.Errorf("%d messages are owed, want %d", owed, want)
			}
			all := c.outbox()
			if len(all) != 2 {
				t.Fatalf("%d messages are kept", len(all))
			}
			for _, o := range all {
				if o.Refused != x.refused || x.refused && (o.Code != x.code || o.Refusals != maxRefusals) {
					t.Errorf("%s: refused %v, %d times, code %q", o.ID, o.Refused, o.Refusals, o.Code)
				}
			}
			if x.refused && sent != 2*maxRefusals {
				t.Errorf("sent %d times", sent)
			}
			if !x.refused {
				c.metric("payunit_refused_above 0")
				c.settled("taken at last", 500, 0, 500)
				return
			}
			c.metric("payunit_refused_above 2")
			c.metric("payunit_owed_above 0")
			c.metric(`payunit_above_total{result="refused"} 2`)
			for _, o := range all {
				if err := SendAgain(t.Context(), c.l, o.ID, c.now); err != nil {
					t.Fatal(err)
				}
				if err := SendAgain(t.Context(), c.l, o.ID, c.now); !errors.Is(err, ledger.ErrConflict) {
					t.Errorf("%s again: %v", o.ID, err)
				}
			}
			c.settled("taken after people saw to it", 500, 0, 500)
			c.metric("payunit_refused_above 0")
			if err := SendAgain(t.Context(), c.l, "none", c.now); !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("no such message: %v", err)
			}
		})
	}
}
