package cassette_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/cassette"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/trusted"
)

const (
	track1 = "%B4761739001010010^CARDHOLDER/TEST^31122011000000000?"
	track2 = ";4761739001010010=31122011000012345?"
)

// tips and keys are UIs with one ability, and both with two.
type tips struct{ *modules }

func (tips) Tip(_ context.Context, p trusted.TipPrompt) (money.Amount, error) {
	return money.New(p.Max.Minor/2, p.Max.Currency), nil
}

type keys struct {
	*modules
	cvv2 string
	err  error
}

func (k keys) KeyCard(context.Context, trusted.CardPrompt) (trusted.KeyedCard, error) {
	if k.err != nil {
		return trusted.KeyedCard{}, k.err
	}
	pan, err := secret.NewPAN([]byte("4761739001010010"))
	return trusted.KeyedCard{PAN: pan, Expiry: "3112", CVV2: secret.CopyBytes([]byte(k.cvv2))}, err
}

type tipsAndKeys struct {
	tips
	k keys
}

func (b tipsAndKeys) KeyCard(ctx context.Context, p trusted.CardPrompt) (trusted.KeyedCard, error) {
	return b.k.KeyCard(ctx, p)
}

// swipes are what a stripe reader gives, one after the other.
type swipes []string

func (*swipes) Name() string { return "a stripe reader" }

func (s *swipes) Swipe(context.Context) (magstripe.Stripe, error) {
	t := (*s)[0]
	*s = (*s)[1:]
	return magstripe.Parse([]byte(t))
}

// entries is what a unit might do with them. It returns what it saw.
func entries(ctx context.Context, t *cassette.Tape, screen trusted.UI, r magstripe.Reader, most int64) string {
	var saw strings.Builder
	see := func(v ...any) { fmt.Fprintln(&saw, v...) }
	eur, err := money.ByCode("EUR")
	see(err)
	u := t.UI(screen)
	see("confirm", u.Confirm(ctx, trusted.Confirmation{Merchant: "Shop"}))
	if x, ok := u.(trusted.Tipper); ok {
		tip, err := x.Tip(ctx, trusted.TipPrompt{Merchant: "Shop", Amount: money.New(1234, eur), Max: money.New(most, eur)})
		see("tip", tip, err)
	}
	if x, ok := u.(trusted.CardKeyer); ok {
		k, err := x.KeyCard(ctx, trusted.CardPrompt{Amount: money.New(1234, eur)})
		see("card", string(k.PAN.Reveal()), k.Expiry, string(k.CVV2.Reveal()), errors.Is(err, trusted.ErrCancelled), err)
	}
	for range 3 {
		s, err := t.Stripe(r).Swipe(ctx)
		see("swipe", s.ServiceCode(), errors.Is(err, magstripe.ErrTrack), err)
		if err == nil {
			see(string(magstripe.AppendTrack2(nil, s.Track2)))
			if !s.Track1.IsZero() {
				see(string(s.Track1.Append(nil)))
			}
		}
	}
	return saw.String()
}

