package payment_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment"
)

// tapped is a contactless reader with a card of a profile, behind a wedge.
func tapped(t *testing.T, profile string, wedge func(cardreader.Card) cardreader.Card, f ...simcard.Fault) cardreader.Reader {
	p := &taptest.Tap{Wedge: wedge}
	return p.Field(simcard.NewField("test field", taptest.Card(t, profile, nil, f...)))
}

// altered lets a wedge alter a tag in a card's answers to GET PROCESSING OPTIONS.
func altered(tag tlv.Tag, alter func(v []byte)) func(cardreader.Card) cardreader.Card {
	return func(c cardreader.Card) cardreader.Card {
		return taptest.Between{Card: c, Answer: func(command, answer []byte) []byte {
			if command[1] == 0xA8 && len(answer) > 2 {
				if v, ok := tlv.Find(answer[:len(answer)-2], tag); ok {
					alter(v)
				}
			}
			return answer
		}}
	}
}

// fields counts the times that a card came into the field.
func (r *rig) fields() (n int) {
	for _, e := range r.events {
		if e.Step == "reset" && strings.HasPrefix(e.Text, "card in the field") {
			n++
		}
	}
	return n
}

// TestTapped pays whole payments by tapping: what the result says, what the issuer
// thinks of a wedge, what the card was asked for.
func TestTapped(t *testing.T) {
	for _, c := range []struct {
		name    string
		minor   int64
		profile string
		wedge   func(cardreader.Card) cardreader.Card
		faults  []simcard.Fault
		outcome payment.Outcome
		entry   string
		cvm     string
		says    string
		// unauthenticated takes authentication for online out of the reader: the
		// issuer alone is between the wedge and the money.
		unauthenticated bool
	}{
		{name: "a card", minor: 1234, profile: "default", outcome: payment.Approved, entry: "contactless", cvm: "No CVM required"},
		{name: "a card with its PIN", minor: 6000, profile: "default", outcome: payment.Approved, entry: "contactless", cvm: "Enciphered PIN verified online"},
		{name: "an M/Chip card", minor: 1234, profile: "mchip", outcome: payment.Approved, entry: "contactless", cvm: "No CVM required"},
		{name: "a phone", minor: 6000, profile: "phone-unlocked", outcome: payment.Approved, entry: "contactless", cvm: "verified by the cardholder's device"},
		{name: "inserted instead", minor: 1234, profile: "tap-insert", outcome: payment.Approved, entry: "chip", cvm: "Enciphered PIN verified online"},
		{name: "torn at its options", minor: 1234, profile: "default", outcome: payment.Approved, entry: "contactless",
			faults: []simcard.Fault{{Action: simcard.RemoveAfter, At: simcard.OnGPO, Nth: 1}}},
		{name: "torn at its cryptogram", minor: 1234, profile: "mchip", outcome: payment.Approved, entry: "contactless",
			faults: []simcard.Fault{{Action: simcard.RemoveAfter, At: simcard.OnFirstGAC, Nth: 1}}},
		{name: "no funds", minor: cardBalance + 1, profile: "default", outcome: payment.Declined, entry: "chip"},
		{name: "a wedge that skips the PIN", minor: 6000, profile: "default", outcome: payment.Declined, entry: "contactless", cvm: "verified by the cardholder's device",
			wedge: altered(tags.CTQ, func(v []byte) { v[0], v[1] = 0x00, 0x80 }), says: "declined", unauthenticated: true},
		{name: "a wedge that skips the PIN, and the card is authenticated", minor: 6000, profile: "default", outcome: payment.Declined, entry: "contactless",
			wedge: altered(tags.CTQ, func(v []byte) { v[0], v[1] = 0x00, 0x80 }), says: "not those that it authenticates"},
		{name: "a wedge that changes the number", minor: 1234, profile: "default", outcome: payment.Declined, entry: "contactless",
			wedge: altered(tags.Track2, func(v []byte) { copy(v, []byte{0x47, 0x61, 0x73, 0x90, 0x01, 0x07, 0x00, 0x14}) }), says: "declined", unauthenticated: true},
		{name: "a wedge that changes the number, and the card is authenticated", minor: 1234, profile: "default", outcome: payment.Approved, entry: "chip",
			wedge: altered(tags.Track2, func(v []byte) { copy(v, []byte{0x47, 0x61, 0x73, 0x90, 0x01, 0x07, 0x00, 0x14}) })},
		{name: "a wedge that changes the profile", minor: 1234, profile: "default", outcome: payment.Declined, entry: "contactless",
			wedge: altered(tags.AIP, func(v []byte) { v[0] ^= 0x40 }), says: "declined", unauthenticated: true},
		{name: "a wedge that changes the profile, and the card is authenticated", minor: 1234, profile: "default", outcome: payment.Declined, entry: "contactless",
			wedge: altered(tags.AIP, func(v []byte) { v[0] ^= 0x40 }), says: "fDDA failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := plain()
			cfg.profile = c.profile
			cfg.tap = tapped(t, c.profile, c.wedge, c.faults...)
			if c.unauthenticated {
				cfg.terminal = func(term *emv.Terminal) { term.Applications[0].Contactless.TTQ.Clear(tags.TTQODAForOnline) }
			}
			r := w.rig(cfg)
			w.order("T", c.minor)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "T"})
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != c.outcome || got.Entry != c.entry || c.cvm != "" && got.CVM != c.cvm {
				t.Errorf("%s by %s, %s: %v", got.Outcome, got.Entry, got.CVM, got.Reasons)
			}
			if !strings.Contains(strings.Join(got.Reasons, ";"), c.says) {
				t.Errorf("reasons %v, want %q", got.Reasons, c.says)
			}
			// A card that the reader declined leaves nobody at risk.
			if c.entry == "contactless" && (c.outcome == payment.Approved || c.unauthenticated) && (len(got.Risks) == 0) != (c.profile == "mchip") {
				t.Errorf("left unchecked: %v", got.Risks)
			}
			if len(r.final()) != 1 {
				t.Errorf("%d final events", len(r.final()))
			}
			// Nobody holds a card to a reader again for nothing.
			if n := r.fields(); c.outcome == payment.Approved && c.entry == "contactless" && n != 1+len(c.faults) {
				t.Errorf("the card was in the field %d times", n)
			}
			w.audit()
		})
	}
}

