package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/money"
)

// TestGenerationsOfKeys: new base keys come beside the old ones, and the bank does
// not start without those that terminals have.
func TestGenerationsOfKeys(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "bank.db")
	of := func(fill byte, n int) string { return hex.EncodeToString(bytes.Repeat([]byte{fill, fill + 1}, n/2)) }
	bases := func(fill byte) map[string]any {
		return map[string]any{"bdk_pin": of(fill, 16), "bdk_mac": of(fill+2, 16), "bdk_pin_tdes": of(fill+4, 16), "bdk_mac_tdes": of(fill+6, 16)}
	}
	file := func(generation int, fill byte, earlier ...map[string]any) map[string]any {
		f := map[string]any{"server_key": of(1, 32), "registry_key": of(3, 32), "merchant_token": "t", "bdk_generation": generation}
		maps.Copy(f, bases(fill))
		if len(earlier) > 0 {
			f["bdk_earlier"] = earlier
		}
		return f
	}
	start := func(f map[string]any) error {
		t.Helper()
		path := filepath.Join(dir, "keys.json")
		b, err := json.Marshal(f)
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		keys, err := loadKeys(path)
		if err != nil {
			return err
		}
		eur, err := money.ByCode("EUR")
		if err != nil {
			t.Fatal(err)
		}
		b2, err := bank.New(t.Context(), bank.Config{Store: store, Keys: keys, Currency: eur, Balance: 1})
		if err != nil {
			return err
		}
		return b2.Close()
	}
	if err := start(file(0, 0x10)); err != nil {
		t.Fatal(err)
	}
	db, l, err := bank.OpenStore(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	err = l.Update(t.Context(), func(tx ledger.Tx) error {
		return tx.PutTerminal(ledger.Terminal{ID: "P0000001", Number: 1, DeviceKey: []byte{1}, PINFormat: 4, Generation: hex.EncodeToString([]byte("PINA"))})
	})
	if err := errors.Join(err, l.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	var missing *host.KeysInUseError
	if err := start(file(1, 0x20)); !errors.As(err, &missing) || missing.Uses[0].Terminals != 1 {
		t.Errorf("without the earlier keys: %v", err)
	}
	earlier := bases(0x10)
	earlier["generation"] = 0
	if err := start(file(1, 0x20, earlier)); err != nil {
		t.Errorf("with them: %v", err)
	}
	if err := start(file(0, 0x20, earlier)); !errors.Is(err, host.ErrConfig) {
		t.Errorf("two of one generation: %v", err)
	}
	earlier["bdk_pin"] = "00"
	if err := start(file(1, 0x20, earlier)); !errors.Is(err, demo.ErrKeys) {
		t.Errorf("a short key: %v", err)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"report", "-store", store}, &out, &errs); code != 0 || !strings.Contains(out.String(), "1 terminals have keys of the base key 50494e41") {
		t.Errorf("report: %s%s", out.String(), errs.String())
	}
}
