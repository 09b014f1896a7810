// Package taptest runs contactless transactions for tests: software cards in a
// field, a wedge between them and the reader, what was sent and shown.
package taptest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/payment/money"
)

// Now is the clock of the tests, which stands.
func Now() time.Time { return time.Date(2026, 11, 25, 10, 20, 30, 0, time.UTC) }

// Euro is an amount in minor units of the euro.
func Euro(t testing.TB, minor int64) money.Amount {
	t.Helper()
	c, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

// Keys are the CA keys of the software cards.
func Keys(t testing.TB) *oda.Store {
	t.Helper()
	var b bytes.Buffer
	if err := simcard.WriteCAPK(&b, testkeys.PKI(), simcard.AllProfiles()); err != nil {
		t.Fatal(err)
	}
	s, err := oda.ParseCAPK(&b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Limit is a limit for contactless.Settings.
func Limit(n uint64) *uint64 { return &n }

// Terminal is an attended terminal that may approve offline and can do
// everything.
func Terminal() emv.Terminal {
	return emv.Terminal{Type: 0x22, Capabilities: tags.CapabilitiesValue{0xE0, 0x68, 0xC8}, Country: 276}
}

// Card makes a software card of a profile, altered, with faults.
func Card(t testing.TB, profile string, alter func(*simcard.Application), f ...simcard.Fault) *simcard.Card {
	t.Helper()
	p, err := simcard.LookupProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	if alter != nil {
		alter(&p.Applications[0])
	}
	c, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI(), Faults: f})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Pad is a PIN pad on which every entry ends in the same way.
type Pad emv.PINEntry

// VerifyPIN implements emv.PINVerifier.
func (p Pad) VerifyPIN(context.Context, emv.PINRequest) (emv.PINResult, error) {
	return emv.PINResult{Entry: emv.PINEntry(p)}, nil
}

// Tap is a reader, and what happens at it.
type Tap struct {
	Terminal     emv.Terminal
	Combinations []contactless.Combination
	Transaction  emv.Transaction
	PIN          emv.PINVerifier
	// Wedge comes between each card and the reader; nil is nobody.
	Wedge func(cardreader.Card) cardreader.Card
	// Clock, when not nil, is the reader's.
	Clock func() time.Time

	// Shown are the user interface requests, Commands what cards were sent.
	Shown    []contactless.UIRequest
	Commands [][]byte
}

// Reader makes the reader.
func (p *Tap) Reader(t testing.TB) *contactless.Reader {
	t.Helper()
	if p.Clock == nil {
		p.Clock = Now
	}
	r, err := contactless.New(contactless.Config{
		Terminal: p.Terminal, Combinations: p.Combinations,
		Show: func(u contactless.UIRequest) { p.Shown = append(p.Shown, u) },
		Now:  p.Clock, Pause: func(context.Context, time.Duration) error { return nil },
	}, p.PIN)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Pay makes a transaction with cards in the field, which the test need not close.
func (p *Tap) Pay(t testing.TB, cards ...*simcard.Card) *contactless.Session {
	t.Helper()
	s, err := p.Reader(t).Pay(t.Context(), p.Field(simcard.NewField("field", cards...)), p.Transaction)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Field puts the wedge and the count of commands before a reader's cards.
func (p *Tap) Field(r cardreader.Reader) cardreader.Reader { return wedged{r, p} }

// Saw reports whether a message was shown.
func (p *Tap) Saw(m contactless.MessageID) bool {
	return slices.ContainsFunc(p.Shown, func(u contactless.UIRequest) bool { return u.Message == m })
}

// Instructions are the INS bytes of the commands from the n-th on.
func (p *Tap) Instructions(n int) []byte {
	var out []byte
	for _, c := range p.Commands[n:] {
		out = append(out, c[1])
	}
	return out
}

type wedged struct {
	cardreader.Reader
	p *Tap
}

// Connect implements cardreader.Reader.
func (w wedged) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := w.Reader.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if w.p.Wedge != nil {
		c = w.p.Wedge(c)
	}
	return counted{c, w.p}, nil
}

type counted struct {
	cardreader.Card
	p *Tap
}

// Transmit implements cardreader.Card.
func (c counted) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	c.p.Commands = append(c.p.Commands, slices.Clone(b))
	return c.Card.Transmit(ctx, b)
}

// Between is a wedge that may alter commands and answers; a nil function leaves
// them alone.
type Between struct {
	cardreader.Card
	Command func(command []byte) []byte
	Answer  func(command, answer []byte) []byte
}

// Transmit implements cardreader.Card.
func (b Between) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	sent := slices.Clone(command)
	if b.Command != nil {
		sent = b.Command(sent)
	}
	answer, err := b.Card.Transmit(ctx, sent)
	if err != nil || b.Answer == nil {
		return answer, err
	}
	return b.Answer(command, answer), nil
}
