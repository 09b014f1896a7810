package host

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/trade"
)

func TestActivationOnce(t *testing.T) {
	r := newRig(t)
	id := r.activation()
	ctx := t.Context()
	psk, err := r.reg.ActivationKey(ctx, id)
	if err != nil || psk.Len() != 32 {
		t.Fatalf("key of an activation: %d bytes, %v", psk.Len(), err)
	}
	again, err := r.reg.ActivationKey(ctx, id)
	if err != nil || !again.Equal(psk) {
		t.Errorf("the key of an activation changes: %v", err)
	}
	other, err := r.reg.ActivationKey(ctx, r.activation())
	if err != nil || other.Equal(psk) {
		t.Errorf("two activations have one key: %v", err)
	}
	device := enrolling(id, 1)
	if err := r.reg.Authorize(ctx, device); err != nil {
		t.Errorf("admitting the device: %v", err)
	}
	first, err := r.enrolWith(device, 4)
	if err != nil {
		t.Fatal(err)
	}
	if first.TerminalID != "P0000001" || first.MerchantID != "M1" || first.Merchant != "Corner Shop" || len(first.ServerKey) != 32 {
		t.Errorf("grant: %+v", first)
	}
	// The answer was lost: the device asks again.
	second, err := r.enrolWith(device, 4)
	if err != nil || second.TerminalID != first.TerminalID || !bytes.Equal(second.MACKeyID, first.MACKeyID) {
		t.Errorf("the same device again: %+v, %v", second, err)
	}
	if _, err := r.enrolWith(device, 0); code(err) != trade.CodeNotEnrolled {
		t.Errorf("the same device with other keys: %v", err)
	}
	// Another device has the code too.
	thief := enrolling(id, 2)
	if err := r.reg.Authorize(ctx, thief); !errors.Is(err, errNotAdmitted) {
		t.Errorf("admitting another device: %v", err)
	}
	if _, err := r.enrolWith(thief, 4); code(err) != trade.CodeNotEnrolled {
		t.Errorf("another device: %v", err)
	}
	// Once the terminal has used a key, nobody gets its initial key again.
	err = r.l.Update(ctx, func(tx ledger.Tx) error {
		v, err := tx.Terminal(first.TerminalID)
		if err != nil {
			return err
		}
		v.MACKeys.Use(1)
		return tx.PutTerminal(v)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.enrolWith(device, 4); code(err) != trade.CodeNotEnrolled {
		t.Errorf("a terminal that has used its keys: %v", err)
	}
	if _, err := r.reg.ActivationKey(ctx, id); !errors.Is(err, errNotAdmitted) {
		t.Errorf("key of a used activation: %v", err)
	}
	// A device that is a terminal does not become another one.
	if _, err := r.enrolWith(enrolling(r.activation(), 1), 4); code(err) != trade.CodeRefused {
		t.Errorf("an enrolled device under a new code: %v", err)
	}
}

func TestActivationRefused(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	id := r.activation()
	for _, bad := range []string{"", "x", "AAAAAAAA", id + "A"} {
		if _, err := r.reg.ActivationKey(ctx, bad); !errors.Is(err, errNotAdmitted) {
			t.Errorf("%q: got %v", bad, err)
		}
		if err := r.reg.Authorize(ctx, enrolling(bad, 1)); !errors.Is(err, errNotAdmitted) {
			t.Errorf("%q: admitted: %v", bad, err)
		}
	}
	r.mu.Lock()
	r.now = r.now.Add(24*time.Hour + time.Second)
	r.mu.Unlock()
	if _, err := r.reg.ActivationKey(ctx, id); !errors.Is(err, errNotAdmitted) {
		t.Errorf("expired: got %v", err)
	}
	if _, err := r.enrolWith(enrolling(id, 1), 4); code(err) != trade.CodeNotEnrolled {
		t.Errorf("expired between handshake and request: %v", err)
	}
	for _, m := range []Merchant{{}, {ID: "M1"}, {Name: "x"}, {ID: "a b", Name: "x"}, {ID: "1234567890123456", Name: "x"}, {ID: "M1", Name: string(make([]byte, 41))}} {
		if _, err := r.reg.CreateActivation(ctx, m); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: got %v", m, err)
		}
	}
}

func TestEnrolRefused(t *testing.T) {
	r := newRig(t)
	if _, err := r.enrolWith(enrolling(r.activation(), 1), 3); code(err) != trade.CodeUnsupported {
		t.Errorf("PIN format 3: %v", err)
	}
	delete(r.s.bases, 0)
	if _, err := r.enrolWith(enrolling(r.activation(), 1), 0); code(err) != trade.CodeUnsupported {
		t.Errorf("TDES without TDES keys: %v", err)
	}
	id := enrolling(r.activation(), 1)
	id.Purpose = channel.PurposePay
	if _, err := r.enrolWith(id, 4); code(err) != trade.CodeUnsupported {
		t.Errorf("over a channel for payments: %v", err)
	}
}

// A channel for payments is for the terminal that the device key belongs to, and
// the evidence that it enrolled with.
func TestAdmission(t *testing.T) {
	r := newRig(t)
	u := r.enrol(1, 4)
	ctx := t.Context()
	// A resumption stands for the key of the channel that it resumes.
	for _, purpose := range []channel.Purpose{channel.PurposePay, channel.PurposeResume} {
		id := u.identity
		id.Purpose = purpose
		if err := r.reg.Authorize(ctx, id); err != nil {
			t.Fatalf("%v: %v", purpose, err)
		}
	}
	for _, c := range []struct {
		name  string
		alter func(id *channel.Identity)
	}{
		{"another device key", func(id *channel.Identity) { id.Key = bytes.Repeat([]byte{9}, 32) }},
		{"no device key", func(id *channel.Identity) { id.Key = nil }},
		{"another terminal id", func(id *channel.Identity) { id.TerminalID = "P0000002" }},
		{"another merchant id", func(id *channel.Identity) { id.MerchantID = "M2" }},
		{"another attestation key", func(id *channel.Identity) { id.Claims.Device = "other" }},
		{"less assurance", func(id *channel.Identity) { id.Claims.Assurance = channel.AssuranceUnknown }},
		{"no purpose", func(id *channel.Identity) { id.Purpose = channel.PurposeNone }},
		{"resumption of another device", func(id *channel.Identity) { id.Purpose, id.Key = channel.PurposeResume, bytes.Repeat([]byte{9}, 32) }},
		{"resumption of nothing", func(id *channel.Identity) { id.Purpose, id.Key = channel.PurposeResume, nil }},
	} {
		id := u.identity
		c.alter(&id)
		if err := r.reg.Authorize(ctx, id); !errors.Is(err, errNotAdmitted) {
			t.Errorf("%s: got %v", c.name, err)
		}
		v := *u
		v.identity = id
		var out trade.Trade
		if err := v.ask(trade.KindTradeRequest, trade.TradeRequest{Order: "o1"}, &out); code(err) != trade.CodeNotEnrolled && code(err) != trade.CodeUnsupported {
			t.Errorf("%s: asked for a trade: %v", c.name, err)
		}
	}
}

func TestTerminalID(t *testing.T) {
	for n, want := range map[uint64]string{1: "P0000001", 35: "P000000Z", 36: "P0000010", maxNumber: "P027WR27"} {
		if got := terminalID(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestConfig(t *testing.T) {
	r := newRig(t)
	good := r.s.c
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		alter func(c *Config)
	}{
		{"no ledger", func(c *Config) { c.Ledger = nil }},
		{"no registry", func(c *Config) { c.Registry = nil }},
		{"no handshaker", func(c *Config) { c.Handshaker = nil }},
		{"no issuer", func(c *Config) { c.Issuer = nil }},
		{"no server key", func(c *Config) { c.ServerKey = nil }},
		{"no keys", func(c *Config) { c.Keys = Keys{} }},
		{"no PIN key", func(c *Config) { c.Keys.PIN = Base{} }},
		{"key of a wrong length", func(c *Config) { c.Keys.PIN.Key = key(1, 15) }},
		{"half of the TDES keys", func(c *Config) { c.Keys.MACTDES = Base{} }},
		{"TDES key of a wrong length", func(c *Config) { c.Keys.MACTDES.Key = key(1, 24) }},
		{"one key for two uses", func(c *Config) { c.Keys.MAC.Key = c.Keys.PIN.Key }},
		{"one name for two keys", func(c *Config) { c.Keys.MAC.ID = c.Keys.PIN.ID }},
	} {
		x := good
		x.Keys = testKeys()
		c.alter(&x)
		if _, err := New(x); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	for _, c := range []RegistryConfig{{}, {Ledger: r.l}, {Ledger: r.l, Key: secret.CopyBytes(make([]byte, 31))}} {
		if _, err := NewRegistry(c); !errors.Is(err, ErrConfig) {
			t.Errorf("registry %+v: got %v", c, err)
		}
	}
}

// Key ids of AES and TDES terminals: distinct, and the counter's bits are free.
func TestKeyIDs(t *testing.T) {
	r := newRig(t)
	seen := map[string]bool{}
	for format, p := range r.s.bases {
		for _, b := range []base{p.pin, p.mac} {
			for _, n := range []uint64{1, 2, maxNumber} {
				id := b.keyID(n)
				if seen[string(id)] {
					t.Errorf("format %d: id %X twice", format, id)
				}
				seen[string(id)] = true
				if _, err := b.host.InitialKey(id); err != nil {
					t.Errorf("format %d: id %X: %v", format, id, err)
				}
				v := ledger.Terminal{Number: n}
				if _, _, err := b.transaction(&v, append(id, make([]byte, 5)...)); err == nil {
					t.Error("a key serial number that is too long is taken")
				}
			}
		}
	}
}