// TestEntries: tips, cards by hand and stripes are played as they were recorded,
// and a UI is able to do what the recorded one was, no more and no less.
func TestEntries(t *testing.T) {
	m := newModules()
	for name, c := range map[string]struct {
		screen trusted.UI
		says   []string
		not    string
	}{
		"neither":      {m, nil, "tip"},
		"tips":         {tips{m}, []string{"tip 1.00 EUR"}, "card 4761"},
		"keys":         {keys{modules: m, cvv2: "123"}, []string{"card 4761739001010010 3112 123 false"}, "tip"},
		"without CVV2": {keys{modules: m}, []string{"card 4761739001010010 3112  false"}, "tip"},
		"cancelled":    {keys{modules: m, err: fmt.Errorf("at the number: %w", trusted.ErrCancelled)}, []string{"true at the number"}, "tip"},
		"both":         {tipsAndKeys{tips{m}, keys{cvv2: "9876"}}, []string{"tip 1.00 EUR", "card 4761739001010010 3112 9876"}, "other"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			tape, err := cassette.Record(&b, cassette.Setup{}, clock())
			if err != nil {
				t.Fatal(err)
			}
			want := entries(t.Context(), tape, c.screen, &swipes{track1 + track2, "badly read", track2}, 200)
			for _, s := range append(c.says, "swipe 201 false <nil>", "swipe  true magstripe", track2, track1) {
				if !strings.Contains(want, strings.TrimSuffix(s, "?")) {
					t.Errorf("%q is not in what was recorded:\n%s", s, want)
				}
			}
			if strings.Contains(want, c.not) {
				t.Errorf("%q is in what was recorded:\n%s", c.not, want)
			}
			if err := tape.End(1, nil); err != nil {
				t.Fatal(err)
			}
			if tape, err = cassette.Play(bytes.NewReader(b.Bytes())); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, entries(t.Context(), tape, nil, nil, 200)); d != "" {
				t.Errorf("-recorded +played\n%s", d)
			}
			if err := tape.End(1, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// UIs that speak languages besides.
type (
	speaks     struct{ languages []string }
	plainSpeak struct {
		*modules
		speaks
	}
	tipsSpeak struct {
		tips
		speaks
	}
	keysSpeak struct {
		keys
		speaks
	}
	bothSpeak struct {
		tipsAndKeys
		speaks
	}
)

func (s speaks) Languages() []string { return s.languages }

// TestLanguages: a UI speaks what the recorded one spoke, whatever else it can do;
// one out of a cassette that does not say speaks nothing.
func TestLanguages(t *testing.T) {
	type can struct {
		Keys, Tips bool
		Languages  []string
	}
	is := func(u trusted.UI) (c can) {
		_, c.Keys = u.(trusted.CardKeyer)
		_, c.Tips = u.(trusted.Tipper)
		if s, ok := u.(trusted.Speaker); ok {
			c.Languages = s.Languages()
		}
		return c
	}
	m, l := newModules(), []string{"de", "fr"}
	for name, c := range map[string]struct {
		screen trusted.UI
		want   can
	}{
		"languages":       {plainSpeak{m, speaks{l}}, can{Languages: l}},
		"tips":            {tipsSpeak{tips{m}, speaks{l}}, can{Tips: true, Languages: l}},
		"keys":            {keysSpeak{keys{modules: m}, speaks{l}}, can{Keys: true, Languages: l}},
		"all":             {bothSpeak{tipsAndKeys{tips{m}, keys{}}, speaks{l}}, can{Keys: true, Tips: true, Languages: l}},
		"no language":     {plainSpeak{m, speaks{nil}}, can{}},
		"does not say":    {m, can{}},
		"tips, not these": {tips{m}, can{Tips: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			tape, err := cassette.Record(&b, cassette.Setup{}, clock())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, is(tape.UI(c.screen))); d != "" {
				t.Errorf("recording: -want +got\n%s", d)
			}
			if err := tape.End(1, nil); err != nil {
				t.Fatal(err)
			}
			const languages = `"languages":["de","fr"]`
			older := strings.Replace(strings.Replace(b.String(), ","+languages, "", 1), languages, "", 1)
			if tape, err = cassette.Play(&b); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, is(tape.UI(nil))); d != "" {
				t.Errorf("playing: -want +got\n%s", d)
			}
			if err := tape.End(1, nil); err != nil {
				t.Error(err)
			}
			if tape, err = cassette.Play(strings.NewReader(older)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(can{Keys: c.want.Keys, Tips: c.want.Tips}, is(tape.UI(nil))); d != "" {
				t.Errorf("playing an older one: -want +got\n%s", d)
			}
		})
	}
}

// TestEntriesMismatch: a tip under another limit, and answers that were damaged,
// are told without what is in them.
func TestEntriesMismatch(t *testing.T) {
	var b bytes.Buffer
	tape, err := cassette.Record(&b, cassette.Setup{}, clock())
	if err != nil {
		t.Fatal(err)
	}
	entries(t.Context(), tape, tipsAndKeys{tips{newModules()}, keys{cvv2: "987"}}, &swipes{track2, track2, track2}, 200)
	if err := tape.End(1, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, from, to string
		most           int64
		port, op, says string
	}{
		{"limit", "", "", 300, "ui", "tip", "Max"},
		{"number", `"pan":"34`, `"pan":"41`, 200, "ui", "key-card", "no card's number"},
		{"stripe", `"tracks":"3b`, `"tracks":"3c`, 200, "stripe", "swipe", "no stripe"},
		{"abilities", `"keys":true`, `"keys":7`, 200, "ui", "can", "type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := strings.Replace(b.String(), c.from, c.to, 1)
			if c.from != "" && file == b.String() {
				t.Fatal("nothing was damaged")
			}
			tape, err := cassette.Play(strings.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			entries(t.Context(), tape, nil, nil, c.most)
			err = tape.End(1, nil)
			var m *cassette.Mismatch
			if !errors.As(err, &m) || m.Port != c.port || m.Op != c.op || !strings.Contains(m.Reason, c.says) {
				t.Fatalf("%v", err)
			}
			for _, s := range []string{"4761739001010010", "7390", "987", "3437363137"} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// TestCalledOff: a wait that the unit gave up does not cancel the payment that is
// played, one that ended with the payment does.
func TestCalledOff(t *testing.T) {
	for _, ended := range []bool{false, true} {
		var b bytes.Buffer
		tape, err := cassette.Record(&b, cassette.Setup{}, clock())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := tape.Context(t.Context())
		m := newModules()
		m.connect = func() (cardreader.Card, error) {
			if ended {
				cancel()
			}
			return nil, fmt.Errorf("waiting: %w", context.Canceled)
		}
		if _, err := tape.Reader(m).Connect(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancel()
		if tape, err = cassette.Play(&b); err != nil {
			t.Fatal(err)
		}
		ctx, stop := tape.Context(t.Context())
		if _, err := tape.Reader(nil).Connect(ctx); !errors.Is(err, context.Canceled) || err.Error() != "waiting: context canceled" {
			t.Errorf("%v", err)
		}
		if (ctx.Err() != nil) != ended {
			t.Errorf("ended %v: the payment's context: %v", ended, ctx.Err())
		}
		stop()
	}
}
