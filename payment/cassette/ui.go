package cassette

import (
	"context"
	"slices"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
)

const (
	portUI = "ui"
	// opCan is no call: it says what a UI is able to do.
	opCan     = "can"
	opTip     = "tip"
	opKeyCard = "key-card"
)

// abilities are what a UI can do besides.
type abilities struct {
	Keys bool `json:"keys,omitempty"`
	Tips bool `json:"tips,omitempty"`
	// Languages are a trusted.Speaker's.
	Languages []string `json:"languages,omitempty"`
}

// UI returns a trusted user interface, which is a trusted.CardKeyer, a
// trusted.Tipper and a trusted.Speaker when u is, or when the one that was recorded
// was. What it records tells what was entered: number, expiry and CVV2. The
// languages are those that u speaks now.
func (t *Tape) UI(u trusted.UI) trusted.UI {
	can := t.abilities(u)
	screen := able(&ui{t, u}, can)
	if len(can.Languages) == 0 {
		return screen
	}
	s := speaker(can.Languages)
	switch x := screen.(type) {
	case bothAble:
		return struct {
			bothAble
			speaker
		}{x, s}
	case keysAble:
		return struct {
			keysAble
			speaker
		}{x, s}
	case tipsAble:
		return struct {
			tipsAble
			speaker
		}{x, s}
	}
	return struct {
		trusted.UI
		speaker
	}{screen, s}
}

type (
	keysAble struct {
		*ui
		keyer
	}
	tipsAble struct {
		*ui
		tipper
	}
	bothAble struct {
		*ui
		keyer
		tipper
	}
)

// able is a UI as far as entries go.
func able(screen *ui, can abilities) trusted.UI {
	switch {
	case can.Keys && can.Tips:
		return bothAble{screen, keyer{screen}, tipper{screen}}
	case can.Keys:
		return keysAble{screen, keyer{screen}}
	case can.Tips:
		return tipsAble{screen, tipper{screen}}
	}
	return screen
}

// abilities are those of u, which are recorded, or of the recorded one. A UI that
// can nothing besides leaves no line.
func (t *Tape) abilities(u trusted.UI) (can abilities) {
	if t.playing == nil {
		_, can.Keys = u.(trusted.CardKeyer)
		_, can.Tips = u.(trusted.Tipper)
		if s, ok := u.(trusted.Speaker); ok {
			can.Languages = slices.Clone(s.Languages())
		}
		if can.Keys || can.Tips || len(can.Languages) > 0 {
			t.record(call{port: portUI, op: opCan}, can, nil)
		}
		return can
	}
	t.mu.Lock()
	lane := t.playing.lanes[portUI]
	recorded := len(lane) > 0 && lane[0].Op == opCan
	t.mu.Unlock()
	if recorded {
		// A line that is none of the format is a mismatch, which stays.
		can, _ = do[abilities](t, call{port: portUI, op: opCan}, nil)
	}
	return can
}

// speaker are languages.
type speaker []string

// Languages implements trusted.Speaker.
func (s speaker) Languages() []string { return slices.Clone(s) }

type ui struct {
	t *Tape
	u trusted.UI
}

func (u *ui) Notify(ctx context.Context, n trusted.Notice) error {
	_, err := do(u.t, call{ctx: ctx, port: portUI, op: "notify", ask: n}, func() (none, error) { return none{}, u.u.Notify(ctx, n) })
	return err
}

func (u *ui) Confirm(ctx context.Context, c trusted.Confirmation) error {
	_, err := do(u.t, call{ctx: ctx, port: portUI, op: "confirm", ask: c}, func() (none, error) { return none{}, u.u.Confirm(ctx, c) })
	return err
}

func (u *ui) Choose(ctx context.Context, labels []string) (int, error) {
	return do(u.t, call{ctx: ctx, port: portUI, op: "choose", ask: labels}, func() (int, error) { return u.u.Choose(ctx, labels) })
}

type tipper struct{ screen *ui }

// Tip implements trusted.Tipper.
func (u tipper) Tip(ctx context.Context, p trusted.TipPrompt) (money.Amount, error) {
	return do(u.screen.t, call{ctx: ctx, port: portUI, op: opTip, ask: p}, func() (money.Amount, error) {
		return u.screen.u.(trusted.Tipper).Tip(ctx, p)
	})
}

type keyer struct{ screen *ui }

// keyed is what was entered by hand.
type keyed struct {
	PAN    hexBytes `json:"pan,omitempty"`
	Expiry string   `json:"expiry,omitempty"`
	CVV2   hexBytes `json:"cvv2,omitempty"`
}

// KeyCard implements trusted.CardKeyer.
func (u keyer) KeyCard(ctx context.Context, p trusted.CardPrompt) (k trusted.KeyedCard, err error) {
	t, c := u.screen.t, call{ctx: ctx, port: portUI, op: opKeyCard, ask: p}
	a, err := do(t, c, func() (_ keyed, err error) {
		k, err = u.screen.u.(trusted.CardKeyer).KeyCard(ctx, p)
		return keyed{k.PAN.Reveal(), k.Expiry, k.CVV2.Reveal()}, err
	})
	if t.playing == nil || err != nil {
		return k, err
	}
	defer clear(a.PAN)
	defer clear(a.CVV2)
	if k.PAN, err = secret.NewPAN(a.PAN); err != nil {
		return k, t.mismatch(c, 0, "the recorded answer is no card's number")
	}
	k.Expiry = a.Expiry
	if len(a.CVV2) > 0 {
		k.CVV2 = secret.CopyBytes(a.CVV2)
	}
	return k, nil
}
