package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/acquirer/link"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/pinpad/mac"
)

func zoneMaster(t testing.TB, usage string, mode byte, fill byte) *keyblock.Key {
	t.Helper()
	k, err := keyblock.NewKey(keyblock.Header{Version: 'D', Usage: usage, Algorithm: 'A', Mode: mode, KeyVersion: "00", Exportability: 'N'}, key(fill, 16))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// zone makes the working keys of one end of the chain's line.
func (r *rig) zone(tdes bool) *Zone {
	r.t.Helper()
	z, err := NewZone(ZoneConfig{
		Ledger: r.l, Name: "line", Master: zoneMaster(r.t, "K0", 'B', 0x31), Initial: zoneMaster(r.t, "M6", 'C', 0x32), TDES: tdes,
		Now: func() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return z
}

// newZoned is a chain whose ends share no base keys, over a line with working keys.
func newZoned(t *testing.T, tdes bool) *chained {
	c := newChain(t)
	alone := nextKeys()
	alone.Earlier = nil
	c.up.with(alone)
	c.zones, c.s.c.UpstreamZone, c.up.s.c.LineZone = true, c.zone(tdes), c.up.zone(tdes)
	for n := range 9 {
		c.order(fmt.Sprintf("o%d", n), 100)
	}
	return c
}

// zoned is the line under working keys.
func (c *chained) zoned(ctx context.Context, m *acquirer.Message, f fate) (*acquirer.Message, error) {
	d := c.s.c.Dialect
	b, err := c.s.c.UpstreamZone.Seal(ctx, d, m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", link.ErrNotSent, err)
	}
	answer := c.above(b)
	if f == answerLost || answer == nil {
		return nil, fmt.Errorf("%w: %w", link.ErrNoAnswer, errLine)
	}
	out, err := c.s.c.UpstreamZone.Open(ctx, d, answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", link.ErrNoAnswer, err)
	}
	return out, nil
}

// above is the other end: nil where it does not answer.
func (c *chained) above(b []byte) []byte {
	z, d := c.up.s.c.LineZone, c.up.s.c.Dialect
	there, err := z.Open(context.Background(), d, b)
	if c.refusedAbove = err; err != nil {
		return nil
	}
	answer := c.up.s.Acquire(context.Background(), there)
	if answer == nil {
		return nil
	}
	out, err := z.Seal(context.Background(), d, answer)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *chained) exchangeKeys() {
	c.t.Helper()
	if err := c.s.ExchangeKeys(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// pass moves both clocks.
func (c *chained) passes(d time.Duration) {
	for _, r := range []*rig{c.rig, c.up} {
		r.mu.Lock()
		r.now = r.now.Add(d)
		r.mu.Unlock()
	}
}

// numbers are those of the keys that an end has.
func (r *rig) numbers() (out []uint64) {
	r.t.Helper()
	err := r.l.View(r.t.Context(), func(tx ledger.Tx) error {
		out = nil
		return tx.EachWorkingKey("line", func(k ledger.WorkingKey) error {
			if k.Usage == zoneMAC {
				out = append(out, k.Number)
			}
			return nil
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// TestZone: PIN blocks and messages go under the keys that were exchanged, from
// terminals of either kind to an acquirer that has none of their base keys.
func TestZone(t *testing.T) {
	for _, tdes := range []bool{false, true} {
		for _, format := range []uint8{4, 0} {
			t.Run(fmt.Sprintf("TDES %v, terminal of format %d", tdes, format), func(t *testing.T) {
				c := newZoned(t, tdes)
				u := c.enrol(1, format)
				var sent *acquirer.Message
				c.fate = func(m *acquirer.Message) fate { sent = m.Clone(); return arrives }
				u.want("no PIN, before keys are exchanged", u.sale("o0", 100, ""), codeApproved)
				sent = nil
				u.want("with a PIN", u.sale("o1", 100, testPIN), codeUnavailable)
				if sent != nil {
					t.Error("a PIN block was sent without keys for it")
				}
				if err := c.s.Manage(t.Context(), acquirer.NetworkSignOn); err != nil {
					t.Error(err)
				}
				c.exchangeKeys()
				m := u.sale("o2", 100, testPIN)
				u.want("after it", m, codeApproved)
				want := uint8(4)
				if tdes {
					want = 0
				}
				if n, ok := zoneNumber(sent.PINKSN); !ok || n != 1 || sent.PINFormat != want || bytes.Equal(sent.PINBlock, m.PINBlock) {
					t.Errorf("sent with a PIN block of format %d under %X", sent.PINFormat, sent.PINKSN)
				}
				u.want("a wrong PIN", u.sale("o3", 100, "9999"), issuer55)
				if err := c.s.Manage(t.Context(), acquirer.NetworkEcho); err != nil {
					t.Error(err)
				}
				if err := c.s.Manage(t.Context(), "999"); !errors.Is(err, ErrUnsupported) {
					t.Errorf("an unknown network management code: %v", err)
				}
			})
		}
	}
}

// TestZoneRotates: new keys are used at once, those before them for messages on
// their way, for a while, and then no more.
func TestZoneRotates(t *testing.T) {
	c := newZoned(t, false)
	u := c.enrol(1, 4)
	c.exchangeKeys()
	u.want("under the first keys", u.sale("o0", 100, testPIN), codeApproved)
	until := func(number uint64) (until time.Time) {
		err := c.l.View(t.Context(), func(tx ledger.Tx) error {
			return tx.EachWorkingKey("line", func(k ledger.WorkingKey) error {
				if k.Number == number {
					until = k.Until
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return until
	}
	flight := func() []byte {
		b, err := c.s.c.UpstreamZone.Seal(t.Context(), c.s.c.Dialect, acquirer.NewNetworkManagement(acquirer.NetworkEcho, "000777", "LINE", testNow))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old := flight()
	// A request is answered after the exchange: the answer is taken.
	first := c.above(bytes.Clone(old))
	c.exchangeKeys()
	if !until(2).IsZero() || !until(1).Equal(testNow.Add(10*time.Minute)) {
		t.Errorf("the keys before end at %v, the new ones at %v", until(1), until(2))
	}
	if _, err := c.s.c.UpstreamZone.Open(t.Context(), c.s.c.Dialect, first); err != nil {
		t.Errorf("an answer under the keys before: %v", err)
	}
	if c.above(bytes.Clone(old)) == nil {
		t.Errorf("a message under the keys before: %v", c.refusedAbove)
	}
	u.want("under the second", u.sale("o1", 100, testPIN), codeApproved)
	if c.above(bytes.Clone(old)) == nil {
		t.Errorf("on its way, once the new ones are used: %v", c.refusedAbove)
	}
	c.passes(9 * time.Minute)
	if c.above(bytes.Clone(old)) == nil {
		t.Errorf("nine minutes later: %v", c.refusedAbove)
	}
	c.passes(2 * time.Minute)
	if c.above(bytes.Clone(old)) != nil || !errors.Is(c.refusedAbove, acquirer.ErrMAC) {
		t.Errorf("eleven minutes later: %v", c.refusedAbove)
	}
	if _, err := c.s.c.UpstreamZone.Open(t.Context(), c.s.c.Dialect, first); !errors.Is(err, acquirer.ErrMAC) {
		t.Errorf("an answer eleven minutes later: %v", err)
	}
	u.want("under the second, still", u.sale("o2", 100, testPIN), codeApproved)
	c.exchangeKeys()
	u.want("under the third", u.sale("o3", 100, testPIN), codeApproved)
	if a, b := fmt.Sprint(c.numbers()), fmt.Sprint(c.up.numbers()); a != "[2 3]" || b != "[2 3]" {
		t.Errorf("keys of the numbers %s and %s are kept", a, b)
	}
	// Another server on either ledger goes on with them.
	c.s.c.UpstreamZone, c.up.s.c.LineZone = c.zone(false), c.up.zone(false)
	u.want("by other servers", u.sale("o4", 100, testPIN), codeApproved)
}

// TestZoneKeysOnce: a key is unwrapped once, however often the ledger is read, and
// wiped when it is over.
func TestZoneKeysOnce(t *testing.T) {
	c := newZoned(t, false)
	u := c.enrol(1, 4)
	c.exchangeKeys()
	z := c.s.c.UpstreamZone
	if err := z.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := z.keys[1]
	for range 3 {
		c.passes(zoneFresh)
		if err := z.load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if again := z.keys[1]; again.pin != first.pin || again.mac != first.mac {
		t.Error("the keys were unwrapped anew")
	}
	c.exchangeKeys()
	u.want("under the second", u.sale("o1", 100, testPIN), codeApproved)
	c.passes(time.Hour)
	c.exchangeKeys()
	if z.keys[1] != nil {
		t.Fatal("the first keys are kept")
	}
	for what, k := range map[string]*keyblock.Key{"PIN": first.pin, "MAC": first.mac} {
		if _, err := k.MAC([]byte{1}, mac.Padding1); what == "MAC" && !errors.Is(err, keyblock.ErrKey) {
			t.Errorf("the first %s key: %v", what, err)
		}
		if _, err := k.EncryptPIN(4, secret.CopyBytes([]byte("1234")), secret.PAN{}, c.s.c.Rand); what == "PIN" && !errors.Is(err, keyblock.ErrKey) {
			t.Errorf("the first %s key: %v", what, err)
		}
	}
}

// TestZoneInterrupted: whatever is lost of an exchange, both ends go on, and the
// next one succeeds.
func TestZoneInterrupted(t *testing.T) {
	for _, f := range []fate{notSent, lost, answerLost} {
		c := newZoned(t, false)
		u := c.enrol(1, 4)
		for n := range 3 {
			if n > 0 {
				c.exchangeKeys()
			}
			c.fate = func(m *acquirer.Message) fate {
				if asksForKeys(m) {
					return f
				}
				return arrives
			}
			if err := c.s.ExchangeKeys(t.Context()); err == nil {
				t.Error("an exchange without an answer succeeded")
			}
			if n > 0 {
				u.want("after it", u.sale(fmt.Sprintf("o%d", n), 100, testPIN), codeApproved)
			}
			c.fate = nil
		}
		c.exchangeKeys()
		u.want("at last", u.sale("o5", 100, testPIN), codeApproved)
	}
}

// TestZoneInitial: the key of the beginning is good for an exchange alone, once
// there are working keys.
func TestZoneInitial(t *testing.T) {
	c := newZoned(t, false)
	c.exchangeKeys()
	// An end that lost its ledger has nothing but the initial key.
	forgot := newRig(t).zone(false)
	seal := func(code string) []byte {
		b, err := forgot.Seal(t.Context(), c.s.c.Dialect, acquirer.NewNetworkManagement(code, "000778", "LINE", testNow))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if c.above(seal(acquirer.NetworkEcho)) != nil || !errors.Is(c.refusedAbove, acquirer.ErrMAC) {
		t.Errorf("an echo under the initial key: %v", c.refusedAbove)
	}
	// A payment that calls itself an exchange of keys is none.
	m := c.enrol(1, 4).sale("o1", 100, "")
	m.MAC, m.MACKSN, m.NetworkCode = nil, nil, acquirer.NetworkKey
	b, err := c.s.c.Dialect.Seal(m, func(data []byte) ([]byte, error) {
		code, err := forgot.c.Initial.MAC(data, mac.Padding1)
		if err != nil {
			return nil, err
		}
		return code[:8], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.above(b) != nil || !errors.Is(c.refusedAbove, acquirer.ErrMAC) {
		t.Errorf("a payment under the initial key: %v", c.refusedAbove)
	}
	answer := c.above(seal(acquirer.NetworkKey))
	if answer == nil {
		t.Fatalf("an exchange under the initial key: %v", c.refusedAbove)
	}
	got, err := forgot.Open(t.Context(), c.s.c.Dialect, answer)
	if err != nil {
		t.Fatal(err)
	}
	if err := forgot.take(t.Context(), got.Extra[keysField]); err != nil {
		t.Fatal(err)
	}
	if c.above(seal(acquirer.NetworkEcho)) == nil {
		t.Errorf("an echo under the new keys: %v", c.refusedAbove)
	}
}

// TestZoneFlooded: a request for keys that somebody plays over and over fills no
// ledger, and the line goes on.
func TestZoneFlooded(t *testing.T) {
	c := newZoned(t, false)
	u := c.enrol(1, 4)
	c.exchangeKeys()
	u.want("before", u.sale("o1", 100, testPIN), codeApproved)
	b, err := newRig(t).zone(false).Seal(t.Context(), c.s.c.Dialect, acquirer.NewNetworkManagement(acquirer.NetworkKey, "000778", "LINE", testNow))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * maxUnused {
		if c.above(bytes.Clone(b)) == nil {
			t.Fatal(c.refusedAbove)
		}
	}
	if n := c.up.numbers(); len(n) > 1+maxUnused || n[0] != 1 {
		t.Errorf("keys of the numbers %v are kept", n)
	}
	u.want("under the keys that both have", u.sale("o2", 100, testPIN), codeApproved)
	c.exchangeKeys()
	u.want("under new ones", u.sale("o3", 100, testPIN), codeApproved)
}

// TestZoneKeysRefused: keys that are altered, of another master, without a check
// value, of another usage, or old ones again are not taken, and nothing changes.
func TestZoneKeysRefused(t *testing.T) {
	c := newZoned(t, false)
	u := c.enrol(1, 4)
	c.exchangeKeys()
	replayed, err := c.up.s.c.LineZone.make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.exchangeKeys()
	z := c.s.c.UpstreamZone
	good, err := c.up.s.c.LineZone.make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewZone(ZoneConfig{Ledger: newRig(t).l, Name: "line", Master: zoneMaster(t, "K0", 'B', 0x41), Initial: zoneMaster(t, "M6", 'C', 0x32)})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bare := func(usage string, mode byte) string {
		b, err := keyblock.Wrap(key(0x31, 16), keyblock.Header{Version: 'D', Usage: usage, Algorithm: 'A', Mode: mode, KeyVersion: "00", Exportability: 'N'}, key(9, 16), bytes.NewReader(make([]byte, 64)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	head := string(good[:keysHead])
	_, pin, code, err := parseKeys(string(good))
	if err != nil {
		t.Fatal(err)
	}
	for name, field := range map[string]string{
		"nothing": "", "another version": "ZK02" + string(good[4:]), "no number": strings.Replace(head, "0000", "00x0", 1) + pin + code,
		"number zero": keysVersion + strings.Repeat("0", 20) + pin + code, "one key": head + pin, "three keys": head + pin + code + code,
		"in the other order": head + code + pin, "twice the same": head + pin + pin, "cut off": string(good[:len(good)-1]), "under another master": head + string(foreign[keysHead:]),
		"a PIN key without check value": head + bare("P0", 'B') + code, "a MAC key without check value": head + pin + bare("M6", 'C'), "old ones": string(replayed),
		"a length beyond the end": head + pin[:1] + "0999" + pin[5:] + code, "a length of nothing": head + pin[:1] + "0000" + pin[5:] + code,
	} {
		if err := z.take(t.Context(), []byte(field)); !errors.Is(err, ErrZone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for at := keysHead; at < len(good); at += 7 {
		bad := bytes.Clone(good)
		bad[at] ^= 0x01
		if err := z.take(t.Context(), bad); !errors.Is(err, ErrZone) {
			t.Errorf("altered at %d: %v", at, err)
		}
	}
	if n := fmt.Sprint(c.numbers()); n != "[1 3]" {
		t.Errorf("keys of the numbers %s", n)
	}
	u.want("under the keys as they were", u.sale("o0", 100, testPIN), codeApproved)
	if err := z.take(t.Context(), good); err != nil {
		t.Error(err)
	}
	u.want("under the good ones", u.sale("o1", 100, testPIN), codeApproved)
	// A key whose check value is another's.
	k := key(9, 16)
	b, err := mac.AES(key(8, 16))
	if err != nil {
		t.Fatal(err)
	}
	h := keyblock.Header{Version: 'D', Usage: "P0", Algorithm: 'A', Mode: 'B', KeyVersion: "00", Exportability: 'N',
		Optional: []keyblock.Block{keyblock.CheckValue("KC", keyblock.CheckCMAC, mac.CMAC(b, make([]byte, 16))[:5])}}
	wrong, err := keyblock.Wrap(key(0x31, 16), h, k, bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	if err := z.take(t.Context(), []byte(keysVersion+fmt.Sprintf("%020d", 99)+wrong+code)); !errors.Is(err, ErrZone) || !errors.Is(err, keyblock.ErrAuthentication) {
		t.Errorf("another key's check value: %v", err)
	}
}

// TestZoneAltered: a message with any bit changed, or under keys that nobody has,
// is not taken.
func TestZoneAltered(t *testing.T) {
	c := newZoned(t, false)
	c.exchangeKeys()
	b, err := c.s.c.UpstreamZone.Seal(t.Context(), c.s.c.Dialect, acquirer.NewNetworkManagement(acquirer.NetworkEcho, "000777", "LINE", testNow))
	if err != nil {
		t.Fatal(err)
	}
	for at := range b {
		bad := bytes.Clone(b)
		bad[at] ^= 0x01
		if m, err := c.up.s.c.LineZone.Open(t.Context(), c.s.c.Dialect, bad); err == nil {
			t.Errorf("altered at %d: taken as %s", at, m.MTI)
		}
	}
	if c.above(b) == nil {
		t.Errorf("as it was: %v", c.refusedAbove)
	}
}

func TestZoneConfig(t *testing.T) {
	r := newRig(t)
	good := func() ZoneConfig {
		return ZoneConfig{Ledger: r.l, Name: "line", Master: zoneMaster(t, "K0", 'B', 1), Initial: zoneMaster(t, "M6", 'C', 2)}
	}
	for name, alter := range map[string]func(*ZoneConfig){
		"no ledger": func(c *ZoneConfig) { c.Ledger = nil }, "no name": func(c *ZoneConfig) { c.Name = "" }, "no master": func(c *ZoneConfig) { c.Master = nil },
		"no initial key": func(c *ZoneConfig) { c.Initial = nil }, "a MAC key for a master": func(c *ZoneConfig) { c.Master = c.Initial },
		"a master for a MAC key": func(c *ZoneConfig) { c.Initial = c.Master },
	} {
		c := good()
		alter(&c)
		if _, err := NewZone(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewZone(good()); err != nil {
		t.Error(err)
	}
	k := testKeys()
	k.PIN.ID = [4]byte{'Z', 'O', 1, 1}
	hc := r.s.c
	hc.Keys = k
	if _, err := New(hc); !errors.Is(err, ErrConfig) {
		t.Errorf("a base key called as working keys are: %v", err)
	}
	if err := r.s.ExchangeKeys(t.Context()); !errors.Is(err, ErrZone) {
		t.Errorf("without a zone: %v", err)
	}
}

// TestKeepLine: keys first, then sign-on, until it is told to stop.
func TestKeepLine(t *testing.T) {
	c := newZoned(t, false)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var seen []string
	c.fate = func(m *acquirer.Message) fate {
		if seen = append(seen, m.NetworkCode); m.NetworkCode == acquirer.NetworkSignOn {
			stop()
		}
		return arrives
	}
	c.s.KeepLine(ctx, time.Hour)
	if want := []string{acquirer.NetworkKey, acquirer.NetworkSignOn}; !slices.Equal(seen, want) {
		t.Errorf("sent %v, want %v", seen, want)
	}
}