// TestTappedTellsNoSecrets searches what the unit told for the card's number.
func TestTappedTellsNoSecrets(t *testing.T) {
	for _, profile := range []string{"default", "mchip"} {
		w := newWorld(t)
		cfg := plain()
		cfg.tap = tapped(t, profile, nil)
		r := w.rig(cfg)
		w.order("T", 6000)
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "T"})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		p, err := simcard.LookupProfile(profile)
		if err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		all := fmt.Sprintf("%s %+v %v", b, r.events, w.events)
		w.mu.Unlock()
		for _, s := range []string{p.Applications[0].PAN, p.Applications[0].PAN[1:13], simcard.TestPIN + " "} {
			if strings.Contains(all, s) {
				t.Errorf("%s: told %q", profile, s)
			}
		}
	}
}

// TestTappedOrNothing ends where the card would have to be inserted.
func TestTappedOrNothing(t *testing.T) {
	w := newWorld(t)
	cfg := plain()
	cfg.tap = tapped(t, "tap-insert", nil)
	cfg.reader = func(cardreader.Reader) cardreader.Reader { return nil }
	r := w.rig(cfg)
	w.order("T", 1234)
	if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "T"}); err == nil || !strings.Contains(err.Error(), "wants to be inserted") {
		t.Errorf("error %v", err)
	}
	if w.state("T") != "open" {
		t.Errorf("the order is %s", w.state("T"))
	}
}

// TestInsertedMeanwhile: a card is inserted while the unit waits for one in the
// field; and a terminal that has nothing for tapped cards waits for none.
func TestInsertedMeanwhile(t *testing.T) {
	for name, alter := range map[string]func(*emv.Terminal){
		"inserted": nil,
		"nothing for tapped cards": func(term *emv.Terminal) {
			for i := range term.Applications {
				term.Applications[i].Contactless = nil
			}
		},
	} {
		w := newWorld(t)
		cfg := plain()
		other := &elsewhere{}
		cfg.tap, cfg.terminal = other, alter
		r := w.rig(cfg)
		w.order("T", 1234)
		got, err := r.unit.Pay(t.Context(), payment.Order{ID: "T"})
		if err != nil || got.Outcome != payment.Approved || got.Entry != "chip" {
			t.Errorf("%s: %s by %s, %v", name, got.Outcome, got.Entry, err)
		}
		if want := map[bool]int{true: 1}[alter == nil]; other.waited != want {
			t.Errorf("%s: waited %d times for a tapped card, want %d", name, other.waited, want)
		}
	}
	// Where none can be inserted it is an error, and so is a terminal that takes
	// no card at all.
	w := newWorld(t)
	cfg := plain()
	cfg.tap, cfg.reader = &elsewhere{}, func(cardreader.Reader) cardreader.Reader { return nil }
	r := w.rig(cfg)
	w.order("T", 1234)
	if _, err := r.unit.Pay(t.Context(), payment.Order{ID: "T"}); !errors.Is(err, cardreader.ErrOther) || !errors.Is(err, payment.ErrCard) {
		t.Errorf("error %v", err)
	}
	c := r.config
	c.Terminal.Applications = slices.Clone(c.Terminal.Applications)
	for i := range c.Terminal.Applications {
		c.Terminal.Applications[i].Contactless = nil
	}
	if _, err := payment.New(c); !errors.Is(err, payment.ErrConfig) {
		t.Errorf("error %v", err)
	}
}

// elsewhere is a field beside a slot that a card is put into.
type elsewhere struct{ waited int }

func (*elsewhere) Name() string { return "field beside a slot" }

func (e *elsewhere) Connect(context.Context) (cardreader.Card, error) {
	e.waited++
	return nil, fmt.Errorf("test: %w", cardreader.ErrOther)
}

// TestTapCancelled stops at once when the app does.
func TestTapCancelled(t *testing.T) {
	w := newWorld(t)
	cfg := plain()
	ctx, cancel := context.WithCancel(t.Context())
	cfg.tap = empty{cancel}
	r := w.rig(cfg)
	w.order("T", 1234)
	if _, err := r.unit.Pay(ctx, payment.Order{ID: "T"}); err == nil {
		t.Error("no error")
	}
	if !slices.ContainsFunc(r.events, func(e payment.Event) bool { return strings.Contains(e.Text, "wait for a card at") }) {
		t.Error("no card was waited for")
	}
}

// empty is a field without a card: whoever waits is cancelled.
type empty struct{ cancel func() }

func (empty) Name() string { return "empty field" }

func (e empty) Connect(ctx context.Context) (cardreader.Card, error) {
	e.cancel()
	<-ctx.Done()
	return nil, ctx.Err()
}
