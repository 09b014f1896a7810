package c3_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/contactless/c3"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/payment/money"
)

var visa = []byte{0xA0, 0x00, 0x00, 0x00, 0x03, 0x10, 0x10}

func still() time.Time { return time.Date(2026, 11, 25, 10, 20, 30, 0, time.UTC) }

func noPause(context.Context, time.Duration) error { return nil }

func euro(t testing.TB, minor int64) money.Amount {
	t.Helper()
	c, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

func keys(t testing.TB) *oda.Store {
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

// tap is one transaction: what the reader is, what the card is, what happened.
type tap struct {
	ttq      tags.TTQValue
	settings contactless.Settings
	config   c3.Config
	tr       emv.Transaction
	pin      emv.PINVerifier
	wedge    func(cardreader.Card) cardreader.Card

	shown    []contactless.UIRequest
	commands [][]byte
}

// newTap is a reader that can do everything, online and offline, with limits of
// 100.00 for contactless, 20.00 for the floor and 50.00 for verification.
func newTap(t testing.TB, minor int64) *tap {
	n := func(v uint64) *uint64 { return &v }
	return &tap{
		ttq:      tags.TTQValue{0x36, 0x00, 0xC0, 0x00},
		settings: contactless.Settings{TransactionLimit: n(10000), FloorLimit: n(2000), CVMLimit: n(5000)},
		config:   c3.Config{CAKeys: keys(t), Accounts: []string{"4"}},
		tr:       emv.Transaction{Amount: euro(t, minor), Time: still()},
		pin:      pad(emv.PINEntered),
	}
}

type pad emv.PINEntry

func (p pad) VerifyPIN(context.Context, emv.PINRequest) (emv.PINResult, error) {
	return emv.PINResult{Entry: emv.PINEntry(p)}, nil
}

func profile(t testing.TB, name string, alter func(*simcard.Application)) *simcard.Card {
	t.Helper()
	p, err := simcard.LookupProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	if alter != nil {
		alter(&p.Applications[0])
	}
	return simCard(t, p, nil)
}

func simCard(t testing.TB, p simcard.Profile, f simcard.Faults) *simcard.Card {
	t.Helper()
	c, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI(), Faults: f})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wedged is a reader whose cards go through a wedge and are counted.
type wedged struct {
	cardreader.Reader
	t *tap
}

func (w wedged) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := w.Reader.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if w.t.wedge != nil {
		c = w.t.wedge(c)
	}
	return counted{c, w.t}, nil
}

type counted struct {
	cardreader.Card
	t *tap
}

func (c counted) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	c.t.commands = append(c.t.commands, slices.Clone(b))
	return c.Card.Transmit(ctx, b)
}

func (p *tap) reader(t testing.TB) *contactless.Reader {
	t.Helper()
	k, err := c3.New(p.config)
	if err != nil {
		t.Fatal(err)
	}
	s := p.settings
	s.TTQ = &p.ttq
	r, err := contactless.New(contactless.Config{
		Terminal:     emv.Terminal{Type: 0x22, Capabilities: tags.CapabilitiesValue{0xE0, 0x68, 0xC8}, Country: 276},
		Combinations: []contactless.Combination{{AID: visa, Kernel: contactless.Kernel3, Settings: s, Run: k}},
		Show:         func(u contactless.UIRequest) { p.shown = append(p.shown, u) },
		Now:          still, Pause: noPause,
	}, p.pin)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *tap) pay(t testing.TB, cards ...*simcard.Card) *contactless.Session {
	t.Helper()
	s, err := p.reader(t).Pay(t.Context(), wedged{simcard.NewField("field", cards...), p}, p.tr)
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

func (p *tap) saw(m contactless.MessageID) bool {
	return slices.ContainsFunc(p.shown, func(u contactless.UIRequest) bool { return u.Message == m })
}
