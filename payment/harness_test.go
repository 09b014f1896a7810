package payment_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the ledger's driver

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/memledger"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/scripted"
	"github.com/payunit/payunit/trusted/vault"
)

const (
	testMerchant = "TESTMERCHANT001"
	cardBalance  = 1_000_000
)

// serverKey is the world's channel key.
type serverKey struct{ k *ecdh.PrivateKey }

func (s serverKey) PublicKey(context.Context) ([]byte, error) { return s.k.PublicKey().Bytes(), nil }

func (s serverKey) ECDH(_ context.Context, peer []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return s.k.ECDH(p)
}

// world is a payment server, and the way to it.
type world struct {
	t        testing.TB
	ledger   ledger.Ledger
	registry *host.Registry
	server   *host.Server
	serving  sync.WaitGroup
	// channel is the devices' kind of channel, nil for noise.
	channel enrol.Channel
	ctx     context.Context

	mu        sync.Mutex
	intercept func(host.Point) error
	partial   bool
	// drawn is the transaction counter that the world's last card began at.
	drawn uint16
	pin   trade.PINPolicy
	// entry is the terminals' entry policy; asked counts who asked for it, and
	// grants, when not nil, may say otherwise the n-th time.
	entry  trade.EntryPolicy
	asked  int
	grants func(n int) trade.EntryPolicy
	// tips is how large a tip may be, in per cent of an order.
	tips int
	// entries are how the issuer was told that cards were read.
	entries []issuer.Entry
	events  []string
	// judged counts evidence, and judge, when not nil, may say otherwise of
	// the n-th.
	judged int
	// tick is what each look at the server's clock moves it, passed by how much.
	tick, passed time.Duration
	judge        func(n int, c channel.Claims, err error) (channel.Claims, error)
}

// verifier is the software one, with the world's last word.
type verifier struct{ w *world }

func (v verifier) Verify(ctx context.Context, challenge []byte, e channel.Evidence) (channel.Claims, error) {
	c, err := attest.SoftwareVerifier{}.Verify(ctx, challenge, e)
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	v.w.judged++
	if v.w.judge != nil {
		return v.w.judge(v.w.judged, c, err)
	}
	return c, err
}

func key(fill byte, n int) secret.Bytes { return secret.NewBytes(bytes.Repeat([]byte{fill}, n)) }

// pki are the keys of all worlds' cards, which stay the same ones.
var pki = sync.OnceValue(testkeys.PKI)

// cardsFile and capkFile are what an issuer and a terminal are told of the cards.
var (
	cardsFile = sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		err := simcard.WriteCards(&b, pki(), simcard.AllProfiles(), cardBalance, "EUR")
		return b.Bytes(), err
	})
	capkFile = sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		err := simcard.WriteCAPK(&b, pki(), simcard.AllProfiles())
		return b.Bytes(), err
	})
)

// newWorld is a server whose ledger is in memory. The ledgers keep one contract;
// onSQLite is for the tests that pass through everything that is booked.
func newWorld(t testing.TB, alter ...func(*host.Config)) *world {
	t.Helper()
	return worldOn(t, memledger.New(), alter...)
}

