package contactless_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/contactless"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/payment/money"
)

// field is a card reader whose field has what connect says, one Connect after
// the other; the last one stays.
type field struct {
	connect []func() (cardreader.Card, error)
	opened  int
}

func (*field) Name() string { return "field" }

func (f *field) Connect(ctx context.Context) (cardreader.Card, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i := min(f.opened, len(f.connect)-1)
	f.opened++
	return f.connect[i]()
}

// card answers by a function.
type card struct {
	answer func(command []byte) ([]byte, error)
	closed int
	// leaves is what WaitRemoval returns, once each; then nil.
	leaves []error
}

func (*card) ATR() []byte { return []byte{0x3B, 0x80, 0x80, 0x01, 0x01} }

func (c *card) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.answer(b)
}

func (c *card) Close() error { c.closed++; return nil }

func (c *card) WaitRemoval(ctx context.Context) error {
	if len(c.leaves) == 0 {
		return nil
	}
	err := c.leaves[0]
	c.leaves = c.leaves[1:]
	if err != nil {
		<-ctx.Done()
	}
	return err
}

// proxy is a kernel that returns outcomes one after the other, the last one for
// ever, and keeps what it was given.
type proxy struct {
	outcomes []contactless.Outcome
	given    []*contactless.Activation
}

func (p *proxy) Activate(_ context.Context, a *contactless.Activation) (contactless.Outcome, error) {
	i := min(len(p.given), len(p.outcomes)-1)
	p.given = append(p.given, a)
	return p.outcomes[i], nil
}

func (p *proxy) last(t testing.TB) *contactless.Activation {
	t.Helper()
	if len(p.given) == 0 {
		t.Fatal("no kernel was activated")
	}
	return p.given[len(p.given)-1]
}

func amount(t testing.TB, minor int64, code string) money.Amount {
	t.Helper()
	c, err := money.ByCode(code)
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

func terminal() emv.Terminal {
	return emv.Terminal{Type: 0x22, Capabilities: tags.CapabilitiesValue{0xE0, 0x68, 0xC8}, Country: 276, IFDSerial: "12345678"}
}

// still is a clock that stands.
func still() time.Time { return time.Date(2026, 11, 25, 10, 20, 30, 0, time.UTC) }

func noPause(context.Context, time.Duration) error { return nil }

// fci makes the answer to SELECT of an application.
func fci(name, label, more []byte) []byte {
	a5 := tlv.Append(nil, tags.ApplicationLabel, label)
	a5 = append(a5, more...)
	b := tlv.Append(nil, tags.DFName, name)
	return tlv.Append(nil, tags.FCITemplate, tlv.Append(b, tags.FCIProprietaryTemplate, a5))
}

// directory makes the answer to SELECT PPSE of entries.
func directory(entries ...[]byte) []byte {
	var list []byte
	for _, e := range entries {
		list = tlv.Append(list, tags.ApplicationTemplate, e)
	}
	a5 := tlv.Append(nil, tags.FCIIssuerDiscretionary, list)
	b := tlv.Append(nil, tags.DFName, []byte("2PAY.SYS.DDF01"))
	return tlv.Append(nil, tags.FCITemplate, tlv.Append(b, tags.FCIProprietaryTemplate, a5))
}

// selected returns the name in a SELECT, empty for another command.
func selected(b []byte) []byte {
	if len(b) < 5 || b[1] != 0xA4 || len(b) < 5+int(b[4]) {
		return nil
	}
	return b[5 : 5+int(b[4])]
}

// named shows a name in a log of SELECTs.
func named(b []byte) string {
	if bytes.HasPrefix(b, []byte("2PAY")) {
		return "PPSE"
	}
	return fmt.Sprintf("%X", b)
}
