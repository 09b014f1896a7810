package payment_test

import (
	"context"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted/scripted"
)

// prompts is a panel that remembers its prompts, and may press a key before the
// cardholder does.
type prompts struct {
	softpad.Panel
	seen    []pinpad.Prompt
	fixed   []bool
	presses softpad.Key
}

func (p *prompts) Open(ctx context.Context, prompt pinpad.Prompt, l softpad.Layout) (softpad.Entry, error) {
	p.seen = append(p.seen, prompt)
	p.fixed = append(p.fixed, l == softpad.FixedLayout())
	e, err := p.Panel.Open(ctx, prompt, l)
	if err != nil || p.presses == 0 {
		return e, err
	}
	first := p.presses
	p.presses = 0
	return &pressing{e, first}, nil
}

type pressing struct {
	softpad.Entry
	first softpad.Key
}

func (p *pressing) Next(ctx context.Context) (softpad.Key, error) {
	if k := p.first; k != 0 {
		p.first = 0
		return k, nil
	}
	return p.Entry.Next(ctx)
}

// TestPINPolicy: bypass and the accessible keypad are there when the server
// grants them, for the payment that it grants them for, and never else: the
// cardholder presses the keys in every case.
func TestPINPolicy(t *testing.T) {
	w := newWorld(t)
	c := plain()
	panel := &prompts{Panel: scripted.New(c.script)}
	c.panel = panel
	r := w.rig(c)
	for i, step := range []struct {
		policy  trade.PINPolicy
		presses softpad.Key
		fixed   []bool
	}{
		{trade.PINPolicy{}, softpad.KeyAccessible, []bool{false}},
		{trade.PINPolicy{}, softpad.KeyBypass, []bool{false}},
		{trade.PINPolicy{Accessible: true}, softpad.KeyAccessible, []bool{false, true}},
		{trade.PINPolicy{Accessible: true}, 0, []bool{false}},
		{trade.PINPolicy{Accessible: true}, softpad.KeyBypass, []bool{false}},
		{trade.PINPolicy{}, softpad.KeyAccessible, []bool{false}},
	} {
		w.mu.Lock()
		w.pin = step.policy
		w.mu.Unlock()
		order := "policy-" + string(rune('a'+i))
		w.order(order, 1234)
		panel.seen, panel.fixed, panel.presses = nil, nil, step.presses
		res, err := r.unit.Pay(t.Context(), payment.Order{ID: order})
		if err != nil || res.Outcome != payment.Approved {
			t.Fatalf("%d: %v %v", i, res.Outcome, err)
		}
		if len(panel.fixed) != len(step.fixed) || panel.fixed[len(panel.fixed)-1] != step.fixed[len(step.fixed)-1] {
			t.Errorf("%d: keypads of fixed layout: %v, want %v", i, panel.fixed, step.fixed)
		}
		for _, p := range panel.seen {
			if p.AllowAccessible != step.policy.Accessible || p.AllowBypass != step.policy.Bypass {
				t.Errorf("%d: the pad was granted %+v, want %+v", i, p, step.policy)
			}
			if p.Amount != euros(t, 1234) {
				t.Errorf("%d: the keypad shows %s", i, p.Amount)
			}
		}
	}
}

// TestPINBypassed: with the server's leave the PIN is skipped, and the terminal
// says so in the TVR.
func TestPINBypassed(t *testing.T) {
	for granted, want := range map[bool]bool{true: true, false: false} {
		w := newWorld(t)
		w.pin.Bypass = granted
		c := plain()
		panel := &prompts{Panel: scripted.New(c.script), presses: softpad.KeyBypass}
		c.panel = panel
		r := w.rig(c)
		w.order("order", 1234)
		res, err := r.unit.Pay(t.Context(), payment.Order{ID: "order"})
		if err != nil {
			t.Fatal(err)
		}
		// TVR byte 3, bit 4: PIN entry required, PIN pad present, but PIN was not
		// entered.
		if got := len(res.TVR) == 10 && strings.ContainsAny(res.TVR[5:6], "89ABCDEF"); got != want {
			t.Errorf("granted %v: TVR %s", granted, res.TVR)
		}
		if granted == (res.Outcome == payment.Approved) {
			t.Errorf("granted %v: %s", granted, res.Outcome)
		}
	}
}

// TestEventsTellNothingOfTheKeypad: what the app hears of two payments differs in
// nothing that the number of keys, or which, could have made.
func TestEventsTellNothingOfTheKeypad(t *testing.T) {
	tell := func(keys softpad.Key) []string {
		w := newWorld(t)
		c := plain()
		c.script.PIN = secret.CopyBytes([]byte("1234"))
		panel := &prompts{Panel: scripted.New(c.script), presses: keys}
		c.panel = panel
		r := w.rig(c)
		w.order("order", 1234)
		if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "order"}); err != nil {
			t.Fatal(err)
		}
		if len(panel.seen) != 1 {
			t.Fatalf("%d entries", len(panel.seen))
		}
		var out []string
		for _, e := range r.events {
			if strings.Contains(strings.ToLower(e.Text+e.Step), "digit") {
				t.Errorf("an event speaks of digits: %+v", e)
			}
			out = append(out, string(e.Phase)+" "+e.Step)
		}
		return out
	}
	one, more := tell(0), tell(softpad.KeyClear)
	if strings.Join(one, "\n") != strings.Join(more, "\n") {
		t.Errorf("the events tell that a key more was pressed:\n%s\n\n%s", strings.Join(one, "\n"), strings.Join(more, "\n"))
	}
}
