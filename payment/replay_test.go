package payment_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/magstripe"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/cassette"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/scripted"
	"github.com/payunit/payunit/trusted/vault"
)

// idle is a UI, and a panel, before which nobody does anything.
type idle struct{ *scripted.Cardholder }

func (idle) Confirm(ctx context.Context, _ trusted.Confirmation) error {
	<-ctx.Done()
	return ctx.Err()
}

func (i idle) Open(ctx context.Context, p pinpad.Prompt, l softpad.Layout) (softpad.Entry, error) {
	e, err := i.Cardholder.Open(ctx, p, l)
	return unpressed{e}, err
}

type unpressed struct{ softpad.Entry }

func (unpressed) Next(ctx context.Context) (softpad.Key, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// stalls is a reader whose card never answers the n-th GENERATE AC; of no card when
// n is zero.
type stalls struct {
	cardreader.Reader
	n int
}

// named has the name that a played reader has.
type named struct{ cardreader.Reader }

func (named) Name() string { return "cassette" }

// unswiped is a reader through which nobody draws a stripe.
type unswiped struct{}

func (unswiped) Name() string { return "cassette" }

func (unswiped) Swipe(ctx context.Context) (magstripe.Stripe, error) {
	<-ctx.Done()
	return magstripe.Stripe{}, ctx.Err()
}

type stalling struct {
	cardreader.Card
	n *int
}

func (s stalls) Connect(ctx context.Context) (cardreader.Card, error) {
	if s.n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c, err := s.Reader.Connect(ctx)
	return stalling{c, &s.n}, err
}

func (s stalling) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if command[1] == 0xAE {
		if *s.n--; *s.n == 0 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}
	return s.Card.Transmit(ctx, command)
}

// TestReplay: a payment that a limit of the unit's ended, and one in the card's
// language, is the same when it is played, in what it returns, tells and keeps.
func TestReplay(t *testing.T) {
	const short = 10 * time.Second
	stallsAt := func(n int) func(cardreader.Reader) cardreader.Reader {
		return func(r cardreader.Reader) cardreader.Reader { return stalls{r, n} }
	}
	for _, c := range []struct {
		name   string
		limits payment.Limits
		reader func(cardreader.Reader) cardreader.Reader
		// stripe: there is a reader of stripes; ui, pad: nobody is before them.
		stripe, ui, pad bool
		speaks          []string
		want            payment.Outcome // empty where the payment fails
		receipt         string
	}{
		{name: "nobody agrees", limits: payment.Limits{Confirm: short}, ui: true, want: payment.Cancelled},
		{name: "no card", limits: payment.Limits{Insert: short}, reader: stallsAt(0), want: payment.Cancelled},
		{name: "neither card nor stripe", limits: payment.Limits{Insert: short}, reader: stallsAt(0), stripe: true, want: payment.Cancelled},
		{name: "no PIN", limits: payment.Limits{Card: short}, pad: true},
		{name: "the card's first answer", limits: payment.Limits{Card: short}, reader: stallsAt(1)},
		{name: "the card's second answer", limits: payment.Limits{Complete: short}, reader: stallsAt(2), want: payment.Declined},
		{
			name: "the card's language", reader: func(r cardreader.Reader) cardreader.Reader { return prefers{r, "fr"} },
			speaks: []string{"de", "fr"}, want: payment.Approved, receipt: "ACHAT",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.order("A-1", 1234)
				w.entry.Stripe = c.stripe
				v, err := vault.Open(w.ctx, t.TempDir(), vault.Config{Key: vault.FixedKey(key(0xC1, 32))})
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := v.Close(); err != nil {
						t.Error(err)
					}
				}()
				a, err := w.registry.CreateActivation(w.ctx, host.Merchant{ID: testMerchant, Name: "Test Merchant"})
				if err != nil {
					t.Fatal(err)
				}
				code, err := a.Code()
				if err != nil {
					t.Fatal(err)
				}
				// pay makes the payment through a tape, and returns all that it showed.
				// What is kept, and what went up, the tape itself compares.
				pay := func(tape *cassette.Tape, modules softunit.Config) (payment.Result, string, []payment.Event) {
					t.Helper()
					var events []payment.Event
					terminal := w.terminal()
					modules.Terminal, modules.CAKeys, modules.Limits, modules.Activation = &terminal, w.caKeys(), c.limits, code
					modules.Rand, modules.Now, modules.Timeout = tape.Rand(rand.Reader), tape.Now, tape.Timeout
					modules.Observe = func(e payment.Event) { events = append(events, e) }
					if c.stripe {
						modules.Stripe = tape.Stripe(unswiped{})
					}
					ctx, stop := tape.Context(t.Context())
					defer stop()
					u, err := softunit.Open(ctx, modules)
					if err != nil {
						t.Fatal(err)
					}
					result, failed := u.Pay(ctx, payment.Order{ID: "A-1"})
					if err := u.Close(); err != nil {
						t.Error(err)
					}
					if err := tape.End(result, failed); err != nil {
						t.Error(err)
					}
					text := ""
					if failed != nil {
						text = failed.Error()
					}
					return result, text, events
				}

				var file bytes.Buffer
				tape, err := cassette.Record(&file, cassette.Setup{}, now)
				if err != nil {
					t.Fatal(err)
				}
				rc := plain()
				reader := cardreader.Reader(named{w.reader(rc)})
				if c.reader != nil {
					reader = c.reader(reader)
				}
				holder := scripted.New(scripted.Script{PIN: secret.CopyBytes([]byte(simcard.TestPIN))})
				var screen trusted.UI = holder
				var panel softpad.Panel = holder
				if c.speaks != nil {
					prompt := ""
					screen = speaker{holder, c.speaks, &prompt}
				}
				if c.ui {
					screen = idle{holder}
				}
				if c.pad {
					panel = idle{holder}
				}
				want, failure, told := pay(tape, softunit.Config{
					State: tape.State(v), Link: tape.Link(w), Reader: tape.Reader(reader), UI: tape.UI(screen), Panel: tape.Panel(panel),
				})
				if want.Outcome != c.want || !strings.Contains(want.Receipt, c.receipt) || (failure != "") != (c.want == "") {
					t.Fatalf("recorded: %v, %s\n%s", want.Outcome, failure, want.Receipt)
				}

				if tape, err = cassette.Play(&file); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				got, again, said := pay(tape, softunit.Config{
					State: tape.State(nil), Link: tape.Link(nil), Reader: tape.Reader(nil), UI: tape.UI(nil), Panel: tape.Panel(nil),
				})
				if took := time.Since(began); took > 0 {
					t.Errorf("the play waited for %v", took)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("-recorded +played\n%s", d)
				}
				if d := cmp.Diff(failure, again); d != "" {
					t.Errorf("-recorded +played\n%s", d)
				}
				if d := cmp.Diff(told, said); d != "" {
					t.Errorf("-recorded +played\n%s", d)
				}
			})
		})
	}
}
