package host

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

func jsonUnmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

// check compares what the units believe with what the ledger has: an order that
// a unit keeps as paid is booked, once, by that unit and with the order's
// amount; any other has moved nothing; the balances are the sums of the units'
// results; and no app was told something that is not so.
func (w *simWorld) check() {
	rep, err := ledger.Audit(context.Background(), w.l)
	if err != nil {
		w.wrong("audit: %v", err)
		return
	}
	for _, p := range rep.Problems {
		w.wrong("audit: %s", p)
	}
	if rep.Asked != 0 {
		w.wrong("%d requests have no answer from above", rep.Asked)
	}
	if rep.Pending != 0 {
		w.wrong("%d requests are booked and neither completed nor reversed", rep.Pending)
	}
	state := map[string]ledger.Order{}
	balances := map[string]int64{}
	err = w.l.View(context.Background(), func(tx ledger.Tx) error {
		err := tx.EachOrder(func(o ledger.Order) error { state[o.ID] = o; return nil })
		if err != nil {
			return err
		}
		return tx.EachBalance(func(account, _ string, minor int64) error {
			if strings.HasPrefix(account, "card/") {
				account = "cards"
				minor -= simOpening
			}
			balances[account] += minor
			return nil
		})
	})
	if err != nil {
		w.wrong("reading the ledger: %v", err)
	}
	var merchant, held int64
	// taken are the pre-authorisations that were completed, undone the orders
	// that were voided: their own results stand in the units' journals.
	taken, undone := map[string]bool{}, map[string]bool{}
	paid := map[string]*simTold{}
	for id := range w.orders {
		for _, u := range w.units {
			r := u.kept(id)
			if r == nil {
				continue
			}
			if paid[id] != nil {
				w.wrong("order %s: two units keep it as paid", id)
			}
			paid[id] = &simTold{u.id, *r}
			if r.Minor != w.orders[id].Amount.Minor || r.Outcome != payment.Approved {
				w.wrong("order %s: a unit keeps %s of %d, the order is for %d", id, r.Outcome, r.Minor, w.orders[id].Amount.Minor)
			}
		}
	}
	for id := range paid {
		switch o := w.orders[id]; o.Type {
		case trade.Completion:
			taken[o.Original] = true
		case trade.Void:
			undone[o.Original] = true
		}
	}
	for id, o := range w.orders {
		got := state[id].State
		want := ledger.OrderOpen
		switch {
		case undone[id]:
			want = ledger.OrderVoided
		case paid[id] == nil:
		case o.Type == trade.Preauth && !taken[id]:
			want = ledger.OrderHeld
		default:
			want = ledger.OrderPaid
		}
		if _, refused := got.Refused(); refused && o.Type == trade.Incremental {
			got = ledger.OrderOpen
		}
		if got != want && !(got == "" && want == ledger.OrderOpen) {
			w.wrong("order %s, a %s, is %q at the server, and %q by what the units keep", id, o.Type, got, want)
		}
		if paid[id] == nil || undone[id] {
			continue
		}
		w.counts["paid "+string(o.Type)]++
		by := ledger.Key{Terminal: w.units[paid[id].unit].grant.TerminalID, STAN: paid[id].result.STAN, RRN: paid[id].result.RRN}
		if state[id].Authorisation != by {
			w.wrong("order %s is booked by %s, and kept by the unit as %s", id, state[id].Authorisation, by)
		}
		switch o.Type {
		case trade.Sale, trade.Cashback, trade.Completion:
			merchant += o.Amount.Minor
		case trade.Refund:
			merchant -= o.Amount.Minor
		case trade.Preauth:
			if !taken[id] {
				held += o.Amount.Minor
			}
		case trade.Incremental:
			if !taken[o.Original] && !undone[o.Original] {
				held += o.Amount.Minor
			}
		}
	}
	from := balances["cards"]
	if w.above != nil {
		from += balances[upstreamAccount] + balances[standInAccount]
		w.checkAbove(merchant, held)
	}
	if balances["merchant/M1"] != merchant || balances["pending/M1"] != held || from != -merchant-held {
		w.wrong("balances %v; by what the units keep, the merchant has %d, %d is held", balances, merchant, held)
	}
	w.stoodIn(paid)
	w.promises(paid)
}

