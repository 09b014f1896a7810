package comm

import (
	"context"
	"errors"
	"testing"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/trade"
)

// bound is a fake with a binding.
type bound struct{ *fake }

func (bound) Binding() []byte { return []byte("the binding of this channel") }

// witness remembers what it was to attest.
type witness struct {
	challenge []byte
	err       error
}

func (w *witness) Attest(_ context.Context, challenge []byte) (channel.Evidence, error) {
	w.challenge = challenge
	return channel.Evidence{Type: "witness", Statement: []byte("I saw it")}, w.err
}

const (
	nonceJSON = `{"nonce":"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="}`
	shortJSON = `{"nonce":"AQID"}`
)

func TestAttest(t *testing.T) {
	errOwn := errors.New("own")
	challenge := wire(trade.KindChallenge, 1, nonceJSON)
	for _, c := range []struct {
		name    string
		replies [][]byte
		own     error
		want    error
		code    trade.Code
		dead    bool
	}{
		{name: "taken", replies: [][]byte{challenge, wire(trade.KindAttested, 2, `{"seconds":600}`)}},
		{name: "refused", replies: [][]byte{challenge, wire(trade.KindError, 2, `{"code":"evidence","text":"no","reason":"platform"}`)}, code: trade.CodeEvidence},
		{name: "not asked", replies: [][]byte{wire(trade.KindError, 1, `{"code":"unsupported","text":"no"}`)}, code: trade.CodeUnsupported},
		{name: "the attester fails", replies: [][]byte{challenge}, own: errOwn, want: errOwn},
		{name: "short nonce", replies: [][]byte{wire(trade.KindChallenge, 1, shortJSON)}, want: ErrProtocol, dead: true},
		{name: "no challenge", replies: [][]byte{wire(trade.KindTrade, 1, nonceJSON)}, want: ErrProtocol, dead: true},
		{name: "challenge with more", replies: [][]byte{wire(trade.KindChallenge, 1, `{"nonce":"AQID","x":1}`)}, want: ErrProtocol, dead: true},
		{name: "another answer", replies: [][]byte{challenge, wire(trade.KindChallenge, 2, nonceJSON)}, want: ErrProtocol, dead: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, w := &fake{replies: c.replies}, &witness{err: c.own}
			s := &Session{conn: bound{f}, attester: w}
			err := s.Attest(t.Context(), attest.BeforePIN, "order-7")
			var said *trade.Error
			switch {
			case c.code != "":
				if !errors.As(err, &said) || said.Code != c.code {
					t.Errorf("got %v, want code %s", err, c.code)
				}
			case !errors.Is(err, c.want) || (err == nil) != (c.want == nil):
				t.Errorf("got %v, want %v", err, c.want)
			}
			if (f.closed > 0) != c.dead {
				t.Errorf("closed %d times, want dead %v", f.closed, c.dead)
			}
		})
	}
}

// TestAttestSays: the evidence answers the nonce, the binding, the moment
// and the payment, and travels with its type.
func TestAttestSays(t *testing.T) {
	f, w := &fake{replies: [][]byte{wire(trade.KindChallenge, 1, nonceJSON), wire(trade.KindAttested, 2, `{"seconds":600}`)}}, &witness{}
	s := &Session{conn: bound{f}, attester: w}
	if err := s.Attest(t.Context(), attest.BeforePIN, "order-7"); err != nil {
		t.Fatal(err)
	}
	q := attest.Question{Binding: []byte("the binding of this channel"), Moment: attest.BeforePIN, Payment: "order-7"}
	for i := range q.Nonce {
		q.Nonce[i] = byte(i + 1)
	}
	want, err := q.Challenge()
	if err != nil || string(want) != string(w.challenge) {
		t.Errorf("attested %x, want %x (%v)", w.challenge, want, err)
	}
	var ask trade.Attest
	var gave trade.Evidence
	if err := errors.Join(f.sent[0].Decode(&ask), f.sent[1].Decode(&gave)); err != nil {
		t.Fatal(err)
	}
	if ask != (trade.Attest{Moment: "pin", Order: "order-7"}) || gave.Type != "witness" || string(gave.Statement) != "I saw it" {
		t.Errorf("sent %+v and %+v", ask, gave)
	}
}

func TestAttestWithoutAttester(t *testing.T) {
	f := &fake{}
	if err := (&Session{conn: bound{f}}).Attest(t.Context(), attest.BeforePIN, "o"); !errors.Is(err, ErrNoAttester) || len(f.sent) != 0 {
		t.Errorf("%v, sent %d", err, len(f.sent))
	}
}
