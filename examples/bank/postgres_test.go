//go:build postgres && unix

package main

import (
	"testing"

	"github.com/payunit/payunit/payment/host/ledger/sqlledger/pgtest"
)

// TestPostgresKilled kills the one or the other process, as TestKilled does, with
// the ledger in PostgreSQL.
func TestPostgresKilled(t *testing.T) { killed(t, pgtest.Start(t).Schema(), 12) }

// TestPostgresTwoBanks has a unit go from one bank to another on the same
// database: the second knows the terminal, the order and the payment.
func TestPostgresTwoBanks(t *testing.T) {
	bankPath, payPath, _ := build(t)
	c := pgtest.Start(t)
	store := c.Schema()
	one, two := start(t, bankPath, store, "127.0.0.1:0"), start(t, bankPath, store, "127.0.0.1:0")
	state := t.TempDir()
	code, first := paid(t, t.Context(), payPath, "-server", one.address, "-state", state, "-pin", "1234", "-order", "order-1")
	if code != 0 {
		t.Fatalf("at the first bank: exit %d: %v", code, first)
	}
	one.kill(t)
	// As a power loss of the database, with the second bank connected.
	c.Crash()
	code, got := paid(t, t.Context(), payPath, "-server", two.address, "-state", state, "-pin", "1234", "-order", "order-1")
	if code != 0 || got["rrn"] != first["rrn"] {
		t.Errorf("the same order at the second bank: exit %d, %v; at the first: %v", code, got, first)
	}
	if code, got := paid(t, t.Context(), payPath, "-server", two.address, "-state", state, "-pin", "1234", "-order", "order-2"); code != 0 {
		t.Errorf("another order at the second bank: exit %d: %v", code, got)
	}
	if _, pending := audit(t, two.address); pending != 0 {
		t.Errorf("%d pending", pending)
	}
}