// onSQLite is newWorld with the embedded ledger.
func onSQLite(t testing.TB, alter ...func(*host.Config)) *world {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	l, err := sqlledger.OpenVolatile(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return worldOn(t, l, alter...)
}

func worldOn(t testing.TB, l ledger.Ledger, alter ...func(*host.Config)) *world {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &world{t: t, ctx: ctx, ledger: l}
	cards, err := cardsFile()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := issuer.ParseCards(bytes.NewReader(cards))
	if err != nil {
		t.Fatal(err)
	}
	iss, err := issuer.New(issuer.Config{Cards: parsed, CVK: secret.CopyBytes(pki().CVK.Reveal()), CountersInAnyOrder: true, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if w.registry, err = host.NewRegistry(host.RegistryConfig{Ledger: w.ledger, Key: key(0xA1, 32), Now: now}); err != nil {
		t.Fatal(err)
	}
	priv, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{0xA2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h, err := noise.NewServer(noise.ServerConfig{
		Static: serverKey{priv}, Verifier: attest.SoftwareVerifier{}, Authorize: w.registry.Authorize, Activations: w.registry.ActivationKey,
		Tickets: noise.NewMemoryTickets(100, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	hc := host.Config{
		Ledger: w.ledger, Registry: w.registry, Handshaker: h, Verifier: verifier{w}, Issuer: partly{iss, w}, ServerKey: priv.PublicKey().Bytes(), Now: w.clock,
		// The clock stands, so that nobody's bucket of requests is ever filled.
		Limits: host.Limits{Burst: 10_000},
		Keys: host.Keys{
			PIN: host.Base{ID: [4]byte{1}, Key: key(0xB1, 16)}, MAC: host.Base{ID: [4]byte{2}, Key: key(0xB2, 16)},
			PINTDES: host.Base{ID: [4]byte{3}, Key: tdesKey(0xB3)}, MACTDES: host.Base{ID: [4]byte{4}, Key: tdesKey(0xB4)},
		},
		PINPolicy: func(string) trade.PINPolicy {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.pin
		},
		TipPercent: func(string, string) int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.tips
		},
		EntryPolicy: func(string) trade.EntryPolicy {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked++
			if w.grants != nil {
				return w.grants(w.asked)
			}
			return w.entry
		},
		Observe: func(e host.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, fmt.Sprintf("%+v", e))
		},
		Intercept: func(p host.Point) error {
			w.mu.Lock()
			f := w.intercept
			w.mu.Unlock()
			if f == nil {
				return nil
			}
			return f(p)
		},
	}
	for _, f := range alter {
		f(&hc)
	}
	w.server, err = host.New(hc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		w.serving.Wait()
		iss.Close()
	})
	return w
}

// partly is an issuer that may approve a part of the amount only.
type partly struct {
	host.Issuer
	w *world
}

func (p partly) Authorize(ctx context.Context, tx ledger.Tx, r issuer.Request) (issuer.Decision, error) {
	d, err := p.Issuer.Authorize(ctx, tx, r)
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.entries = append(p.w.entries, r.Entry)
	if p.w.partial && d.Code == issuer.CodeApproved {
		d.Code = "10"
	}
	return d, err
}

func tdesKey(seed byte) secret.Bytes {
	b := make([]byte, 16)
	for i := range b {
		b[i] = seed + byte(i)*3
	}
	return secret.NewBytes(b)
}

// now is the clock of everything but the channel's own limits.
func now() time.Time { return time.Date(2026, 11, 24, 10, 11, 12, 0, time.UTC) }

// clock is the server's.
func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passed += w.tick
	return now().Add(w.passed)
}

// Open implements trusted.Link: an honest app.
func (w *world) Open(context.Context) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	w.serving.Go(func() { _ = w.server.ServeConn(w.ctx, far) })
	return near, nil
}

func (w *world) order(id string, minor int64) {
	w.t.Helper()
	if err := w.server.CreateOrder(w.ctx, host.Order{ID: id, Type: trade.Sale, Amount: euros(w.t, minor), Merchant: testMerchant}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) state(id string) trade.State {
	w.t.Helper()
	s, err := w.server.OrderState(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// audit fails the test when the ledger does not hold, and returns its report.
func (w *world) audit() ledger.Report {
	w.t.Helper()
	r, err := ledger.Audit(w.ctx, w.ledger)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range r.Problems {
		w.t.Errorf("ledger: %s", p)
	}
	return r
}

func euros(t testing.TB, minor int64) money.Amount {
	t.Helper()
	c, err := money.ByCode("EUR")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

// rigConfig is how a unit differs from the plain one.
type rigConfig struct {
	profile, faults string
	script          scripted.Script
	pinFormat       uint8
	link            trusted.Link
	storage         func(*vault.Vault) payment.Storage
	reader          func(cardreader.Reader) cardreader.Reader
	tap             cardreader.Reader // where the card is tapped, beside where it is inserted
	ui              trusted.UI
	limits          payment.Limits
	dir             string
	now             func() time.Time
	observe         func(payment.Event)
	language        string
	// offline makes the terminal one that may approve offline, up to 50.00.
	offline payment.OfflineLimits
	// selected goes online with every payment, by random selection.
	selected bool
	panel    softpad.Panel
	monitor  trusted.Monitor
	// terminal alters the terminal's data, config what else there is.
	terminal func(*emv.Terminal)
	config   func(*payment.Config)
}

// rig is an enrolled unit, and what it told.
type rig struct {
	config payment.Config
	// identity is the terminal's.
	identity func() (terminalID, merchantID string)
	// rotate changes its keys.
	rotate func(context.Context) error
	unit   *payment.Unit
	vault  *vault.Vault
	holder *scripted.Cardholder
	dir    string
	events []payment.Event
}

func plain() rigConfig {
	return rigConfig{profile: "default", script: scripted.Script{PIN: secret.CopyBytes([]byte(simcard.TestPIN))}, pinFormat: 4}
}

func (w *world) enrolment(v *vault.Vault, link trusted.Link) enrol.Config {
	return enrol.Config{
		Storage: v, Keys: v, Link: link, Attester: attest.Software{Keys: v}, DeviceClass: "test", Assurance: channel.AssuranceSoftware, Channel: w.channel,
	}
}

// rig enrols a unit, or opens the one in c.dir.
func (w *world) rig(c rigConfig) *rig {
	w.t.Helper()
	if c.dir == "" {
		c.dir = w.t.TempDir()
	}
	v, err := vault.Open(w.ctx, c.dir, vault.Config{Key: vault.FixedKey(key(0xC1, 32))})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = v.Close() })
	if _, err := enrol.Open(w.ctx, w.enrolment(v, w)); err != nil {
		a, err := w.registry.CreateActivation(w.ctx, host.Merchant{ID: testMerchant, Name: "Test Merchant"})
		if err != nil {
			w.t.Fatal(err)
		}
		code, err := a.Code()
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := enrol.Enrol(w.ctx, w.enrolment(v, w), code, c.pinFormat); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.open(c, v)
}

// open composes the unit of an enrolled vault.
func (w *world) open(c rigConfig, v *vault.Vault) *rig {
	w.t.Helper()
	if c.link == nil {
		c.link = w
	}
	device, err := enrol.Open(w.ctx, w.enrolment(v, c.link))
	if err != nil {
		w.t.Fatal(err)
	}
	r := &rig{identity: device.Identity, rotate: device.Rotate, vault: v, dir: c.dir, holder: scripted.New(c.script)}
	if c.panel == nil {
		c.panel = r.holder
	}
	pad, err := softpad.New(softpad.Config{Panel: c.panel, Keys: device.PINKeys()})
	if err != nil {
		w.t.Fatal(err)
	}
	pc := payment.Config{
		Device: device, Reader: w.reader(c), UI: r.holder, Pad: pad, Storage: v, CAKeys: w.caKeys(), Terminal: w.terminal(),
		Limits: c.limits, Language: c.language, Monitor: c.monitor, Now: c.now,
		Observe: func(e payment.Event) {
			r.events = append(r.events, e)
			if c.observe != nil {
				c.observe(e)
			}
		},
	}
	if c.now == nil {
		pc.Now = now
	}
	if pc.Offline = c.offline; c.offline.Count > 0 {
		pc.Terminal.Type = 0x22
		for i := range pc.Terminal.Applications {
			pc.Terminal.Applications[i].FloorLimit = 5000
			if c.selected {
				pc.Terminal.Applications[i].Random = emv.RandomSelection{TargetPercent: 99, MaxTargetPercent: 99}
			}
		}
	}
	if c.terminal != nil {
		c.terminal(&pc.Terminal)
	}
	if c.config != nil {
		c.config(&pc)
	}
	if c.storage != nil {
		pc.Storage = c.storage(v)
	}
	if c.ui != nil {
		pc.UI = c.ui
	}
	if c.reader != nil {
		pc.Reader = c.reader(pc.Reader)
	}
	pc.TapReader = c.tap
	r.config = pc
	if r.unit, err = payment.New(pc); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) reader(c rigConfig) cardreader.Reader {
	w.t.Helper()
	p, err := simcard.LookupProfile(c.profile)
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := simcard.ParseFaults(c.faults)
	if err != nil {
		w.t.Fatal(err)
	}
	card, err := simcard.New(p, simcard.Options{PKI: pki(), Faults: f, Rand: counters{w}})
	if err != nil {
		w.t.Fatal(err)
	}
	return card.Reader("test")
}

// counters is the randomness of a world's cards, but that no two of them begin at
// transaction counters that meet: the issuer takes each one once, and two cards
// of one number would now and then draw the same.
type counters struct{ w *world }

// Read gives counters to who draws two bytes, which for a card is a counter.
func (c counters) Read(b []byte) (int, error) {
	if len(b) != 2 {
		return rand.Read(b)
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.drawn += 32
	binary.BigEndian.PutUint16(b, c.w.drawn)
	return len(b), nil
}

func (w *world) caKeys() *oda.Store {
	w.t.Helper()
	b, err := capkFile()
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := oda.ParseCAPK(bytes.NewReader(b))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) terminal() emv.Terminal {
	w.t.Helper()
	f, err := os.Open(filepath.Join("..", "examples", "pay", "terminal.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	term, err := emv.ParseTerminal(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return term
}

// final returns the events that end a payment.
func (r *rig) final() []payment.Event {
	var out []payment.Event
	for _, e := range r.events {
		if e.Final {
			out = append(out, e)
		}
	}
	return out
}
