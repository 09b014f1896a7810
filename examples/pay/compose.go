package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed" // the terminal file
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/channel/relay"
	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/payment/enrol/tlsdevice"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/console"
	"github.com/payunit/payunit/trusted/scripted"
)

//go:embed terminal.json
var terminalFile []byte

// serverState is the folder for -server without -state.
const serverState = "pay-state"

// balance is what the in-process bank's cards begin with, minor units.
const balance = 10_000_000

// faultTimeout is how long the unit waits for an answer that a fault has lost.
const faultTimeout = time.Second

// demonstration is everything that one run composes.
type demonstration struct {
	// settlement is what -settle did.
	settlement *payment.Settlement
	o          options
	screen     *screen
	fault      fault
	dir        string
	// fresh marks a folder of this run's own; keep is it, when it is needed
	// again.
	fresh bool
	keep  string
	bank  *bank.Bank
	stop  context.CancelFunc
	done  chan error
	link  *appLink
	unit  *softunit.Unit
	card  *simcard.Card
	// slot is where it is inserted.
	slot *simcard.Reader
	now  func() time.Time
	// traces is the number of files of -trace.
	traces int
	// closing is what close closes, the last first.
	closing []func() error
}

// playing reports whether all that is around the unit comes from a cassette.
func (d *demonstration) playing() bool { return d.o.tape != nil && d.o.tape.Playing() }

// appLink is the app: it relays, counts, and fails when it is told to.
type appLink struct {
	relay.Dialer
	down     atomic.Bool
	up, back atomic.Int64
}

var errLinkDown = errors.New("the app has no connection to the bank")

func (l *appLink) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	if l.down.Load() {
		return nil, errLinkDown
	}
	return l.Dialer.Open(ctx)
}

func (l *appLink) count(up bool, b []byte) {
	if up {
		l.up.Add(int64(len(b)))
	} else {
		l.back.Add(int64(len(b)))
	}
}

func compose(ctx context.Context, o options, s *screen, stdin *os.File, stdout io.Writer) (*demonstration, error) {
	d := &demonstration{o: o, screen: s, now: clock(o.now)}
	var err error
	if d.fault, err = findFault(o.fault); err != nil {
		return nil, err
	}
	if d.o.face, err = d.sides(); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{d.folder, d.startBank} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, d.close(payment.Result{}, nil))
		}
	}
	if err := d.makeUnit(ctx, stdin, stdout); err != nil {
		return nil, errors.Join(err, d.end(payment.Result{}, nil, err), d.close(payment.Result{}, nil))
	}
	return d, nil
}

// clock starts at a given time, or is this machine's.
func clock(start time.Time) func() time.Time {
	if start.IsZero() {
		return time.Now
	}
	began := time.Now()
	return func() time.Time { return start.Add(time.Since(began)) }
}

// random is a source of its own for each user, repeatable when a seed is given.
func (d *demonstration) random(user string) io.Reader {
	if !d.o.seeded {
		return rand.Reader
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], d.o.seed)
	copy(seed[8:], user)
	return &stream{r: mathrand.NewChaCha8(seed)}
}

// stream is a seeded source that several goroutines may read.
type stream struct {
	mu sync.Mutex
	r  *mathrand.ChaCha8
}

func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(b)
}

func (d *demonstration) folder(context.Context) error {
	if d.playing() {
		return nil
	}
	if d.o.state == "" && d.o.server != "" {
		// What a bank elsewhere has booked must not be forgotten here.
		d.o.state = serverState
	}
	if d.o.state != "" {
		d.dir = d.o.state
		return os.MkdirAll(d.dir, 0o700)
	}
	dir, err := os.MkdirTemp("", "payunit-")
	d.dir, d.fresh = dir, true
	return err
}

