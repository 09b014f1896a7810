package payment_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted/console"
)

// TestConsole: on the text terminal somebody adds a tip, agrees and enters a card's
// data, the expiry wrongly at first; what is paid is the amount with the tip, and
// neither number nor CVV2 is on the screen or in what the app is told.
func TestConsole(t *testing.T) {
	w := newWorld(t)
	w.tips, w.entry = 20, trade.EntryPolicy{Manual: true}
	rc := plain()
	k := printedCard(t, rc.profile)
	number, printed := string(k.PAN.Reveal()), string(k.CVV2.Reveal())
	in := "30%\n10%\ny\n" + number + "\n" + k.Expiry + "\n" + k.Expiry[2:] + k.Expiry[:2] + "\n" + printed + "\n"
	var out bytes.Buffer
	rc.ui = console.New(console.Config{In: strings.NewReader(in), Out: &out})
	rc.reader = func(r cardreader.Reader) cardreader.Reader { return gated{r, nil} }
	r := w.rig(rc)
	w.order("A-1", 1234)
	got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
	if err != nil || got.Outcome != payment.Approved || got.Entry != "manual" || got.Tip != "1.23" {
		t.Fatalf("%s %s, tip %q, %v\n%s", got.Outcome, got.Entry, got.Tip, err, out.String())
	}
	if b := w.merchantBalance(); b != 1357 {
		t.Errorf("the merchant has %d", b)
	}
	for _, s := range []string{"This tip is not possible", "This is no expiry date", "EUR\u00a013.57", "of which tip EUR 1.23", "Approved"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("%q was not on the screen:\n%s", s, out.String())
		}
	}
	told := strings.ReplaceAll(out.String(), " ", "") + fmt.Sprintf("%+v", r.final())
	for _, s := range []string{number, number[6:12], "\n" + printed} {
		if strings.Contains(told, s) {
			t.Errorf("%q is told:\n%s", s, told)
		}
	}
}
