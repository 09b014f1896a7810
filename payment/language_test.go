package payment_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/pinpad"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/scripted"
)

// speaker is a cardholder before a screen that speaks some languages.
type speaker struct {
	*scripted.Cardholder
	languages []string
	prompt    *string
}

func (s speaker) Languages() []string { return s.languages }

func (s speaker) Open(ctx context.Context, p pinpad.Prompt, l softpad.Layout) (softpad.Entry, error) {
	*s.prompt = p.Language
	return s.Cardholder.Open(ctx, p, l)
}

// prefers is a reader whose card prefers another language than it did (5F2D).
type prefers struct {
	cardreader.Reader
	language string
}

type preferring struct {
	cardreader.Card
	language string
}

func (p prefers) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := p.Reader.Connect(ctx)
	return preferring{c, p.language}, err
}

func (p preferring) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	r, err := p.Card.Transmit(ctx, command)
	return bytes.ReplaceAll(r, []byte("\x5F\x2D\x02en"), []byte("\x5F\x2D\x02"+p.language)), err
}

// TestLanguage: from the moment on in which the card is known, the cardholder is
// spoken to, and gets a receipt, as the card prefers, if the screen can.
func TestLanguage(t *testing.T) {
	for _, c := range []struct {
		name, card, unit string
		spoken           []string
		before, after    string
		receipt          string
	}{
		{"the card's", "fr", "de", []string{"de", "fr"}, "de", "fr", "ACHAT"},
		{"the card's, in capitals", "FR", "de", []string{"de", "fr"}, "de", "fr", "ACHAT"},
		{"the unit's", "sv", "de", []string{"de", "fr"}, "de", "de", "ZAHLUNG"},
		{"the screen's own", "sv", "", []string{"de", "fr"}, "", "", "SALE"},
		{"a screen that does not say", "fr", "de", nil, "de", "de", "ZAHLUNG"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, rc := newWorld(t), plain()
			prompt := "none"
			h := speaker{scripted.New(scripted.Script{PIN: secret.CopyBytes([]byte(simcard.TestPIN))}), c.spoken, &prompt}
			rc.ui, rc.panel, rc.language = h, h, c.unit
			rc.reader = func(r cardreader.Reader) cardreader.Reader { return prefers{r, c.card} }
			r := w.rig(rc)
			w.order("A-1", 1234)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if err != nil || got.Outcome != payment.Approved {
				t.Fatal(got.Outcome, err)
			}
			if confirmed := h.Confirmed(); len(confirmed) != 1 || confirmed[0].Language != c.before {
				t.Errorf("confirmed %+v, want in %q", confirmed, c.before)
			}
			for _, n := range h.Notices() {
				want := c.before
				if n.Message == trusted.MessageAuthorizing || n.Message == trusted.MessageApproved || n.Message == trusted.MessageRemoveCard {
					want = c.after
				}
				if n.Language != want {
					t.Errorf("%s is said in %q, want %q", n.Message, n.Language, want)
				}
			}
			if prompt != c.after {
				t.Errorf("the PIN is asked for in %q, want %q", prompt, c.after)
			}
			if !strings.Contains(got.Receipt, c.receipt) {
				t.Errorf("no %q on the receipt:\n%s", c.receipt, got.Receipt)
			}
		})
	}
}
