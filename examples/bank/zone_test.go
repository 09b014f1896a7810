package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// TestZoneOfBanks: two banks with a zone master key exchange working keys over
// their line when the lower one starts, and it signs on under them.
func TestZoneOfBanks(t *testing.T) {
	keys, err := demo.Default()
	if err != nil {
		t.Fatal(err)
	}
	keys.ZoneMaster = secret.NewBytes([]byte(strings.Repeat("zone", 8)))
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told := make(chan string, 1024)
	start := func(upstream, store string) string {
		b, err := bank.New(ctx, bank.Config{Store: store, Keys: keys, Currency: eur, Balance: 1, Upstream: upstream, Observe: func(e host.Event) { told <- e.Text }})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
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
		return l.Addr().String()
	}
	dir := t.TempDir()
	lower := filepath.Join(dir, "lower.db")
	start(start("", filepath.Join(dir, "upper.db")), lower)
	for text := range told {
		if strings.Contains(text, "exchanged with the acquirer above") {
			break
		}
	}
	db, l, err := bank.ReadStore(t.Context(), lower)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = l.Close(), db.Close() }()
	n := 0
	err = l.View(t.Context(), func(tx ledger.Tx) error {
		n = 0
		return tx.EachWorkingKey("up", func(ledger.WorkingKey) error { n++; return nil })
	})
	if err != nil || n != 2 {
		t.Errorf("%d working keys, %v; want a PIN key and a MAC key", n, err)
	}
}
