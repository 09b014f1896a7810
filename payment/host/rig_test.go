package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/payunit/payunit/cardreader/emv/cryptogram"
	"github.com/payunit/payunit/cardreader/emv/tags"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/ledgertest"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger"
	"github.com/payunit/payunit/payment/host/ledger/sqlledger/sqltest"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/pinpad/keyblock"
)

const (
	testPAN = "4761739001010010"
	testPIN = "7391"
	testIMK = "0123456789ABCDEFFEDCBA9876543210"
	opening = 100000
)

var testNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func key(b byte, n int) secret.Bytes { return secret.NewBytes(bytes.Repeat([]byte{b}, n)) }

func testKeys() Keys {
	return Keys{
		PIN: Base{[4]byte{1}, key(0x11, 16)}, MAC: Base{[4]byte{2}, key(0x12, 16)},
		PINTDES: Base{[4]byte{3}, secret.CopyBytes([]byte("0123456789abcdef"))}, MACTDES: Base{[4]byte{4}, secret.CopyBytes([]byte("fedcba9876543210"))},
	}
}

// rig is a server on a ledger in a file, with a card that its issuer knows.
type rig struct {
	verifier breakable
	t        testing.TB
	path     string
	faults   *sqltest.Faults
	db       *sql.DB
	l        *sqlledger.Ledger
	s        *Server
	reg      *Registry

	mu     sync.Mutex
	events []Event
	quiet  bool // keeps no events
	cut    func(Point) error
	now    time.Time
}

// postgres is PostgreSQL's driver where the tests are built with it, nil
// elsewhere; the path of a rig on it is how the database is reached.
var postgres driver.Driver

// handshaker is none: most tests speak to the server's handler.
type handshaker struct{ channel.Handshaker }

// proven is the gate of a channel in which the unit proved itself a moment ago.
type proven struct{ gate }

func (proven) Fresh(attest.Moment, string) error { return nil }

func newRig(t testing.TB) *rig {
	return openRig(t, filepath.Join(t.TempDir(), "ledger.db"))
}