// startBank starts a bank in this process, unless there is one elsewhere.
func (d *demonstration) startBank(ctx context.Context) error {
	d.link = &appLink{}
	if d.playing() {
		return nil
	}
	d.link.Observe = d.link.count
	if d.o.server != "" {
		d.link.Address = d.o.server
		return nil
	}
	keys, err := demo.Default()
	if err != nil {
		return err
	}
	name := d.fault.name
	if name == faultLinkStays {
		name = faultLostAnswer
	}
	d.bank, err = bank.New(ctx, bank.Config{
		Store: filepath.Join(d.dir, "bank.db"), Balance: balance, Currency: d.o.amount.Currency, Keys: keys, Now: d.now, Fault: name, Channel: d.o.channel, Partial: d.o.partial, Entry: d.o.entryPolicy(), TipPercent: d.o.tipPercent(), Limits: d.o.limits,
		Observe: func(e host.Event) { d.screen.line("bank", e.Text, e.Took) },
		OnFault: func() { d.link.down.Store(d.fault.name == faultLinkStays) },
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.link.Address = l.Addr().String()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop, d.done = stop, make(chan error, 1)
	go func() { d.done <- d.bank.Serve(serving, l) }()
	d.screen.line("bank", "payment server started in this process at "+d.link.Address+", ledger in SQLite", 0)
	return nil
}

func (d *demonstration) activation(ctx context.Context) (string, error) {
	switch {
	case d.o.activation != "":
		return d.o.activation, nil
	case d.bank != nil:
		return d.bank.Activate(ctx)
	}
	return d.merchant().Activate(ctx)
}

func (d *demonstration) merchant() bank.Merchant {
	m := bank.Merchant{Address: d.o.server, Token: d.o.token}
	if m.Token == "" {
		m.Token = demo.Token
	}
	return m
}

func (d *demonstration) makeUnit(ctx context.Context, stdin *os.File, stdout io.Writer) error {
	c := softunit.Config{
		Link: d.link, Limits: payment.Limits{Reply: d.o.replyTimeout},
		Observe: d.event, Rand: d.random("unit"), Now: d.now,
	}
	if d.o.channel == bank.ChannelTLS {
		c.Channel = tlsdevice.Channel
	}
	if d.o.pinFormat == 0 {
		c.PINFormat = softunit.FormatTDES
	}
	if c.Limits.Reply == 0 && d.fault.name != "" {
		c.Limits.Reply = faultTimeout
	}
	var err error
	if d.o.serverKey != "" {
		if c.ServerKey, err = hex.DecodeString(d.o.serverKey); err != nil || len(c.ServerKey) != 32 {
			return errors.New("-server-key is not the hex of 32 bytes")
		}
	}
	if d.o.cassette && !d.playing() {
		if err := d.record(); err != nil {
			return err
		}
	}
	if err := d.configuration(ctx, &c); err != nil {
		return err
	}
	if err := d.attestation(ctx, &c); err != nil {
		return err
	}
	if !d.playing() {
		if c.Reader, c.TapReader, err = d.readers(); err != nil {
			return err
		}
		c.Reader, c.Stripe = d.entered(c.Reader)
	}
	if c.CAKeys, err = d.caKeys(); err != nil {
		return err
	}
	data, err := d.terminalData()
	if err != nil {
		return err
	}
	c.Terminal = &data
	if !d.playing() {
		if c.UI, c.Panel, err = d.cardholder(stdin, stdout); err != nil {
			return err
		}
	}
	open := func() error { return d.o.storage.open(ctx, d.dir, &c) }
	if d.o.tape != nil {
		open = d.through(ctx, &c)
	}
	began := time.Now()
	if err := open(); err != nil {
		return err
	}
	if d.unit, err = softunit.Open(ctx, c); errors.Is(err, enrol.ErrNotEnrolled) {
		if c.Activation, err = d.value(ctx, "activation", d.activation); err != nil {
			return err
		}
		if err := open(); err != nil {
			return err
		}
		d.unit, err = softunit.Open(ctx, c)
	}
	if err != nil {
		return err
	}
	tid, mid := d.unit.Identity()
	if d.unit.Enrolled() {
		d.screen.line("enrol", fmt.Sprintf("new device enrolled under an activation code: terminal %s of merchant %s, DUKPT keys loaded as X9.143 key blocks", tid, mid), time.Since(began))
	} else {
		d.screen.line("unit", fmt.Sprintf("state opened: terminal %s of merchant %s", tid, mid), time.Since(began))
	}
	return d.sayConfiguration(ctx)
}

func (d *demonstration) caKeys() (*oda.Store, error) {
	b, err := d.capkJSON()
	if err != nil {
		return nil, err
	}
	return oda.ParseCAPK(bytes.NewReader(b))
}

func (d *demonstration) capkJSON() ([]byte, error) {
	switch {
	case d.playing():
		return d.o.tape.Setup().CAPK, nil
	case d.o.capk != "":
		return os.ReadFile(d.o.capk)
	}
	var b bytes.Buffer
	err := simcard.WriteCAPK(&b, testkeys.PKI(), simcard.AllProfiles())
	return b.Bytes(), err
}

func (d *demonstration) terminalData() (emv.Terminal, error) {
	b, err := d.terminalJSON()
	if err != nil {
		return emv.Terminal{}, err
	}
	return emv.ParseTerminal(bytes.NewReader(b))
}

func (d *demonstration) terminalJSON() ([]byte, error) {
	switch {
	case d.playing():
		return d.o.tape.Setup().Terminal, nil
	case d.o.terminal != "":
		return os.ReadFile(d.o.terminal)
	}
	return terminalFile, nil
}

// cardholder is a person at the terminal, or a script.
func (d *demonstration) cardholder(stdin *os.File, stdout io.Writer) (trusted.UI, softpad.Panel, error) {
	if d.o.asks {
		c := console.New(console.Config{In: stdin, Out: stdout})
		return c, c, nil
	}
	card, err := d.keyed()
	if err != nil {
		return nil, nil, err
	}
	pin := d.o.pin
	if pin == "" {
		pin = simcard.TestPIN
	}
	h := scripted.New(scripted.Script{
		PIN: secret.CopyBytes([]byte(pin)), RefuseTrade: d.o.cancelAt == "confirm", CancelPIN: d.o.cancelAt == "pin", Card: card, Tip: d.o.tip.Minor,
		Observe: func(text string) { d.screen.line("cardholder", text, 0) },
	})
	return h, h, nil
}

// sendAgain makes what the bank has refused owed again, where that is wanted.
func (d *demonstration) sendAgain(ctx context.Context) error {
	if !d.o.again {
		return nil
	}
	list, err := d.unit.Refused(ctx)
	for _, r := range list {
		err = errors.Join(err, d.unit.SendAgain(ctx, r.Order))
	}
	return err
}

// carryOut makes the payment, or settles what is owed.
func (d *demonstration) carryOut(ctx context.Context) (payment.Result, *payment.Report, error) {
	if d.fault.name == faultLinkDown {
		d.link.down.Store(true)
	}
	if d.o.enrol || d.o.rotate {
		return payment.Result{}, &payment.Report{}, d.ceremony(ctx)
	}
	if d.o.recover {
		if err := d.sendAgain(ctx); err != nil {
			return payment.Result{}, nil, err
		}
		rep, err := d.unit.Recover(ctx)
		return payment.Result{}, &rep, err
	}
	if d.o.settle {
		s, err := d.unit.CloseBatch(ctx)
		d.settlement = &s
		return payment.Result{}, &payment.Report{}, err
	}
	id, err := d.value(ctx, "order", d.order)
	if err != nil {
		return payment.Result{}, nil, err
	}
	d.screen.line("app", "pays order "+id+": the name is all that it says", 0)
	r, err := d.unit.Pay(ctx, payment.Order{ID: id})
	if d.playing() {
		return r, nil, err
	}
	d.screen.line("app", fmt.Sprintf("relayed %d bytes up and %d down, and could read none of them", d.link.up.Load(), d.link.back.Load()), 0)
	return r, nil, err
}

// order places the order that is to be paid, and returns its name.
func (d *demonstration) order(ctx context.Context) (string, error) {
	id := d.o.order
	if id == "" {
		var b [4]byte
		if _, err := io.ReadFull(d.random("order"), b[:]); err != nil {
			return "", err
		}
		id = "order-" + hex.EncodeToString(b[:])
	}
	return id, d.placeOrder(ctx, id)
}

// placeOrder is the merchant's part.
func (d *demonstration) placeOrder(ctx context.Context, id string) error {
	var err error
	o := host.Order{ID: id, Type: d.o.kind, Amount: d.o.amount, Cashback: d.o.cashback, Merchant: demo.MerchantID, Original: d.o.original}
	if d.bank != nil {
		err = d.bank.CreateOrder(ctx, o)
	} else {
		err = d.merchant().CreateOrder(ctx, o)
	}
	if err != nil {
		if errors.Is(err, host.ErrUnsupported) {
			return fmt.Errorf("-type %s: this version does not make it: %w", d.o.kind, err)
		}
		return err
	}
	d.screen.line("merchant", fmt.Sprintf("places order %s with the bank: %s of %s", id, d.o.kind, d.o.amount), 0)
	return nil
}

// close ends the run. The folder of a payment whose outcome is unknown is kept.
func (d *demonstration) close(r payment.Result, rep *payment.Report) error {
	var err error
	if d.unit != nil {
		err = d.unit.Close()
	}
	for _, c := range slices.Backward(d.closing) {
		err = errors.Join(err, c())
	}
	if d.stop != nil {
		d.stop()
		err = errors.Join(err, <-d.done)
	}
	if d.bank != nil {
		if rep == nil && r.Outcome != "" {
			err = errors.Join(err, d.audit())
		}
		err = errors.Join(err, d.bank.Close())
	}
	switch {
	case r.Outcome == payment.Unknown:
		d.keep = d.dir
	case d.fresh && d.dir != "":
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return err
}

// audit prints what the ledger says in the end.
func (d *demonstration) audit() error {
	rep, err := d.bank.Audit(context.Background())
	if err != nil {
		return err
	}
	text := fmt.Sprintf("audit: %d entries that each sum to zero, %d payments pending", rep.Entries, rep.Pending)
	if len(rep.Problems) > 0 {
		return fmt.Errorf("the ledger does not hold: %s", strings.Join(rep.Problems, "; "))
	}
	d.screen.line("bank", text, 0)
	return nil
}
