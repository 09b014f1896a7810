package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/memledger"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// The simulation is a world of payment units, one to three payment servers on
// one ledger, and a network that does its worst. The units are payment.Unit with
// software cards, the servers are Server with the issuer, and every message is
// ISO 8583 under its MAC; what is simulated is the channel between them, the
// disks, the clock, and who runs when. All of that follows from one number: a
// seed that fails fails again.
//
// Every unit is a coroutine that gives way wherever it waits for something
// outside itself; one thing happens at a time, and the world decides which.

// simParts are what worlds share because it is slow to make and carries nothing
// from one to the next but the cards' counters.
type simParts struct {
	cards   []*simcard.Card
	issuing *issuer.Cards
	term    emv.Terminal
	cas     *oda.Store
	eur     money.Currency
}

// Balance of each card at the issuer.
const simOpening = 1_000_000

// simKinds are the cards that units have: an obliging one with a PIN, one
// without, and one that says no when everybody else has said yes.
var simKinds = [...]string{"default", "nocvm", "decline-second", "signature"}

func newSimParts(t testing.TB) *simParts {
	t.Helper()
	p := &simParts{}
	var err error
	if p.eur, err = money.ByCode("EUR"); err != nil {
		t.Fatal(err)
	}
	random := simRand{rand.New(rand.NewPCG(1, 1))}
	for _, name := range simKinds {
		profile, err := simcard.LookupProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		// Authenticating the card offline is half of a payment's work, and
		// plays no part here.
		for i := range profile.Applications {
			profile.Applications[i].AIP[0] &^= 0x61
			// Who stands in for the issuer can't prove to be it.
			profile.Applications[i].AuthOptional = true
		}
		c, err := simcard.New(profile, simcard.Options{PKI: testkeys.PKI(), Rand: random})
		if err != nil {
			t.Fatal(err)
		}
		p.cards = append(p.cards, c)
	}
	var file bytes.Buffer
	if err := simcard.WriteCards(&file, testkeys.PKI(), simcard.AllProfiles(), simOpening, "EUR"); err != nil {
		t.Fatal(err)
	}
	if p.issuing, err = issuer.ParseCards(&file); err != nil {
		t.Fatal(err)
	}
	var capk bytes.Buffer
	if err := simcard.WriteCAPK(&capk, testkeys.PKI(), simcard.AllProfiles()); err != nil {
		t.Fatal(err)
	}
	if p.cas, err = oda.ParseCAPK(&capk); err != nil {
		t.Fatal(err)
	}
	p.term = simTerminal(t)
	return p
}

// simRand is a source of bytes that follows from the seed.
type simRand struct{ r *rand.Rand }

func (s simRand) Read(b []byte) (int, error) {
	for i := 0; i < len(b); i += 8 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], s.r.Uint64())
		copy(b[i:], w[:])
	}
	return len(b), nil
}

// simWorld is everything that one seed makes.
type simWorld struct {
	parts   *simParts
	seed    uint64
	r       *rand.Rand
	now     time.Time
	l       *memledger.Ledger
	view    ledger.Ledger // the servers' way to l
	mutant  mutant
	servers []*simServer
	units   []*simUnit
	late    []lateMessage
	above   *simAbove // nil where the servers have the issuer
	standIn *StandIn  // nil where the servers do not stand in for it
	// serving is the server that has the ledger, and asking the unit whose
	// coroutine runs; nil when the world itself does.
	serving *simServer
	asking  *simUnit
	chaos   bool
	// rage is how often things go wrong, in thousandths of each chance.
	rage int
	// told is what apps were told, by order.
	told     map[string][]simTold
	orders   map[string]Order
	problems []string
	counts   map[string]int
	trace    uint64
	lines    []string
	verbose  bool
	steps    int
}

// simServer is a server process.
type simServer struct {
	w  *simWorld
	id int
	s  *Server
	// epoch counts its crashes; up is whether it runs.
	epoch int
	up    bool
}

// lateMessage is a request that will arrive when nobody waits for it any more.
type lateMessage struct {
	u *simUnit
	g *simGate
	e trade.Envelope
}

// What happens to a request on its way, and to those who carry it out.
var (
	errSimLost    = errors.New("simulation: the connection is gone")
	errSimTimeout = fmt.Errorf("simulation: %w", context.DeadlineExceeded)
	errSimCut     = errors.New("simulation: the server is gone")
	errSimFull    = errors.New("simulation: the disk is full")
)

// say notes something that happened. The trace is over all of them.
func (w *simWorld) say(format string, a ...any) {
	s := fmt.Sprintf(format, a...)
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], w.trace)
	_, _ = h.Write(b[:])
	_, _ = h.Write([]byte(s))
	w.trace = h.Sum64()
	if w.verbose {
		w.lines = append(w.lines, s)
	}
}

