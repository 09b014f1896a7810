package c3_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/taptest"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/simcard"
)

// TestTearing takes the card away at each command of an offline and of an online
// transaction, before and after it was carried out. The transaction is made at
// the next tap; nothing is approved twice.
func TestTearing(t *testing.T) {
	for _, c := range []struct {
		name     string
		minor    int64
		commands int
		kind     contactless.Kind
	}{{"offline", 1000, 8, contactless.Approved}, {"online", 2001, 3, contactless.OnlineRequest}} {
		for n := 1; n <= c.commands; n++ {
			for _, action := range []simcard.Action{simcard.Remove, simcard.RemoveAfter, simcard.Mute} {
				t.Run(fmt.Sprintf("%s/%s@%d", c.name, action, n), func(t *testing.T) {
					p := newTap(t, c.minor)
					card := taptest.Card(t, "default", nil, simcard.Fault{Action: action, At: simcard.AnyCommand, Nth: n})
					s := p.pay(t, card)
					if s.Final().Kind != c.kind {
						t.Errorf("outcome %s after %d commands", s.Final(), len(p.Commands))
					}
					if want := n + c.commands; len(p.Commands) != want {
						t.Errorf("%d commands, want %d: the whole again", len(p.Commands), want)
					}
					if n > 2 && !p.Saw(contactless.MessagePresentCardAgain) {
						t.Error("the cardholder was not asked to present the card again")
					}
				})
			}
		}
	}
}

// TestCardThatNeverStays ends: the reader does not wait for ever for a card that
// is taken away each time.
func TestCardThatNeverStays(t *testing.T) {
	p := newTap(t, 1000)
	p.Wedge = func(c cardreader.Card) cardreader.Card { return &fickle{c} }
	s := p.pay(t, taptest.Card(t, "default", nil))
	if s.Final().Kind != contactless.EndApplication || s.Decision() != emv.Declined {
		t.Errorf("outcome %s", s.Final())
	}
}

// fickle is a card that leaves at each GET PROCESSING OPTIONS.
type fickle struct{ cardreader.Card }

func (f *fickle) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if b[1] == apdu.INSGetProcessingOptions {
		return nil, cardreader.ErrCardRemoved
	}
	return f.Card.Transmit(ctx, b)
}

// TestTornUpdate takes the card away while the issuer's answer is brought to it:
// the issuer's decision stands.
func TestTornUpdate(t *testing.T) {
	for _, action := range []simcard.Action{simcard.Remove, simcard.RemoveAfter} {
		p := newTap(t, 2001)
		s := p.pay(t, taptest.Card(t, "default", nil, simcard.Fault{Action: action, At: simcard.OnExternalAuth, Nth: 1}))
		o, err := s.Complete(t.Context(), emv.HostResponse{Approved: true, ARC: "00", IssuerAuthenticationData: answer(t, s)})
		if err != nil {
			t.Fatal(err)
		}
		if o.Decision != emv.Approved || len(o.Reasons) != 1 {
			t.Errorf("%s: decision %s, reasons %v", action, o.Decision, o.Reasons)
		}
	}
}