// stoodIn counts the payments that servers approved in the acquirer's place, and
// looks at what they count for the limits of that: those that stand, and no more.
func (w *simWorld) stoodIn(paid map[string]*simTold) {
	type day struct {
		card string
		day  int64
	}
	want := map[day]ledger.Spending{}
	err := w.l.View(context.Background(), func(tx ledger.Tx) error {
		err := tx.EachAuthorisation(func(a ledger.Authorisation) error {
			if a.Account != standInAccount {
				return nil
			}
			w.counts["stood in: "+string(a.State)]++
			at := day{a.Card, ledger.Day(a.Created)}
			s := want[at]
			s.Card, s.Day = at.card, at.day
			if a.State != ledger.AuthVoided && a.State != ledger.AuthReversed {
				if paid[a.Order] == nil {
					w.wrong("order %s was approved in the acquirer's place, is %s, and no unit keeps it", a.Order, a.State)
				}
				s.Payments++
				s.Minor += a.Amount.Minor
			}
			want[at] = s
			return nil
		})
		if err != nil {
			return err
		}
		for at, s := range want {
			if got, err := tx.Spending(at.card, at.day); err != nil || got != s {
				w.wrong("for its limits a card counts %+v, what stands is %+v: %v", got, s, err)
			}
		}
		return nil
	})
	if err != nil {
		w.wrong("reading the ledger: %v", err)
	}
}

// checkAbove compares the acquirer's ledger with the servers': every request
// stands in the same state in both, and the balances are the same.
func (w *simWorld) checkAbove(merchant, held int64) {
	rep, err := ledger.Audit(context.Background(), w.above.l)
	if err != nil || rep.Pending != 0 {
		w.wrong("above: audit: %d pending, %v", rep.Pending, err)
	}
	for _, p := range rep.Problems {
		w.wrong("above: audit: %s", p)
	}
	standing := func(l ledger.Ledger, prefix string) map[string]ledger.AuthState {
		out := map[string]ledger.AuthState{}
		err := l.View(context.Background(), func(tx ledger.Tx) error {
			return tx.EachAuthorisation(func(a ledger.Authorisation) error {
				switch a.State {
				case ledger.AuthHeld, ledger.AuthCompleted, ledger.AuthVoided, ledger.AuthApproved:
					out[strings.TrimPrefix(a.Key.String(), prefix)] = a.State
				}
				return nil
			})
		})
		if err != nil {
			w.wrong("reading a ledger: %v", err)
		}
		return out
	}
	if d := cmp.Diff(standing(w.l, ""), standing(w.above.l, linePrefix)); d != "" {
		w.wrong("what stands at the servers, and above (-servers +above): %s", d)
	}
	var cards, m, p int64
	err = w.above.l.View(context.Background(), func(tx ledger.Tx) error {
		return tx.EachBalance(func(account, _ string, minor int64) error {
			switch {
			case strings.HasPrefix(account, "card/"):
				cards += minor - simOpening
			case account == "merchant/M1":
				m = minor
			case account == "pending/M1":
				p = minor
			}
			return nil
		})
	})
	if err != nil || m != merchant || p != held || cards != -merchant-held {
		w.wrong("above: the merchant has %d, %d is held, cards paid %d; below it is %d and %d: %v", m, p, -cards, merchant, held, err)
	}
}

// promises looks whether what apps were told still holds.
func (w *simWorld) promises(paid map[string]*simTold) {
	for id, told := range w.told {
		for _, t := range told {
			kept := paid[id] != nil && paid[id].unit == t.unit && paid[id].result.RRN == t.result.RRN
			switch {
			case t.result.Outcome == payment.Approved && !kept:
				w.wrong("order %s: the app of unit %d was told that %s is approved, which is not so", id, t.unit, t.result.RRN)
			case t.result.Outcome == payment.Declined && t.result.RRN != "" && kept:
				w.wrong("order %s: the app of unit %d was told that %s is declined, and it is booked", id, t.unit, t.result.RRN)
			}
		}
	}
}
