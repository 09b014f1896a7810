package hostapp_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/channel/relay"
	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/examples/internal/hostapp"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/mobile"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// newBank starts a bank with one order, and returns its address.
func newBank(t *testing.T, order string) (*bank.Bank, string) {
	t.Helper()
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := demo.Default()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bank.New(t.Context(), bank.Config{Store: filepath.Join(t.TempDir(), "bank.db"), Balance: 100_000, Currency: eur, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	err = b.CreateOrder(t.Context(), host.Order{ID: order, Merchant: demo.MerchantID, Type: trade.Sale, Amount: money.New(5678, eur)})
	if err != nil {
		t.Fatal(err)
	}
	return b, l.Addr().String()
}

func terminalData(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../../pay/terminal.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newApp(t *testing.T, b *bank.Bank, address string) *hostapp.App {
	t.Helper()
	code, err := b.Activate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dialer := &relay.Dialer{Address: address}
	app, err := hostapp.Open(hostapp.Config{
		Relay: hostapp.Stream{Dial: dialer.Open}, Terminal: terminalData(t), Activation: code, State: hostapp.NewState(), PIN: simcard.TestPIN,
	}, nil)
	if err != nil {
		t.Fatal(err, mobile.ErrorCode(err))
	}
	t.Cleanup(func() {
		if err := app.Unit.Close(); err != nil {
			t.Error(err)
		}
	})
	if !app.Unit.Enrolled() || app.Unit.MerchantID() != demo.MerchantID || app.Unit.TerminalID() == "" {
		t.Error("not enrolled as asked", app.Unit.Enrolled(), app.Unit.TerminalID(), app.Unit.MerchantID())
	}
	return app
}

func TestPay(t *testing.T) {
	b, address := newBank(t, "o1")
	app := newApp(t, b, address)
	card, err := hostapp.NewCard("")
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Unit.CardFound(card, card.Info()); err != nil {
		t.Fatal(err)
	}
	r, err := app.Unit.Pay("o1", mobile.NewCancelable())
	if err != nil {
		t.Fatal(err, mobile.ErrorCode(err))
	}
	if r.Outcome != "approved" || r.Minor != 5678 || r.Amount != "56.78" || r.Currency != "EUR" || r.ResponseCode != "00" {
		t.Errorf("result %+v", r)
	}
	if d := cmp.Diff([]string{"approved"}, app.Events.Finals()); d != "" {
		t.Error("final events:", d)
	}
	shown := app.Cardholder.Shown()
	for _, want := range []string{"confirm sale 56.78 EUR " + demo.MerchantName, "PIN for 56.78 EUR", "keypad closed", "approved"} {
		if !slices.Contains(shown, want) {
			t.Errorf("the screen did not show %q: %q", want, shown)
		}
	}
	// Nothing that the app holds names the card or the PIN.
	profile, err := simcard.LookupProfile("")
	if err != nil {
		t.Fatal(err)
	}
	j, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	held := strings.Join(append(append(shown, app.Events.Texts()...), j, fmt.Sprintf("%+v", r)), "\n")
	if !strings.Contains(held, "GENERATE AC") || !strings.Contains(held, r.MaskedPAN) {
		t.Error("what the app holds was not looked at:", held)
	}
	for _, secret := range []string{profile.Applications[0].PAN, simcard.TestPIN} {
		// As a number of its own: four digits may be a part of any longer one.
		if regexp.MustCompile(`\b` + secret + `\b`).MatchString(held) {
			t.Errorf("%s is in the app's hands", secret)
		}
	}
	if report, err := app.Unit.Recover(nil); err != nil || report.Settled() != 0 || report.Pending().Len() != 0 {
		t.Error("recovery", report, err)
	}
	if a, err := b.Audit(t.Context()); err != nil || a.Pending > 0 {
		t.Error("audit", a, err)
	}
}

// TestConfigure: an app that brings the server's configuration is told what became of
// it, and its unit takes none of another signer than the one that it was built with.
func TestConfigure(t *testing.T) {
	b, address := newBank(t, "order-3")
	app := newApp(t, b, address)
	keys, err := demo.Default()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signed := func(version uint64, list ...string) []byte {
		s, err := bank.Configuration{Version: version, Name: bank.Name, Keys: list, Issued: now.Add(-time.Hour), Expires: now.Add(time.Hour)}.Sign(keys, demo.Signer())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	second := signed(2, "current")
	altered := slices.Clone(second)
	altered[50] ^= 1
	for _, c := range []struct {
		name string
		b    []byte
		code string
	}{
		{"altered", altered, mobile.CodeConfiguration}, {"empty", nil, mobile.CodeConfiguration}, {"newer", second, mobile.CodeNone},
		{"again", second, mobile.CodeNone}, {"older", signed(1, "current"), mobile.CodeConfiguration},
	} {
		if err := app.Unit.Configure(c.b, nil); mobile.ErrorCode(err) != c.code {
			t.Errorf("%s: code %q, %v", c.name, mobile.ErrorCode(err), err)
		}
	}
	cancel := mobile.NewCancelable()
	cancel.Cancel()
	if err := app.Unit.Configure(signed(3, "current"), cancel); mobile.ErrorCode(err) != mobile.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
	code, err := b.Activate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dialer := &relay.Dialer{Address: address}
	_, err = hostapp.Open(hostapp.Config{
		Relay: hostapp.Stream{Dial: dialer.Open}, Terminal: terminalData(t), Activation: code, ConfigKey: make([]byte, 32), State: hostapp.NewState(), PIN: simcard.TestPIN,
	}, nil)
	if mobile.ErrorCode(err) != mobile.CodeConfiguration {
		t.Errorf("built with another signer: code %q, %v", mobile.ErrorCode(err), err)
	}
}

// TestCancel cancels while the card is waited for.
func TestCancel(t *testing.T) {
	b, address := newBank(t, "o1")
	app := newApp(t, b, address)
	cancel := mobile.NewCancelable()
	ended := make(chan error, 1)
	go func() {
		_, err := app.Unit.Pay("o1", cancel)
		ended <- err
	}()
	for !slices.Contains(app.Cardholder.Shown(), "insert-card") {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel.Cancel()
	err := <-ended
	if code := mobile.ErrorCode(err); code != mobile.CodeCancelled {
		t.Errorf("code %q of %v", code, err)
	}
	if _, err := app.Unit.Pay("o1", cancel); mobile.ErrorCode(err) != mobile.CodeCancelled {
		t.Errorf("a Cancelable was good twice: %v", err)
	}
}
