package main

import (
	"context"
	"errors"
	"fmt"
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

// TestZoneOfBanks: a bank exchanges working keys with each of two banks below, over
// lines with keys of their own, when they start, and they sign on under them.
func TestZoneOfBanks(t *testing.T) {
	of := func(name string) demo.Keys {
		keys, err := demo.Default()
		if err != nil {
			t.Fatal(err)
		}
		keys.Line = secret.NewBytes([]byte(strings.Repeat(name, 16)))
		keys.ZoneMaster = secret.NewBytes([]byte(strings.Repeat(name, 32)))
		return keys
	}
	eur, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told := make(chan string, 1024)
	start := func(keys demo.Keys, upstream, store string) string {
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
	a, b := of("a"), of("b")
	upper := of("u")
	for name, k := range map[string]demo.Keys{"a": a, "b": b} {
		upper.Lines = append(upper.Lines, demo.LineKeys{Name: name, Line: k.Line, ZoneMaster: k.ZoneMaster})
	}
	address := start(upper, "", filepath.Join(dir, "upper.db"))
	start(a, address, filepath.Join(dir, "a.db"))
	start(b, address, filepath.Join(dir, "b.db"))
	for n := 0; n < 2; {
		if strings.Contains(<-told, "exchanged with the acquirer above") {
			n++
		}
	}
	for store, zones := range map[string][]string{"a.db": {"up"}, "b.db": {"up"}, "upper.db": {"line/a", "line/b"}} {
		db, l, err := bank.ReadStore(t.Context(), filepath.Join(dir, store))
		if err != nil {
			t.Fatal(err)
		}
		for _, zone := range zones {
			n := 0
			err = l.View(t.Context(), func(tx ledger.Tx) error {
				n = 0
				return tx.EachWorkingKey(zone, func(ledger.WorkingKey) error { n++; return nil })
			})
			if err != nil || n != 2 {
				t.Errorf("%s: %d working keys of %s, %v; want a PIN key and a MAC key", store, n, zone, err)
			}
		}
		if err := errors.Join(l.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestLinesOfKeysFile: the keys file's lines are read, and one without a key is
// refused.
func TestLinesOfKeysFile(t *testing.T) {
	file := func(lines string) string {
		key := func(n int) string { return strings.Repeat("5a", n) }
		return fmt.Sprintf(`{"server_key":%q,"registry_key":%q,"bdk_pin":%q,"bdk_mac":%q,"bdk_pin_tdes":%q,"bdk_mac_tdes":%q,"merchant_token":"x","acquirer_id":"1001","lines":[%s]}`,
			key(32), key(32), key(16), key(16), key(16), key(16), lines)
	}
	good := `{"name":"a","line_key":"` + strings.Repeat("01", 16) + `","zone_master_key":"` + strings.Repeat("02", 32) + `","earlier":true}`
	k, err := demo.ParseKeys(strings.NewReader(file(good)))
	if err != nil || len(k.Lines) != 1 || k.Lines[0].Name != "a" || !k.Lines[0].Earlier || k.Lines[0].ZoneMaster.Len() != 32 || k.AcquirerID != "1001" {
		t.Errorf("%d lines, %v", len(k.Lines), err)
	}
	for name, bad := range map[string]string{"no key": `{"name":"a"}`, "a short one": `{"name":"a","line_key":"01"}`} {
		if _, err := demo.ParseKeys(strings.NewReader(file(good + "," + bad))); !errors.Is(err, demo.ErrKeys) || !strings.Contains(err.Error(), "object 2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