func openRig(t testing.TB, path string) *rig {
	t.Helper()
	r := &rig{t: t, path: path, faults: &sqltest.Faults{}, now: testNow}
	var d driver.Driver = &sqlite.Driver{}
	open := sqlledger.Open
	if postgres != nil && strings.HasPrefix(path, "postgres:") {
		d, open = postgres, sqlledger.OpenPostgres
	}
	r.db = sqltest.Open(d, path, r.faults)
	var err error
	if r.l, err = open(context.Background(), r.db); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	clock := func() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now }
	if r.reg, err = NewRegistry(RegistryConfig{Ledger: r.l, Key: key(0x77, 32), Now: clock}); err != nil {
		t.Fatal(err)
	}
	iss := r.issuer(clock)
	r.s, err = New(Config{
		Ledger: r.l, Registry: r.reg, Handshaker: handshaker{}, Verifier: &r.verifier, Issuer: iss, Keys: testKeys(), ServerKey: bytes.Repeat([]byte{9}, 32), Limits: Limits{Rate: 1e9},
		Dialect: acquirer.Default().WithClock(clock), Now: clock,
		Observe: func(e Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !r.quiet {
				r.events = append(r.events, e)
			}
		},
		Intercept: func(p Point) error {
			r.mu.Lock()
			cut := r.cut
			r.mu.Unlock()
			if cut == nil {
				return nil
			}
			return cut(p)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// issuer makes an issuer of the test card, with velocity limits.
func (r *rig) issuer(clock func() time.Time, limits ...issuer.Velocity) *issuer.Issuer {
	r.t.Helper()
	cards, err := issuer.ParseCards(strings.NewReader(fmt.Sprintf(
		`{"cards":[{"pan":%q,"psn":"00","expiry":"3112","imk_ac":%q,"imk_smi":%q,"imk_smc":%q,"derivation":"A","session":"csk","cvn":"18","pin":%q,"balance":%d,"currency":"EUR"}]}`,
		testPAN, testIMK, testIMK, testIMK, testPIN, opening)))
	if err != nil {
		r.t.Fatal(err)
	}
	i, err := issuer.New(issuer.Config{Cards: cards, Velocity: limits, Now: clock})
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

func (r *rig) close() {
	if r.db != nil {
		r.faults.Arm(0, sqltest.Before)
		_, _ = r.l.Close(), r.db.Close()
		r.db = nil
	}
}

// crash opens what is on disk at this moment as another server, and leaves this
// one as it is.
func (r *rig) crash() *rig {
	r.t.Helper()
	return openRig(r.t, r.onDisk())
}

// onDisk copies what is on disk at this moment, and returns where to.
func (r *rig) onDisk() string {
	r.t.Helper()
	to := filepath.Join(r.t.TempDir(), "ledger.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(r.path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	return to
}

func (r *rig) eur(minor int64) money.Amount {
	c, err := money.ByCode("EUR")
	if err != nil {
		r.t.Fatal(err)
	}
	return money.New(minor, c)
}

func (r *rig) order(id string, minor int64) {
	r.t.Helper()
	if err := r.s.CreateOrder(context.Background(), Order{ID: id, Type: trade.Sale, Amount: r.eur(minor), Merchant: "M1"}); err != nil {
		r.t.Fatal(err)
	}
}

// state checks an order's state, and that the ledger's audit is clean.
func (r *rig) state(what, id string, want trade.State) {
	r.t.Helper()
	got, err := r.s.OrderState(context.Background(), id)
	if err != nil || got != want {
		r.t.Errorf("%s: order %s is %s (%v), want %s", what, id, got, err, want)
	}
	ledgertest.Clean(r.t, r.l)
}

// booked checks what left the card, what the merchant waits for and has.
func (r *rig) booked(what string, spent, pending, merchant int64) {
	r.t.Helper()
	var card, p, m int64
	err := r.l.View(context.Background(), func(tx ledger.Tx) (err error) {
		err = tx.EachBalance(func(account, currency string, minor int64) error {
			if strings.HasPrefix(account, "card/") {
				card += minor
			}
			return nil
		})
		if err != nil {
			return err
		}
		if p, err = tx.Balance("pending/M1", "EUR"); err != nil {
			return err
		}
		m, err = tx.Balance("merchant/M1", "EUR")
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if card != 0 {
		card = opening - card // else the card was never seen
	}
	if card != spent || p != pending || m != merchant {
		r.t.Errorf("%s: spent %d, pending %d, merchant %d; want %d, %d, %d", what, card, p, m, spent, pending, merchant)
	}
}

// store keeps a DUKPT device's state in memory.
type store struct{ b []byte }

func (s *store) Load(context.Context) ([]byte, error) { return bytes.Clone(s.b), nil }
func (s *store) Save(_ context.Context, b []byte) error {
	s.b = bytes.Clone(b)
	return nil
}

// conn is the end of a channel as far as the handler sees it.
type conn struct {
	net.Conn
	id channel.Identity
}

func (c *conn) ReadMessage(context.Context) ([]byte, error) { return nil, net.ErrClosed }
func (c *conn) WriteMessage(context.Context, []byte) error  { return net.ErrClosed }
func (c *conn) Peer() channel.Identity                      { return c.id }
func (c *conn) Binding() []byte                             { return nil }
func (c *conn) Export(label string, n int) ([]byte, error) {
	sum := sha256.Sum256([]byte(label))
	return sum[:n], nil
}

// unit is an enrolled terminal.
type unit struct {
	r        *rig
	grant    trade.Grant
	identity channel.Identity
	mac, pin *dukpt.Device
	stan     int
	// card is the one card that is used at every terminal.
	card *card
	// channel is the server's end of the unit's channel; nil makes one for
	// each message.
	channel *peer
}

// card is the test card with its counter.
type card struct {
	mu     sync.Mutex
	atc    uint16
	scheme cryptogram.Scheme
	keys   cryptogram.Keys
	pan    secret.PAN
}

func newCard(t testing.TB) *card { return cardOf(t, testPAN) }

// cardOf is a card of that number.
func cardOf(t testing.TB, number string) *card {
	t.Helper()
	s, err := cryptogram.ParseScheme("A", "csk", "18")
	if err != nil {
		t.Fatal(err)
	}
	pan, err := secret.NewPAN([]byte(number))
	if err != nil {
		t.Fatal(err)
	}
	imk, err := hex.DecodeString(testIMK)
	if err != nil {
		t.Fatal(err)
	}
	k := secret.NewBytes(imk)
	keys, err := s.CardKeys(cryptogram.Keys{AC: k, SMI: k, SMC: k}, pan, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &card{scheme: s, keys: keys, pan: pan}
}

// icc is field 55 of a new sale.
func (c *card) icc(t testing.TB, minor int64, pin bool) []byte {
	t.Helper()
	return c.iccOf(t, 0x00, minor, pin)
}

// iccOf is field 55 of a new transaction of a type.
func (c *card) iccOf(t testing.TB, kind byte, minor int64, pin bool) []byte {
	t.Helper()
	return c.iccWith(t, kind, minor, 0, pin)
}

// iccWith is field 55 of a new transaction of a type with an other amount.
func (c *card) iccWith(t testing.TB, kind byte, minor, other int64, pin bool) []byte {
	t.Helper()
	c.mu.Lock()
	c.atc++
	atc := c.atc
	c.mu.Unlock()
	iad := []byte{6, 1, c.scheme.CVN.Number(), 3, 0xA0, 0xB8, 0}
	cvm, tvr := []byte{0x1F, 3, 2}, []byte{0, 0, 0, 0x80, 0}
	if pin {
		cvm, tvr[2] = []byte{2, 3, 0}, 4
	}
	b := tlv.Append(nil, tags.AmountAuthorised, tlv.AppendN(nil, uint64(minor), 6))
	b = tlv.Append(b, tags.AmountOther, tlv.AppendN(nil, uint64(other), 6))
	b = tlv.Append(b, tags.TerminalCountryCode, []byte{2, 0x80})
	b = tlv.Append(b, tags.TVR, tvr)
	b = tlv.Append(b, tags.TransactionCurrencyCode, []byte{9, 0x78})
	b = tlv.Append(b, tags.TransactionDate, []byte{0x26, 0x11, 0x24})
	b = tlv.Append(b, tags.TransactionType, []byte{kind})
	b = tlv.Append(b, tags.UnpredictableNumber, []byte{1, 2, 3, 4})
	b = tlv.Append(b, tags.AIP, []byte{0x3C, 0})
	b = tlv.Append(b, tags.ATC, binary.BigEndian.AppendUint16(nil, atc))
	b = tlv.Append(b, tags.IssuerApplicationData, iad)
	b = tlv.Append(b, tags.CID, []byte{0x80})
	b = tlv.Append(b, tags.CVMResults, cvm)
	ac, err := c.scheme.Cryptogram(c.keys.AC, func(t tlv.Tag) ([]byte, bool) { return tlv.Find(b, t) }, cryptogram.Card{AIP: [2]byte{0x3C}, ATC: atc, IAD: iad})
	if err != nil {
		t.Fatal(err)
	}
	return tlv.Append(b, tags.ApplicationCryptogram, ac[:])
}

// enrolWith asks for a terminal as a device under an activation.
func (r *rig) enrolWith(id channel.Identity, format uint8) (trade.Grant, error) {
	e, err := trade.Encode(trade.KindEnrol, 1, trade.Enrol{DeviceClass: id.DeviceClass, PINFormat: format})
	if err != nil {
		r.t.Fatal(err)
	}
	c := &conn{id: id}
	out, err := (&handler{r.s, &peer{identity: id, gate: proven{}}}).Handle(context.Background(), c, e)
	if err != nil {
		return trade.Grant{}, err
	}
	var g trade.Grant
	if err := out.Decode(&g); err != nil {
		r.t.Fatal(err)
	}
	return g, nil
}

func (r *rig) activation() string {
	r.t.Helper()
	a, err := r.reg.CreateActivation(context.Background(), Merchant{ID: "M1", Name: "Corner Shop"})
	if err != nil {
		r.t.Fatal(err)
	}
	defer a.Wipe()
	return a.ID
}

func enrolling(activation string, device byte) channel.Identity {
	return channel.Identity{
		Key: bytes.Repeat([]byte{device}, 32), Purpose: channel.PurposeEnrol, DeviceClass: "test", ActivationID: activation,
		Claims: channel.Claims{Assurance: channel.AssuranceSoftware, Device: "test-device"},
	}
}

// enrol makes a terminal for the rig's merchant.
func (r *rig) enrol(device byte, format uint8) *unit {
	r.t.Helper()
	return r.enrolAs(enrolling(r.activation(), device), format)
}

// enrolAs makes a terminal of a device.
func (r *rig) enrolAs(id channel.Identity, format uint8) *unit {
	r.t.Helper()
	g, err := r.enrolWith(id, format)
	if err != nil {
		r.t.Fatal(err)
	}
	u := &unit{r: r, grant: g, card: newCard(r.t)}
	u.identity = channel.Identity{Key: id.Key, Purpose: channel.PurposePay, DeviceClass: "test", TerminalID: g.TerminalID, MerchantID: g.MerchantID, Claims: id.Claims}
	u.take(g, format)
	return u
}

// take puts the keys of a grant in place.
func (u *unit) take(g trade.Grant, format uint8) {
	r := u.r
	r.t.Helper()
	u.grant = g
	kbpk, _ := (&conn{}).Export(trade.KeyBlockLabel, 32)
	alg := dukpt.AES128
	if format == 0 {
		alg = dukpt.TDES
	}
	open := func(block string, keyID []byte, s *store) *dukpt.Device {
		h, k, err := keyblock.Unwrap(secret.CopyBytes(kbpk), block)
		if err != nil {
			r.t.Fatal(err)
		}
		if h.Version != 'D' || h.Usage != "B1" {
			r.t.Errorf("key block of version %c, usage %s", h.Version, h.Usage)
		}
		d, err := dukpt.NewDevice(context.Background(), alg, k, keyID, s)
		if err != nil {
			r.t.Fatal(err)
		}
		return d
	}
	u.mac, u.pin = open(g.MACKey, g.MACKeyID, &store{}), open(g.PINKey, g.PINKeyID, &store{})
}

// at is the same unit at another server.
func (u *unit) at(r *rig) *unit {
	c := *u
	c.r = r
	return &c
}

// sale makes the 0200 for an order.
func (u *unit) sale(order string, minor int64, pin string) *acquirer.Message {
	u.r.t.Helper()
	u.stan++
	stan := fmt.Sprintf("%06d", u.stan)
	a := u.r.eur(minor)
	m := &acquirer.Message{
		MTI: "0200", PAN: u.card.pan.Clone(), ProcessingCode: acquirer.ProcessingSale, Amount: &a, TransmissionTime: testNow, STAN: stan,
		LocalTime: testNow, Expiry: "3112", EntryMode: "051", PSN: "000", ConditionCode: "00", RRN: acquirer.RRN(testNow, stan),
		TerminalID: u.grant.TerminalID, MerchantID: u.grant.MerchantID, ICC: u.card.icc(u.r.t, minor, pin != ""), Order: order,
	}
	if pin != "" {
		k, err := u.pin.Next(context.Background())
		if err != nil {
			u.r.t.Fatal(err)
		}
		defer k.Wipe()
		if m.PINBlock, m.PINFormat, err = k.EncryptPIN(secret.CopyBytes([]byte(pin)), u.card.pan, rand.Reader); err != nil {
			u.r.t.Fatal(err)
		}
		m.PINKSN = k.KSN()
	}
	return m
}

// seal gives a message a MAC under the next key.
func (u *unit) seal(m *acquirer.Message) (*dukpt.Transaction, []byte) {
	u.r.t.Helper()
	k, err := u.mac.Next(context.Background())
	if err != nil {
		u.r.t.Fatal(err)
	}
	m.MACKSN = k.KSN()
	b, err := u.r.s.c.Dialect.Seal(m, k.MACRequest)
	if err != nil {
		u.r.t.Fatal(err)
	}
	return k, b
}

// post hands bytes to the server's handler.
func (u *unit) post(b []byte) ([]byte, error) {
	p := u.channel
	if p == nil {
		p = u.newChannel()
	}
	return u.postOn(p, b)
}

// newChannel is the server's end of a channel of the unit.
func (u *unit) newChannel() *peer { return &peer{identity: u.identity, gate: proven{}} }

func (u *unit) postOn(p *peer, b []byte) ([]byte, error) {
	e := trade.Envelope{Kind: trade.KindFinancial, Request: 1, Body: b}
	out, err := (&handler{u.r.s, p}).Handle(context.Background(), &conn{id: u.identity}, e)
	if err == nil && out.Kind != trade.KindFinancialReply {
		err = fmt.Errorf("reply of kind %d", out.Kind)
	}
	return out.Body, err
}

// send sends a message and checks that the answer is one to it.
func (u *unit) send(m *acquirer.Message) (*acquirer.Message, error) {
	k, b := u.seal(m)
	defer k.Wipe()
	out, err := u.post(b)
	if err != nil {
		return nil, err
	}
	resp, err := u.r.s.c.Dialect.Open(out, func(_ *acquirer.Message, data, mac []byte) error { return k.VerifyMACResponse(data, mac) })
	if err != nil {
		return nil, err
	}
	return resp, acquirer.Matches(m, resp)
}

// want sends a message and checks the answer's code.
func (u *unit) want(what string, m *acquirer.Message, code string) *acquirer.Message {
	u.r.t.Helper()
	resp, err := u.send(m)
	if err != nil {
		u.r.t.Errorf("%s: %v", what, err)
		return &acquirer.Message{}
	}
	if resp.ResponseCode != code {
		u.r.t.Errorf("%s: answered %s, want %s (%s)", what, resp.ResponseCode, code, u.r.lastEvent())
	}
	return resp
}

func (r *rig) lastEvent() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == 0 {
		return ""
	}
	return r.events[len(r.events)-1].Text
}

func (u *unit) reversal(m *acquirer.Message) *acquirer.Message {
	u.r.t.Helper()
	r, err := m.Reversal(acquirer.ReasonTimeout)
	if err != nil {
		u.r.t.Fatal(err)
	}
	return r
}

func (u *unit) completion(m *acquirer.Message, authCode string) *acquirer.Message {
	u.r.t.Helper()
	c, err := m.Completion(authCode, u.card.icc(u.r.t, m.Amount.Minor, false))
	if err != nil {
		u.r.t.Fatal(err)
	}
	return c
}

func (u *unit) repeat(m *acquirer.Message) *acquirer.Message {
	u.r.t.Helper()
	r, err := m.Repeat()
	if err != nil {
		u.r.t.Fatal(err)
	}
	return r
}