func (w *simWorld) wrong(format string, a ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, a...))
	w.say("WRONG: "+format, a...)
}

// chance reports whether something that happens once in n times goes wrong now.
func (w *simWorld) chance(n int, what string) bool {
	if !w.chaos || w.r.IntN(1000*n) >= w.rage {
		return false
	}
	w.counts[what]++
	w.say("%s", what)
	return true
}

// newSimWorld makes a world of the seed, in which nothing has happened yet.
func newSimWorld(t testing.TB, parts *simParts, seed uint64, m mutant) *simWorld {
	t.Helper()
	w := &simWorld{
		parts: parts, seed: seed, r: rand.New(rand.NewPCG(seed, 0x70617975)), now: testNow, l: memledger.New(), mutant: m,
		told: map[string][]simTold{}, orders: map[string]Order{}, counts: map[string]int{},
	}
	w.rage = 200 + w.r.IntN(1800)
	w.l.Faults = memledger.Faults{Write: w.write, Commit: w.commit}
	w.view = w.l
	if m.ledger != nil {
		w.view = m.ledger(w, w.l)
	}
	if w.r.IntN(2) == 0 || m.above != nil {
		w.above = newSimAbove(t, w)
		if w.r.IntN(3) > 0 {
			w.standIn = &StandIn{Limit: money.New(4000, parts.eur), Velocity: []issuer.Velocity{{Days: 2, Count: 2, Amount: 6000}}, Cards: []string{"476173", "541333"}}
		}
	}
	for i := range 1 + w.r.IntN(3) {
		s := &simServer{w: w, id: i}
		w.servers = append(w.servers, s)
		w.start(t, s)
	}
	for i := range 1 + w.r.IntN(len(parts.cards)) {
		w.units = append(w.units, newSimUnit(t, w, i))
	}
	w.plan(t)
	return w
}

func (w *simWorld) clock() time.Time { return w.now }

