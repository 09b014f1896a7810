package payment_test

import (
	"slices"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host"
)

// TestCodesOfTheDialect: what a response code means is the dialect's table's to
// say, also for what the card is asked: at an acquirer whose table has 55 as an
// approval, it is asked for one, and here it knows better.
func TestCodesOfTheDialect(t *testing.T) {
	d, err := acquirer.Default().WithCodes([]acquirer.Response{
		{Code: "55", Class: acquirer.ClassApproved, Cardholder: acquirer.SayApproved, Merchant: "approved in a test", Action: "117"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dialect *acquirer.Dialect
		reason  string
	}{{nil, "the issuer did not approve"}, {d, "the card did not give its approval"}} {
		w := newWorld(t, func(hc *host.Config) { hc.Dialect = c.dialect })
		cfg := plain()
		cfg.script.PIN = secret.CopyBytes([]byte("9999"))
		r := w.rig(cfg)
		pc := r.config
		pc.Dialect = c.dialect
		if r.unit, err = payment.New(pc); err != nil {
			t.Fatal(err)
		}
		w.order("A-1", 1000)
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
		if err != nil {
			t.Fatal(err)
		}
		if got.Outcome != payment.Declined || got.ResponseCode != "55" || !slices.Contains(got.Reasons, c.reason) {
			t.Errorf("%s, %s: %q, want %q", got.Outcome, got.ResponseCode, got.Reasons, c.reason)
		}
	}
}
