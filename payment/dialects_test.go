package payment_test

import (
	"slices"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
)

// TestEntriesInDialects: each way to read a card, with a tip, in each dialect that
// carries what a unit sends.
func TestEntriesInDialects(t *testing.T) {
	for _, d := range acquirer.Dialects()[:3] {
		for way, entry := range map[string]issuer.Entry{"chip": issuer.EntryChip, "stripe": issuer.EntryStripe, "fallback": issuer.EntryFallback, "manual": issuer.EntryManual} {
			t.Run(d.Name()+", "+way, func(t *testing.T) {
				w := newWorld(t, func(hc *host.Config) { hc.Dialect = d })
				w.entry, w.tips = trade.EntryPolicy{Stripe: true, Fallback: true, Manual: true}, 20
				rc := plain()
				rc.script.Tip = 100
				if way == "stripe" {
					rc.profile = "stripe-pin"
				}
				if way != "chip" {
					rc.reader = func(r cardreader.Reader) cardreader.Reader { return gated{r, nil} }
					enterBy(t, &rc, way)
				}
				before := rc.config
				rc.config = func(pc *payment.Config) {
					if before != nil {
						before(pc)
					}
					pc.Dialect = d
				}
				r := w.rig(rc)
				w.order("A-1", 1234)
				got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
				if err != nil || got.Outcome != payment.Approved || got.Minor != 1334 || !slices.Equal(w.entries, []issuer.Entry{entry}) {
					t.Errorf("%s, %d, %v: %q, %v", got.Outcome, got.Minor, w.entries, got.Reasons, err)
				}
				if a := w.audit(); a.Pending != 0 || w.merchantBalance() != 1334 {
					t.Errorf("%d pending, the merchant has %d", a.Pending, w.merchantBalance())
				}
			})
		}
	}
}

// TestFollowUpsSayHowItWasRead: DE 22 of a void is that of the payment it undoes.
func TestFollowUpsSayHowItWasRead(t *testing.T) {
	for way, mode := range map[string]string{"chip": "051", "tap": "071", "stripe": "901", "fallback": "801", "manual": "011"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			w.entry = trade.EntryPolicy{Stripe: true, Fallback: true, Manual: true}
			rc := plain()
			switch way {
			case "chip":
			case "tap":
				rc.tap = tapped(t, "default", nil)
			default:
				if way == "stripe" {
					rc.profile = "stripe-pin"
				}
				rc.reader = func(r cardreader.Reader) cardreader.Reader { return gated{r, nil} }
				enterBy(t, &rc, way)
			}
			r := w.rig(rc)
			w.order("A-1", 1234)
			if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"}); err != nil || got.Outcome != payment.Approved {
				t.Fatalf("%s: %q, %v", got.Outcome, got.Reasons, err)
			}
			w.void("V-1", "A-1", 1234)
			w.intercept = func(p host.Point) error {
				if p.MTI[:3] == "040" {
					return errCut
				}
				return nil
			}
			if got, err := r.unit.Pay(t.Context(), payment.Order{ID: "V-1"}); err != nil || got.Outcome != payment.Unknown {
				t.Fatalf("%s: %q, %v", got.Outcome, got.Reasons, err)
			}
			owed, ok, err := journal.New(r.config.Storage).Entry(t.Context(), "V-1")
			if err != nil || !ok || owed.EntryMode != mode {
				t.Errorf("entry mode %q, %v, %v; want %s", owed.EntryMode, ok, err, mode)
			}
		})
	}
}
