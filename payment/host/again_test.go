package host

import (
	"context"
	"errors"
	"testing"

	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

// again is a ledger whose updates fail when they are whole, for the sake of
// another's, and are carried out once more.
type again struct {
	ledger.Ledger
	on bool
}

var errAgain = errors.New("test: could not serialize access")

func (l *again) Update(ctx context.Context, fn func(ledger.Tx) error) error {
	if l.on {
		err := l.Ledger.Update(ctx, func(tx ledger.Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			return errAgain
		})
		if !errors.Is(err, errAgain) {
			return err
		}
	}
	return l.Ledger.Update(ctx, fn)
}

func (r *rig) again() *again {
	l := &again{Ledger: r.s.c.Ledger, on: true}
	r.s.c.Ledger, r.reg.c.Ledger = l, l
	return l
}

// TestAgain: a transaction that is carried out once more does what it did: with
// an issuer, and with an acquirer above, each message's answer lost once.
func TestAgain(t *testing.T) {
	for _, above := range []bool{false, true} {
		name := "issuer"
		if above {
			name = "acquirer above"
		}
		t.Run(name, func(t *testing.T) {
			c := newChain(t)
			r, settled := c.rig, c.settled
			if above {
				up := c.up.again()
				lost := map[string]bool{}
				c.fate = func(m *acquirer.Message) fate {
					k := m.MTI[:3] + m.STAN + m.Order
					if lost[k] || m.MTI == "0200" || m.MTI == "0100" && m.Original == nil {
						up.on = false
						return arrives
					}
					up.on, lost[k] = true, true
					return answerLost
				}
			} else {
				r = newRig(t)
				settled = r.booked
			}
			l := r.again()
			u := r.enrol(1, 4)
			order := func(o Order) {
				t.Helper()
				o.Merchant = "M1"
				if err := r.s.CreateOrder(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			for _, o := range []Order{{ID: "o1", Amount: r.eur(300)}, {ID: "o2", Amount: r.eur(20)}} {
				o.Type = trade.Sale
				order(o)
			}
			m := u.sale("o1", 300, testPIN)
			resp := u.want("sale", m, codeApproved)
			u.want("completion", u.completion(m, resp.AuthCode), codeApproved)
			n := u.sale("o2", 20, testPIN)
			u.want("another sale", n, codeApproved)
			u.want("its reversal", u.reversal(n), codeApproved)
			p := u.held("p1", 1000)
			order(Order{ID: "i1", Type: trade.Incremental, Original: "p1", Amount: r.eur(500)})
			i := u.increment("i1", p, 500)
			for tries := 0; ; tries++ {
				_, err := u.send(i)
				if err == nil {
					break
				}
				if tries > 9 {
					t.Fatal(err)
				}
				i = u.repeat(i)
			}
			settled("sold, and held more", 1800, 1500, 300)
			order(Order{ID: "c1", Type: trade.Completion, Original: "p1", Amount: r.eur(1500)})
			u.want("completion of what is held", u.capture("c1", p, 1500), codeApproved)
			settled("in the end", 1800, 0, 1800)
			order(Order{ID: "v1", Type: trade.Void, Original: "o1", Amount: r.eur(300)})
			u.want("void", u.void("v1", m), codeApproved)
			settled("voided", 1500, 0, 1500)
			l.on = false
		})
	}
}
