package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestTerminals: a unit is enrolled under a code, pays, changes its keys, pays,
// and is revoked.
func TestTerminals(t *testing.T) {
	bankPath, payPath, _ := build(t)
	p := start(t, bankPath, t.TempDir()+"/bank.db", "127.0.0.1:0")
	command := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), args, &out, &errs)
		return code, strings.TrimSpace(out.String() + errs.String())
	}
	code, activation := command("activate", "-server", p.address)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, activation)
	}
	unit := []string{"-server", p.address, "-state", t.TempDir()}
	pay := func(args ...string) (int, map[string]any) {
		return paid(t, t.Context(), payPath, append(args, unit...)...)
	}
	code, got := pay("-enrol", activation)
	terminal, _ := got["terminal"].(string)
	if code != 0 || got["outcome"] != "enrolled" || terminal == "" {
		t.Fatalf("enrol: exit %d: %v", code, got)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-enrol", activation}, 1, "error"},
		{[]string{"-pin", "1234"}, 0, "approved"},
		{[]string{"-rotate"}, 0, "rotated"},
		{[]string{"-pin", "1234"}, 0, "approved"},
	} {
		if code, got := pay(c.args...); code != c.code || got["outcome"] != c.want {
			t.Errorf("%v: exit %d: %v, want %d, %s", c.args, code, got, c.code, c.want)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"revoke", "-server", p.address}, 2, "TERMINAL"},
		{[]string{"activate", "-server", p.address, "x"}, 2, "activate"},
		{[]string{"revoke", "-server", p.address, "-token", "wrong", terminal}, 1, "401"},
		{[]string{"revoke", "-server", p.address, "P9999999"}, 1, "P9999999"},
		{[]string{"revoke", "-server", p.address, terminal}, 0, "revoked"},
		{[]string{"revoke", "-server", p.address, terminal}, 1, "revoked"},
	} {
		if code, says := command(c.args...); code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("%v: exit %d: %s", c.args, code, says)
		}
	}
	if code, got := pay("-pin", "1234"); code != 1 || !strings.Contains(got["error"].(string), "refused") {
		t.Errorf("a revoked unit: exit %d: %v", code, got)
	}
}