// start makes a server process. What it knows is in the ledger.
func (w *simWorld) start(t testing.TB, s *simServer) {
	iss, err := issuer.New(issuer.Config{Cards: w.parts.issuing, CountersInAnyOrder: true, Rand: simRand{w.r}, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := NewRegistry(RegistryConfig{Ledger: w.view, Key: key(0x77, 32), Rand: simRand{w.r}, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Ledger: process{w.view, s, s.epoch}, Registry: reg, Handshaker: handshaker{}, Verifier: attest.SoftwareVerifier{}, Issuer: iss, Keys: testKeys(), ServerKey: bytes.Repeat([]byte{9}, 32), Limits: Limits{Rate: 1e9},
		Dialect: acquirer.Default().WithClock(w.clock), Now: w.clock, Rand: simRand{w.r}, Intercept: s.intercept,
		Observe: func(e Event) {
			if w.verbose {
				w.lines = append(w.lines, fmt.Sprintf("  server %d: %s %s %s", s.id, e.Terminal, e.Order, e.Text))
			}
		},
	}
	if w.above != nil {
		c.Issuer, c.Upstream, c.StandIn = nil, simLine{w.above, s}, w.standIn
	}
	if s.s, err = New(c); err != nil {
		t.Fatal(err)
	}
	s.up = true
}

// crash ends a server process, whatever it is doing.
func (s *simServer) crash(why string) {
	s.epoch++
	s.up = false
	s.w.counts["server crashed"]++
	s.w.say("server %d crashes %s", s.id, why)
}

// write is called before each write of a server.
func (w *simWorld) write(string) error {
	switch {
	case w.serving == nil:
		return nil
	case w.chance(400, "server crashes at a write"):
		w.serving.crash("at a write")
		return errSimCut
	case w.chance(400, "the server's disk is full"):
		return errSimFull
	}
	return nil
}

// commit is called when a server commits.
func (w *simWorld) commit() (kept bool, err error) {
	switch {
	case w.serving == nil:
		return false, nil
	case w.chance(60, "server crashes before its commit"):
		w.serving.crash("before its commit")
		return false, errSimCut
	case w.chance(60, "server crashes after its commit"):
		w.serving.crash("after its commit")
		return true, errSimCut
	case w.chance(120, "a commit fails and was made"):
		return true, errSimFull
	}
	return false, nil
}

// intercept gives way between a request's verification and its booking, so that
// requests overtake each other there.
func (s *simServer) intercept(p Point) error {
	w := s.w
	u := w.asking
	if p.Stage == StageVerified && u != nil {
		u.give()
		w.serving = s
		if s.epoch != u.epoch {
			return errSimCut
		}
	}
	if p.Stage == StageAsked && w.chance(60, "server crashes before it asks above") {
		s.crash("before it asks above")
		return errSimCut
	}
	if p.Stage == StageCommitted && w.chance(80, "server crashes before it answers") {
		s.crash("before it answers")
		return errSimCut
	}
	return nil
}

// handle has a server answer a request. Whoever asks waits for that only as
// long as the server's process lives.
func (w *simWorld) handle(u *simUnit, s *simServer, g *simGate, e trade.Envelope) (trade.Envelope, error) {
	epoch := s.epoch
	if !s.up {
		return trade.Envelope{}, errSimLost
	}
	w.serving = s
	out, err := (&handler{s.s, &peer{identity: u.identity, gate: g}}).Handle(context.Background(), &conn{id: u.identity}, e)
	w.serving = nil
	if s.epoch != epoch {
		return trade.Envelope{}, errSimLost
	}
	return out, err
}

// deliver lets a late message arrive somewhere.
func (w *simWorld) deliver() {
	if len(w.late) == 0 {
		return
	}
	i := w.r.IntN(len(w.late))
	m := w.late[i]
	w.late = append(w.late[:i:i], w.late[i+1:]...)
	s := w.servers[w.r.IntN(len(w.servers))]
	w.asking = nil
	_, err := w.handle(m.u, s, m.g, m.e)
	w.counts["late messages"]++
	w.say("a late message of unit %d arrives at server %d: %t", m.u.id, s.id, err == nil)
}

// run lets everything happen until it has.
func (w *simWorld) run(t testing.TB) {
	w.chaos = true
	calm := 150 + w.r.IntN(350)
	type life struct {
		next func() (struct{}, bool)
		stop func()
	}
	lives := make([]life, len(w.units))
	for i, u := range w.units {
		next, stop := iter.Pull(u.live)
		lives[i] = life{next, stop}
	}
	alive := len(lives)
	for ; alive > 0; w.steps++ {
		if w.steps == calm {
			w.chaos = false
			w.say("from here on nothing goes wrong")
		}
		if w.steps > 20000 {
			w.wrong("the world does not come to an end")
			break
		}
		for _, s := range w.servers {
			if !s.up && (!w.chaos || w.r.IntN(4) == 0) {
				w.start(t, s)
				w.say("server %d is started", s.id)
			}
		}
		switch n := w.r.IntN(40); {
		case n < 3:
			w.deliver()
			if w.above != nil {
				w.above.deliver()
			}
		case n == 5 && w.above != nil:
			if s := w.servers[w.r.IntN(len(w.servers))]; s.up {
				w.forward(s)
			}
		case n == 3 && w.chance(2, "a server is killed"):
			if s := w.servers[w.r.IntN(len(w.servers))]; s.up {
				s.crash("by a signal")
			}
		case n == 4 && w.chance(1, "the clock jumps"):
			w.now = w.now.Add(time.Duration(w.r.Int64N(int64(72*time.Hour))) - 24*time.Hour)
		default:
			w.now = w.now.Add(time.Duration(w.r.Int64N(int64(3 * time.Second))))
			i := w.r.IntN(len(lives))
			if lives[i].next == nil {
				continue
			}
			w.asking = w.units[i]
			if _, ok := lives[i].next(); !ok {
				lives[i].next = nil
				alive--
			}
		}
	}
	for _, l := range lives {
		l.stop()
	}
	w.settle(t)
}

// settle lets the world come to rest: late messages arrive before and after
// every unit has recovered, and nothing may be owed in the end.
func (w *simWorld) settle(t testing.TB) {
	w.chaos, w.asking = false, nil
	for _, s := range w.servers {
		if !s.up {
			w.start(t, s)
		}
	}
	for range len(w.late) / 2 {
		w.deliver()
	}
	for _, u := range w.units {
		u.recover("at the end")
	}
	w.forwardAll("after every unit has recovered")
	for len(w.late) > 0 {
		w.deliver()
	}
	for w.above != nil && len(w.above.late) > 0 {
		w.above.deliver()
	}
	for _, u := range w.units {
		u.recover("after the last message")
	}
	w.forwardAll("in the end")
}

// removable is a card that may be pulled out at any command.
type removable struct {
	cardreader.Card
	w *simWorld
}

func (c removable) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if c.w.chance(400, "a card is pulled out") {
		return nil, cardreader.ErrCardRemoved
	}
	return c.Card.Transmit(ctx, command)
}

// summary names what happened, for the log.
func (w *simWorld) summary() string {
	return fmt.Sprintf("seed %d: %d servers, %d units, %d steps, trace %016x\n%s", w.seed, len(w.servers), len(w.units), w.steps, w.trace, strings.Join(w.problems, "\n"))
}
