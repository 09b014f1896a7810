package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/pinpad/softpad"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/scripted"
)

func simTerminal(t testing.TB) emv.Terminal {
	t.Helper()
	f, err := os.Open("../../examples/pay/terminal.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	term, err := emv.ParseTerminal(f)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// simUnit is a device with its disk and its card; the unit on it is made anew at
// each start.
type simUnit struct {
	t        testing.TB
	w        *simWorld
	id       int
	grant    trade.Grant
	identity channel.Identity
	disk     map[string][]byte
	// boots counts the starts. What an earlier one has in its hands writes no
	// more.
	boots int
	unit  *payment.Unit
	// yield gives way to the world; nil when the world runs the unit itself.
	yield func(struct{}) bool
	// epoch is that of the server that the request under way went to.
	epoch int
	todo  []string
}

// simTold is what an app was told about an order.
type simTold struct {
	unit   int
	result payment.Result
}

// simCrash is the panic that a device dies with, simEnd that of the world's end.
type simCrash struct{}
type simEnd struct{}

// newSimUnit enrols a device at the first server.
func newSimUnit(t testing.TB, w *simWorld, id int) *simUnit {
	t.Helper()
	u := &simUnit{t: t, w: w, id: id, disk: map[string][]byte{}}
	s := w.servers[0].s
	a, err := s.c.Registry.CreateActivation(context.Background(), Merchant{ID: "M1", Name: "Corner Shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Wipe()
	who := enrolling(a.ID, byte(id+1))
	e, err := trade.Encode(trade.KindEnrol, 1, trade.Enrol{DeviceClass: who.DeviceClass, PINFormat: 4})
	if err != nil {
		t.Fatal(err)
	}
	out, err := (&handler{s, &peer{identity: who, gate: proven{}}}).Handle(context.Background(), &conn{id: who}, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Decode(&u.grant); err != nil {
		t.Fatal(err)
	}
	u.identity = channel.Identity{
		Key: who.Key, Purpose: channel.PurposePay, DeviceClass: "test", TerminalID: u.grant.TerminalID, MerchantID: u.grant.MerchantID, Claims: who.Claims,
	}
	u.boot()
	return u
}

// boot starts the unit from what is on its disk.
func (u *simUnit) boot() {
	u.boots++
	d := &simDisk{u, u.boots}
	keys := func(name, block string, id []byte) *dukpt.Device {
		part := &simPart{d, "dukpt/" + name}
		kbpk, err := (&conn{}).Export(trade.KeyBlockLabel, 32)
		if err != nil {
			u.t.Fatal(err)
		}
		_, k, err := keyblock.Unwrap(secret.NewBytes(kbpk), block)
		if err != nil {
			u.t.Fatal(err)
		}
		if u.disk[part.name] != nil {
			dev, err := dukpt.OpenDevice(context.Background(), part)
			if err != nil {
				u.t.Fatal(err)
			}
			return dev
		}
		dev, err := dukpt.NewDevice(context.Background(), dukpt.AES128, k, id, part)
		if err != nil {
			u.t.Fatal(err)
		}
		return dev
	}
	holder := scripted.New(scripted.Script{PIN: secret.CopyBytes([]byte(simcard.TestPIN))})
	pin := keys("pin", u.grant.PINKey, u.grant.PINKeyID)
	pad, err := softpad.New(softpad.Config{Panel: holder, Keys: pin, Rand: simRand{u.w.r}})
	if err != nil {
		u.t.Fatal(err)
	}
	var storage payment.Storage = d
	if u.w.mutant.storage != nil {
		storage = u.w.mutant.storage(d)
	}
	c := payment.Config{
		Device: &simDevice{u, keys("mac", u.grant.MACKey, u.grant.MACKeyID)}, Reader: simReader{u}, UI: holder, Pad: pad, Storage: storage,
		CAKeys: u.w.parts.cas, Terminal: u.w.parts.term, Rand: simRand{u.w.r}, Now: u.w.clock,
		Observe: func(e payment.Event) {
			if u.w.verbose {
				u.w.lines = append(u.w.lines, fmt.Sprintf("    unit %d: %s %s", u.id, e.Phase, e.Text))
			}
		},
	}
	if u.unit, err = payment.New(c); err != nil {
		u.t.Fatal(err)
	}
}

// give gives way to the world.
func (u *simUnit) give() {
	if u.yield == nil {
		return
	}
	if !u.yield(struct{}{}) {
		panic(simEnd{})
	}
	u.w.asking = u
}

// crash ends the device's program, once in n times.
func (u *simUnit) crash(n int, where string) {
	if u.yield != nil && u.w.chance(n, "a unit dies "+where) {
		u.boots++
		panic(simCrash{})
	}
}

// live is the life of the device, and of the app on it.
func (u *simUnit) live(yield func(struct{}) bool) {
	u.yield = yield
	defer func() {
		u.yield = nil
		if v := recover(); v != nil {
			if _, ok := v.(simEnd); !ok {
				panic(v)
			}
		}
	}()
	for len(u.todo) > 0 {
		u.incarnation()
		u.give()
	}
}

// incarnation is one run of the app, from its start to its death or until
// nothing is left to do.
func (u *simUnit) incarnation() {
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(simCrash); !ok {
				panic(v)
			}
			u.w.say("unit %d has died", u.id)
		}
	}()
	u.boot()
	rep, err := u.unit.Recover(context.Background())
	u.tell("recovers", rep.Settled, err)
	for tries := 0; len(u.todo) > 0; tries++ {
		id := u.todo[0]
		if err := u.merchant(id); err != nil {
			// The merchant gives a follow-up up when what it is about did
			// not come to be.
			if errors.Is(err, ErrOrder) || errors.Is(err, ErrNotFound) {
				u.todo = u.todo[1:]
			}
			u.give()
			continue
		}
		r, err := u.unit.Pay(context.Background(), payment.Order{ID: id})
		var got []payment.Result
		if err == nil {
			got = []payment.Result{r}
		}
		u.tell("pays "+id, got, err)
		if err == nil && r.Outcome == payment.Approved || tries > 2 || u.w.r.IntN(3) == 0 {
			u.todo, tries = u.todo[1:], 0
		}
		if u.w.r.IntN(4) == 0 {
			rep, err := u.unit.Recover(context.Background())
			u.tell("recovers", rep.Settled, err)
		}
	}
}

// tell notes what an app is told.
func (u *simUnit) tell(what string, got []payment.Result, err error) {
	u.w.say("unit %d %s: %t", u.id, what, err == nil)
	if err != nil && u.w.verbose {
		u.w.lines = append(u.w.lines, "  "+err.Error())
	}
	for _, r := range got {
		u.w.counts["results "+string(r.Outcome)]++
		u.w.say("unit %d is told %s of %s", u.id, r.Outcome, r.Order)
		u.w.told[r.Order] = append(u.w.told[r.Order], simTold{u.id, r})
	}
}

// merchant places an order, as often as it is asked to.
func (u *simUnit) merchant(id string) error {
	s := u.w.servers[u.w.r.IntN(len(u.w.servers))]
	if !s.up {
		return errSimLost
	}
	epoch := s.epoch
	u.w.serving = s
	err := s.s.CreateOrder(context.Background(), u.w.orders[id])
	u.w.serving = nil
	if s.epoch != epoch {
		return errSimLost
	}
	return err
}

// recover starts the unit again and has it settle what it owes, with nothing
// going wrong.
func (u *simUnit) recover(when string) {
	u.boot()
	rep, err := u.unit.Recover(context.Background())
	if err != nil || len(rep.Pending) > 0 {
		u.w.wrong("%s: unit %d still owes %v: %v", when, u.id, rep.Pending, err)
	}
	if len(rep.Refused) > 0 {
		u.w.wrong("%s: what unit %d owes was refused for good: %+v", when, u.id, rep.Refused)
	}
	u.tell("recovers "+when, rep.Settled, err)
}

// kept is the result that the unit keeps of an order, nil when it has none.
func (u *simUnit) kept(id string) *payment.Result {
	j := journal.New(&simDisk{u, u.boots})
	b, ok, err := j.Result(context.Background(), id)
	if err != nil {
		u.w.wrong("unit %d: %v", u.id, err)
	}
	if !ok {
		return nil
	}
	var r payment.Result
	if err := jsonUnmarshal(b, &r); err != nil {
		u.w.wrong("unit %d: %v", u.id, err)
	}
	return &r
}

// simDisk is the disk in the hands of one start of the unit. A write that was
// begun when the device died took effect, or it did not.
type simDisk struct {
	u    *simUnit
	boot int
}

func (d *simDisk) write(do func()) error {
	if d.boot != d.u.boots {
		return errSimLost
	}
	d.u.give()
	d.u.crash(60, "before a write")
	if d.u.w.chance(100, "a unit's disk is full") {
		return trusted.ErrStorageFull
	}
	do()
	d.u.crash(60, "after a write")
	return nil
}

func (d *simDisk) Get(_ context.Context, name string) ([]byte, error) {
	b, ok := d.u.disk[name]
	if !ok {
		return nil, trusted.ErrNotFound
	}
	return bytes.Clone(b), nil
}

func (d *simDisk) Put(_ context.Context, name string, value []byte) error {
	value = bytes.Clone(value)
	return d.write(func() { d.u.disk[name] = value })
}

func (d *simDisk) Delete(_ context.Context, name string) error {
	return d.write(func() { delete(d.u.disk, name) })
}

func (d *simDisk) List(_ context.Context, prefix string) ([]string, error) {
	var out []string
	for _, n := range slices.Sorted(maps.Keys(d.u.disk)) {
		if strings.HasPrefix(n, prefix) {
			out = append(out, n)
		}
	}
	return out, nil
}

func (d *simDisk) Next(_ context.Context, name string) (uint64, error) {
	key := "counter/" + name
	n := uint64(len(d.u.disk[key])) + 1
	return n, d.write(func() { d.u.disk[key] = append(bytes.Clone(d.u.disk[key]), 1) })
}

// simPart is the place of a key's state on the disk.
type simPart struct {
	d    *simDisk
	name string
}

func (p *simPart) Load(ctx context.Context) ([]byte, error) {
	b, err := p.d.Get(ctx, p.name)
	if errors.Is(err, trusted.ErrNotFound) {
		return nil, nil
	}
	return b, err
}

func (p *simPart) Save(ctx context.Context, b []byte) error { return p.d.Put(ctx, p.name, b) }

// simDevice is the enrolled terminal.
type simDevice struct {
	u   *simUnit
	mac *dukpt.Device
}

func (d *simDevice) Identity() (string, string) { return d.u.grant.TerminalID, d.u.grant.MerchantID }

func (d *simDevice) NextKey(ctx context.Context) (payment.MessageKey, error) {
	k, err := d.mac.Next(ctx)
	if err != nil {
		return nil, err
	}
	return simKey{k}, nil
}

// Open makes a channel to one of the servers.
func (d *simDevice) Open(context.Context) (payment.Session, error) {
	d.u.give()
	d.u.crash(100, "making a channel")
	s := d.u.w.servers[d.u.w.r.IntN(len(d.u.w.servers))]
	if !s.up || d.u.w.chance(20, "no channel comes to be") {
		return nil, errSimLost
	}
	return &simSession{u: d.u, s: s, epoch: s.epoch, gate: &simGate{}}, nil
}

type simKey struct{ k *dukpt.Transaction }

func (m simKey) KSN() []byte                      { return m.k.KSN() }
func (m simKey) MAC(data []byte) ([]byte, error)  { return m.k.MACRequest(data) }
func (m simKey) VerifyMAC(data, mac []byte) error { return m.k.VerifyMACResponse(data, mac) }
func (m simKey) Wipe()                            { m.k.Wipe() }

// simSession is a channel to a server's process.
type simSession struct {
	u     *simUnit
	s     *simServer
	epoch int
	calls uint32
	gate  *simGate
}

// simGate knows what a unit has given evidence for; the evidence itself plays no
// part here.
type simGate struct {
	gate
	given map[string]bool
}

func (g *simGate) Fresh(m attest.Moment, payment string) error {
	if !g.given[string(m)+" "+payment] {
		return errSimLost
	}
	return nil
}

// Attest gives evidence of the device.
func (c *simSession) Attest(_ context.Context, m attest.Moment, payment string) error {
	c.u.give()
	c.u.crash(100, "giving evidence")
	if c.epoch != c.s.epoch || c.u.w.chance(40, "evidence is lost") {
		return errSimLost
	}
	// Evidence is for one moment, and what was given before is used up.
	c.gate.given = map[string]bool{string(m) + " " + payment: true}
	return nil
}

// Call sends a request over the network as it is.
func (c *simSession) Call(_ context.Context, kind trade.Kind, body []byte) (trade.Envelope, error) {
	u, w := c.u, c.u.w
	u.crash(60, "before it sends")
	c.calls++
	e := trade.Envelope{Kind: kind, Request: c.calls, Body: bytes.Clone(body)}
	u.give()
	if c.epoch != c.s.epoch {
		return trade.Envelope{}, errSimLost
	}
	switch {
	case w.chance(20, "a request is lost"):
		return trade.Envelope{}, errSimLost
	case w.chance(20, "a request is late"):
		w.late = append(w.late, lateMessage{u, c.gate, e})
		u.crash(30, "waiting")
		return trade.Envelope{}, errSimTimeout
	case w.chance(20, "a request comes twice"):
		w.late = append(w.late, lateMessage{u, c.gate, trade.Envelope{Kind: kind, Request: c.calls, Body: bytes.Clone(body)}})
	}
	u.epoch = c.s.epoch
	out, err := w.handle(u, c.s, c.gate, e)
	u.give()
	u.crash(60, "with an answer on its way")
	if w.chance(20, "an answer is lost") {
		return trade.Envelope{}, errSimLost
	}
	return out, err
}

func (c *simSession) Close() error { return nil }

// simReader holds the unit's card.
type simReader struct{ u *simUnit }

func (simReader) Name() string { return "simulation" }

func (r simReader) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := r.u.w.parts.cards[r.u.id].Reader("simulation").Connect(ctx)
	if err != nil {
		return nil, err
	}
	return removable{c, r.u.w}, nil
}

// planHeld orders a pre-authorisation, now and then increments of it, and what
// becomes of it: a completion, or a void. An increment may be of more than the card
// has.
func (w *simWorld) planHeld(minor int64, add func(ty trade.Type, minor int64, original string) string) {
	held := add(trade.Preauth, minor, "")
	whole := minor
	for range w.r.IntN(3) {
		more := 1 + w.r.Int64N(minor)
		if w.r.IntN(8) == 0 {
			more = simOpening
		} else {
			whole += more
		}
		add(trade.Incremental, more, held)
	}
	switch n := w.r.IntN(8); {
	case n == 0:
		add(trade.Void, minor, held)
	case n == 1:
		add(trade.Void, whole, held)
	case n < 5:
		add(trade.Completion, 1+w.r.Int64N(minor), held)
	default:
		add(trade.Completion, 1+w.r.Int64N(whole), held)
	}
}

// plan gives each unit its orders: sales and what may follow them.
func (w *simWorld) plan(t testing.TB) {
	t.Helper()
	n := 0
	add := func(u *simUnit, ty trade.Type, minor, cash int64, original string) string {
		n++
		id := fmt.Sprintf("o%d", n)
		o := Order{ID: id, Type: ty, Amount: money.New(minor, w.parts.eur), Merchant: "M1", Original: original}
		if cash > 0 {
			o.Cashback = money.New(cash, w.parts.eur)
		}
		w.orders[id] = o
		u.todo = append(u.todo, id)
		return id
	}
	for _, u := range w.units {
		for range 1 + w.r.IntN(2) {
			minor := 100 + w.r.Int64N(5000)
			switch w.r.IntN(9) {
			case 0:
				add(u, trade.Void, minor, 0, add(u, trade.Sale, minor, 0, ""))
			case 1:
				add(u, trade.Refund, 1+w.r.Int64N(minor), 0, add(u, trade.Sale, minor, 0, ""))
			case 2, 8:
				w.planHeld(minor, func(ty trade.Type, minor int64, original string) string { return add(u, ty, minor, 0, original) })
			case 3:
				add(u, trade.Cashback, minor, 1+w.r.Int64N(minor), "")
			default:
				add(u, trade.Sale, minor, 0, "")
			}
		}
	}
	// Now and then two units want to be paid for one order.
	if len(w.units) > 1 && w.r.IntN(3) == 0 {
		w.units[1].todo = append([]string{w.units[0].todo[0]}, w.units[1].todo...)
	}
}
