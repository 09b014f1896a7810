package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfiguration: a bank with keys of its own signs what its units are told,
// changes its key while they pay, and drops the old one. A unit that slept is
// brought the present configuration by its app; an older one, another signer's
// and an altered one are refused with the reason.
func TestConfiguration(t *testing.T) {
	bankPath, payPath, _ := build(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	command := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), args, &out, &errs)
		return code, strings.TrimSpace(out.String() + errs.String())
	}
	must := func(args ...string) string {
		t.Helper()
		code, says := command(args...)
		if code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, says)
		}
		return says
	}
	public := must("config", "-new-signer", at("signer"))
	if b, err := hex.DecodeString(public); err != nil || len(b) != 32 {
		t.Fatalf("public key %q", public)
	}
	if code, says := command("config", "-new-signer", at("signer")); code != 1 {
		t.Errorf("a signing key was written over: exit %d: %s", code, says)
	}
	keys := map[string]string{"merchant_token": "token", "config_key": public}
	for i, name := range []string{"server_key", "server_key_next", "registry_key"} {
		keys[name] = strings.Repeat(string("123"[i]), 64)
	}
	for _, name := range []string{"bdk_pin", "bdk_mac", "bdk_pin_tdes", "bdk_mac_tdes"} {
		keys[name] = hex.EncodeToString([]byte(name + "0123456789ABCDEF")[:16])
	}
	write := func(name string) string {
		t.Helper()
		b, err := json.Marshal(keys)
		if err == nil {
			err = os.WriteFile(at(name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	both := write("both.json")
	sign := func(version, list, keys string) string {
		t.Helper()
		out := at("v" + version)
		must("config", "-signer", at("signer"), "-keys", keys, "-version", version, "-list", list, "-out", out)
		return out
	}
	v1, v2 := sign("1", "current", both), sign("2", "next,current", both)
	keys["server_key"] = keys["server_key_next"]
	delete(keys, "server_key_next")
	after := write("after.json")
	v3 := sign("3", "next", both)

	serve := func(keys, conf string) *process {
		return start(t, bankPath, at("bank.db"), "127.0.0.1:0", "-keys", keys, "-config", conf)
	}
	pay := func(p *process, state string, more ...string) (int, map[string]any) {
		return paid(t, t.Context(), payPath, append([]string{"-server", p.address, "-token", "token", "-state", at(state), "-config-key", public, "-pin", "1234"}, more...)...)
	}
	approved := func(p *process, state string, more ...string) {
		t.Helper()
		if code, got := pay(p, state, more...); code != 0 || got["outcome"] != "approved" {
			t.Fatalf("%s: exit %d: %v", state, code, got)
		}
	}
	refused := func(p *process, state, says string, more ...string) {
		t.Helper()
		code, got := pay(p, state, more...)
		if text, _ := got["error"].(string); code != 1 || !strings.Contains(text, says) {
			t.Errorf("%s: exit %d: %v, want %q", state, code, got, says)
		}
	}
	p := serve(both, v1)
	approved(p, "awake")
	approved(p, "asleep")
	altered, err := os.ReadFile(v2)
	if err != nil {
		t.Fatal(err)
	}
	altered[60] ^= 1
	if err := os.WriteFile(at("altered"), altered, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(p, "awake", "(signature)", "-config", at("altered"))
	p.kill(t)
	p = serve(both, v2)
	approved(p, "awake") // under the old key, and learns of the next one
	approved(p, "awake") // under the next one
	refused(p, "awake", "(rollback)", "-config", v1)
	p.kill(t)
	// The old key is left out before it goes: it serves nobody who knows that, and
	// whoever enrols or changes keys meanwhile does so under the next one.
	p = serve(both, v3)
	approved(p, "awake")
	if code, got := pay(p, "awake", "-rotate"); code != 0 {
		t.Errorf("new keys while the old one is left out: exit %d: %v", code, got)
	}
	approved(p, "awake")
	approved(p, "between")
	p.kill(t)
	p = serve(after, v3)
	approved(p, "awake")
	approved(p, "between")
	refused(p, "asleep", "refused")
	approved(p, "asleep", "-config", v3)
	approved(p, "new", "-config", v3)
	refused(p, "stranger", "(signature)", "-config-key", strings.Repeat("00", 31)+"01")
	p.kill(t)

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"config"}, 2, "-version"},
		{[]string{"config", "-version", "1", "-out", at("x"), "y"}, 2, "-version"},
		{[]string{"config", "-version", "20261125", "-out", at("x")}, 1, "by one"},
		{[]string{"config", "-version", "1", "-out", at("x"), "-list", "other"}, 1, "other"},
		{[]string{"config", "-version", "1", "-out", at("x"), "-keys", after, "-list", "next"}, 1, "server_key_next"},
		{[]string{"config", "-version", "1", "-out", at("x"), "-signer", after}, 1, "signing key"},
		{[]string{"config", "-version", "1", "-out", at("x"), "-name", strings.Repeat("n", 65)}, 1, "name"},
		{[]string{"-store", at("y.db"), "-keys", after, "-config", at("altered")}, 1, "(signature)"},
		{[]string{"-store", at("y.db"), "-keys", after, "-config", v1}, 1, "not in the keys file"},
		{[]string{"-store", at("y.db"), "-keys", after}, 1, "bank config"},
		{[]string{"-store", at("y.db"), "-config", at("none")}, 1, "-config"},
	} {
		if code, says := command(c.args...); code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("%v: exit %d: %s", c.args, code, says)
		}
	}
}
