package payment_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/journal"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

// levers are what can happen around a unit: its storage, its link, its card and
// its clock. The zero value lets everything work.
type levers struct {
	mu      sync.Mutex
	storage error
	cut     bool
	gone    bool
	back    time.Duration
	open    []io.Closer
}

func (l *levers) state() (cut, gone bool, storage error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut, l.gone, l.storage
}

// sever cuts the link: what is open, and what would be.
func (l *levers) sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, c := range l.open {
		_ = c.Close()
	}
	l.open = nil
}

func (l *levers) set(f func(*levers)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

func (l *levers) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now().Add(-l.back)
}

type leverLink struct {
	trusted.Link
	l *levers
}

func (k leverLink) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	if cut, _, _ := k.l.state(); cut {
		return nil, errDown
	}
	c, err := k.Link.Open(ctx)
	if err == nil {
		k.l.set(func(l *levers) { l.open = append(l.open, c) })
	}
	return c, err
}

type leverStorage struct {
	payment.Storage
	l *levers
}

func (s leverStorage) Put(ctx context.Context, name string, value []byte) error {
	if _, _, err := s.l.state(); err != nil {
		return err
	}
	return s.Storage.Put(ctx, name, value)
}

func (s leverStorage) Delete(ctx context.Context, name string) error {
	if _, _, err := s.l.state(); err != nil {
		return err
	}
	return s.Storage.Delete(ctx, name)
}

func (s leverStorage) Next(ctx context.Context, name string) (uint64, error) {
	if _, _, err := s.l.state(); err != nil {
		return 0, err
	}
	return s.Storage.Next(ctx, name)
}

type leverReader struct {
	cardreader.Reader
	l *levers
}

type leverCard struct {
	cardreader.Card
	l *levers
}

func (r leverReader) Connect(ctx context.Context) (cardreader.Card, error) {
	if _, gone, _ := r.l.state(); gone {
		return nil, cardreader.ErrCardRemoved
	}
	c, err := r.Reader.Connect(ctx)
	return leverCard{c, r.l}, err
}

func (c leverCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if _, gone, _ := c.l.state(); gone {
		return nil, cardreader.ErrCardRemoved
	}
	return c.Card.Transmit(ctx, command)
}

// fit makes a unit's surroundings those of the levers.
func (l *levers) fit(w *world, c *rigConfig) {
	c.link = leverLink{w, l}
	c.storage = func(v *vault.Vault) payment.Storage { return leverStorage{v, l} }
	c.reader = func(r cardreader.Reader) cardreader.Reader { return leverReader{r, l} }
	c.now = l.clock
}

// walked is a set of transitions that were seen.
type walked map[payment.Transition]int

// see adds the transitions that a unit's events tell.
func (w walked) see(events []payment.Event) {
	var at payment.State
	for _, e := range events {
		if e.State == "" {
			continue
		}
		if e.On != "" {
			w[payment.Transition{From: at, On: e.On, To: e.State}]++
		}
		at = e.State
	}
}

// ways are the payments that between them pass through every state.
var ways = []struct {
	name   string
	kind   trade.Type
	alter  func(*rigConfig)
	before func(*world)
	states []payment.State
}{
	{name: "sale", kind: trade.Sale, states: []payment.State{
		payment.StateAsking, payment.StateConfirming, payment.StateReading, payment.StatePreparing, payment.StateRequesting,
		payment.StateCompleting, payment.StateRecording, payment.StateAdvising,
	}},
	{name: "refused", kind: trade.Sale, alter: func(c *rigConfig) { c.profile = "low-balance" }, states: []payment.State{payment.StateRefusing}},
	{name: "taken back", kind: trade.Sale, before: func(w *world) { w.partial = true }, states: []payment.State{payment.StateAgreeing, payment.StateWithdrawing, payment.StateReversing}},
	{name: "balance", kind: trade.Balance, states: []payment.State{payment.StateInquiring}},
	{name: "offline", kind: trade.Sale, alter: offlineCard, states: []payment.State{payment.StateStoring}},
	{name: "void", kind: trade.Void, states: []payment.State{payment.StateWriting, payment.StateFollowing}},
	{name: "increment", kind: trade.Incremental, states: []payment.State{payment.StateWriting, payment.StateFollowing}},
}

// offlineCard is one that approves by itself under the floor limit.
func offlineCard(c *rigConfig) {
	c.profile, c.offline = "nocvm", payment.OfflineLimits{Count: 9, Minor: 5000, Age: time.Hour}
}

// stimuli are what happens to a payment from outside, at the moment in which it
// enters a state.
var stimuli = []struct {
	name string
	do   func(l *levers, cancel context.CancelFunc)
}{
	{"crash", func(l *levers, _ context.CancelFunc) {
		l.set(func(l *levers) { l.storage, l.gone = errDied, true })
		l.sever()
	}},
	{"app cancels", func(_ *levers, cancel context.CancelFunc) { cancel() }},
	{"link cut", func(l *levers, _ context.CancelFunc) { l.sever() }},
	{"card removed", func(l *levers, _ context.CancelFunc) { l.set(func(l *levers) { l.gone = true }) }},
	{"storage full", func(l *levers, _ context.CancelFunc) { l.set(func(l *levers) { l.storage = trusted.ErrStorageFull }) }},
	{"clock set back", func(l *levers, _ context.CancelFunc) { l.set(func(l *levers) { l.back = 26 * time.Hour }) }},
	{"busy", func(*levers, context.CancelFunc) {}},
}

// TestEveryEventInEveryState lets everything that can happen from outside happen
// in every state of a payment, and then starts the unit again on what its
// storage holds: one final event, the machine's own restart, and in the end the
// order is paid once, and nothing is lost or charged twice.
func TestEveryEventInEveryState(t *testing.T) {
	m := payment.Machine()
	visited := map[payment.State]int{}
	for _, way := range ways {
		for _, stimulus := range stimuli {
			t.Run(way.name+"/"+stimulus.name, func(t *testing.T) {
				w := newWorld(t)
				device := w.rig(plain()).vault
				for _, s := range way.states {
					e := exploration{w: w, device: device, id: fmt.Sprint("A-", s), at: s, kind: way.kind, partial: way.before != nil, do: stimulus.do, alter: way.alter}
					if e.run() {
						visited[s]++
					}
					if t.Failed() {
						t.Fatalf("in state %s", s)
					}
				}
			})
		}
	}
	for _, s := range m.States {
		if !s.Final && visited[s.State] != len(stimuli)*waysTo(s.State) {
			t.Errorf("state %s was entered under %d of %d stimuli", s.State, visited[s.State], len(stimuli)*waysTo(s.State))
		}
	}
}

// waysTo counts the ways that stop in a state.
func waysTo(s payment.State) int {
	n := 0
	for _, way := range ways {
		if slices.Contains(way.states, s) {
			n++
		}
	}
	return max(n, 1)
}

// exploration is one stimulus in one state.
type exploration struct {
	w       *world
	device  *vault.Vault
	id      string
	at      payment.State
	kind    trade.Type
	partial bool
	do      func(*levers, context.CancelFunc)
	alter   func(*rigConfig)
}

// run reports whether the payment came to the state.
func (e exploration) run() bool {
	w, l := e.w, &levers{}
	c := plain()
	if e.alter != nil {
		e.alter(&c)
	}
	l.fit(w, &c)
	met := false
	var r *rig
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	hook := func(ev payment.Event) {
		if ev.State != e.at || ev.Final || met {
			return
		}
		met = true
		var busy *payment.BusyError
		if _, err := r.unit.Pay(ctx, payment.Order{ID: "another"}); !errors.As(err, &busy) || !errors.Is(err, payment.ErrBusy) || busy.State != e.at || busy.Order != e.id || busy.Doing != "pay" {
			w.t.Errorf("in state %s another payment: %v", e.at, err)
		}
		if _, err := r.unit.Recover(ctx); !errors.Is(err, payment.ErrBusy) {
			w.t.Errorf("in state %s a recovery: %v", e.at, err)
		}
		e.do(l, cancel)
	}
	order := e.id
	switch e.kind {
	case trade.Balance:
		w.ask(e.id, trade.Balance)
	case trade.Incremental:
		w.place(host.Order{ID: e.id, Type: trade.Preauth, Amount: euros(w.t, 1234)})
	default:
		w.order(e.id, 1234)
	}
	if e.kind == trade.Void || e.kind == trade.Incremental {
		r = w.open(c, e.device)
		if got, err := r.unit.Pay(w.ctx, payment.Order{ID: e.id}); err != nil || got.Outcome != payment.Approved {
			w.t.Fatalf("the payment that it is about: %+v, %v", got, err)
		}
		e.id = "V-" + e.id
		w.place(host.Order{ID: e.id, Type: e.kind, Original: order, Amount: euros(w.t, 1234)})
	}
	c.observe = hook
	r = w.open(c, e.device)
	w.mu.Lock()
	w.partial = e.partial
	w.mu.Unlock()
	got, err := r.unit.Pay(ctx, payment.Order{ID: e.id})
	w.mu.Lock()
	w.partial = false
	w.mu.Unlock()
	if f := r.final(); len(f) != 1 {
		w.t.Errorf("%d final events", len(f))
	} else if f[0].Outcome != got.Outcome || (err != nil) != (f[0].State == payment.StateFailed) {
		w.t.Errorf("the final event says %s %s, the caller got %s, %v", f[0].State, f[0].Outcome, got.Outcome, err)
	}
	e.restart(c, r, got, err)
	return met
}

// restart opens the unit again on what its storage holds.
func (e exploration) restart(c rigConfig, dead *rig, got payment.Result, perr error) {
	w := e.w
	owing := w.owes(dead, e.id)
	// What the machine says of the state that the payment ended in.
	last := payment.StateFailed
	if f := dead.final(); len(f) == 1 {
		last = f[0].State
	}
	want, err := payment.Machine().Next(last, payment.TriggerRestart, owing)
	if err != nil {
		w.t.Errorf("the machine knows no such restart: %v", err)
	}
	if _, err := payment.Machine().Next(e.at, payment.TriggerRestart, owing); owing != "" && err != nil && last == payment.StateFailed {
		w.t.Errorf("had it died in %s: %v", e.at, err)
	}
	fresh := plain()
	fresh.offline = c.offline
	r := w.open(fresh, dead.vault)
	if e.kind == trade.Sale {
		if owing == journal.Reversal && want != payment.StateReversing {
			w.t.Errorf("owes a reversal, and is %s", want)
		}
		w.settled(r, e.id, got, perr)
		return
	}
	rep, err := r.unit.Recover(w.ctx)
	if err != nil || len(rep.Pending) != 0 {
		w.t.Fatalf("Recover: %+v, %v", rep, err)
	}
	again, err := r.unit.Pay(w.ctx, payment.Order{ID: e.id})
	if err != nil || again.Outcome != payment.Approved {
		w.t.Errorf("doing it now: %+v, %v", again, err)
	}
	if s := w.state(e.id); s != trade.Paid && e.kind != trade.Balance {
		w.t.Errorf("the %s is %s", e.kind, s)
	}
	if e.kind == trade.Incremental {
		// Held twice over, and no more: the completion takes it to the last.
		id := "C-" + e.id
		w.place(host.Order{ID: id, Type: trade.Completion, Original: e.id[2:], Amount: euros(w.t, 2*1234)})
		if got, err := r.unit.Pay(w.ctx, payment.Order{ID: id}); err != nil || got.Outcome != payment.Approved {
			w.t.Errorf("its completion: %+v, %v", got, err)
		}
	}
	if a := w.audit(); a.Pending != 0 {
		w.t.Errorf("%d pending", a.Pending)
	}
}

// owes reads a unit's journal as a restart finds it.
func (w *world) owes(r *rig, id string) journal.State {
	w.t.Helper()
	j := journal.New(r.vault)
	e, ok, err := j.Entry(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if ok {
		return e.State
	}
	_, kept, err := j.Result(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if kept {
		return payment.Kept
	}
	return ""
}

// TestEveryTransition drives a real unit along every edge of the machine.
func TestEveryTransition(t *testing.T) {
	seen := walked{}
	w := onSQLite(t, func(c *host.Config) { c.PartialApprovals = true })
	cutAt := func(s payment.State) func(*levers, payment.Event) {
		return func(l *levers, e payment.Event) {
			if e.State == s {
				l.sever()
			}
		}
	}
	fullAt := func(s payment.State) func(*levers, payment.Event) {
		return func(l *levers, e payment.Event) {
			if e.State == s {
				l.set(func(l *levers) { l.storage = trusted.ErrStorageFull })
			}
		}
	}
	for i, c := range []struct {
		name    string
		alter   func(*rigConfig)
		kind    trade.Type
		on      func(*levers, payment.Event)
		partial bool
		unknown bool
		twice   bool
	}{
		{name: "paid, and again", twice: true},
		{name: "no such order", unknown: true},
		{name: "refused on the screen", alter: func(c *rigConfig) { c.script.RefuseTrade = true }},
		{name: "screen broken", alter: func(c *rigConfig) { c.ui = broken{} }},
		{name: "card declines", alter: func(c *rigConfig) { c.profile = "decline" }},
		{name: "cancelled at the PIN", alter: func(c *rigConfig) { c.script.CancelPIN = true }},
		{name: "no card", on: func(l *levers, _ payment.Event) { l.set(func(l *levers) { l.gone = true }) }},
		{name: "no room for the reversal", on: fullAt(payment.StatePreparing)},
		{name: "host declines", alter: func(c *rigConfig) { c.profile = "expired" }},
		{name: "host approves a part that is none", partial: true},
		{name: "host approves a part", alter: func(c *rigConfig) { c.profile = "low-balance" }},
		{name: "no answer", on: cutAt(payment.StateRequesting)},
		{name: "card declines at last", alter: func(c *rigConfig) { c.profile = "decline-second" }},
		{name: "card removed", alter: func(c *rigConfig) { c.faults = "remove@second-gac" }},
		{name: "no room for the completion", on: fullAt(payment.StateRecording)},
		{name: "completion not acknowledged", on: cutAt(payment.StateAdvising)},
		{name: "balance", kind: trade.Balance},
		{name: "balance of another's card", kind: trade.Balance, alter: func(c *rigConfig) { c.script.PIN = secret.CopyBytes([]byte("9999")) }},
		{name: "balance, card declines at last", kind: trade.Balance, alter: func(c *rigConfig) { c.profile = "decline-second" }},
		{name: "balance, no answer", kind: trade.Balance, on: func(l *levers, e payment.Event) {
			if e.State == payment.StateInquiring {
				l.sever()
			}
		}},
		{name: "approved offline", alter: offlineCard},
		{name: "no room for the offline approval", alter: offlineCard, on: fullAt(payment.StateStoring)},
		{name: "offline approval refused", alter: func(c *rigConfig) { offlineCard(c); c.faults = "corrupt=12@first-gac" }},
		{name: "unable to go online", alter: func(c *rigConfig) { offlineCard(c); c.selected = true }, on: cutAt(payment.StatePreparing)},
		{name: "void", kind: trade.Void},
		{name: "void not written", kind: trade.Void, on: fullAt(payment.StateWriting)},
		{name: "void not acknowledged", kind: trade.Void, on: cutAt(payment.StateFollowing)},
		{name: "void refused", kind: trade.Void, on: func(_ *levers, e payment.Event) {
			if e.State != payment.StateFollowing {
				return
			}
			// Money was given back between the void's trade and its request.
			w.refund("R-1", "A-27", 100)
			if got, err := w.rig(plain()).unit.Pay(w.ctx, payment.Order{ID: "R-1"}); err != nil || got.Outcome != payment.Approved {
				w.t.Errorf("refund: %+v, %v", got, err)
			}
		}},
	} {
		l := &levers{}
		rc := plain()
		if c.alter != nil {
			c.alter(&rc)
		}
		if b, ok := rc.ui.(broken); ok {
			b.UI = w.rig(plain()).holder
			rc.ui = b
		}
		l.fit(w, &rc)
		id := fmt.Sprint("A-", i)
		switch {
		case c.kind == trade.Balance:
			w.ask(id, c.kind)
		case !c.unknown:
			w.order(id, 1234)
		}
		r := w.rig(rc)
		if c.kind == trade.Void {
			if got, err := r.unit.Pay(w.ctx, payment.Order{ID: id}); err != nil || got.Outcome != payment.Approved {
				t.Fatalf("%s: %+v, %v", c.name, got, err)
			}
			w.void("V-"+id, id, 1234)
			id = "V-" + id
		}
		if c.on != nil {
			rc.observe = func(e payment.Event) { c.on(l, e) }
			r = w.open(rc, r.vault)
		}
		w.mu.Lock()
		w.partial = c.partial
		w.mu.Unlock()
		for range 2 {
			r.events = nil
			if got, err := r.unit.Pay(w.ctx, payment.Order{ID: id}); err != nil && got.Outcome != "" {
				t.Errorf("%s: %+v, %v", c.name, got, err)
			}
			seen.see(r.events)
			if !c.twice {
				break
			}
		}
		w.mu.Lock()
		w.partial = false
		w.mu.Unlock()
		rec := w.open(plain(), r.vault)
		if rep, err := rec.unit.Recover(w.ctx); err != nil || len(rep.Pending) > 0 {
			t.Errorf("%s: Recover: %+v, %v", c.name, rep, err)
		}
	}
	for _, x := range payment.Machine().Transitions {
		if x.On == payment.TriggerRestart {
			continue
		}
		if seen[x] == 0 {
			t.Errorf("no payment went from %s to %s on %q", x.From, x.To, x.On)
		}
		delete(seen, x)
	}
	for x := range seen {
		t.Errorf("a payment went from %s to %s on %q, which the machine does not have", x.From, x.To, x.On)
	}
	if a := w.audit(); a.Pending != 0 {
		t.Errorf("%d pending", a.Pending)
	}
}

// broken is a screen that can show no trade.
type broken struct{ trusted.UI }

func (broken) Confirm(context.Context, trusted.Confirmation) error {
	return errors.New("the screen is dark")
}

// TestPhaseLimits: a phase that takes too long ends by its own limit, and says
// so.
func TestPhaseLimits(t *testing.T) {
	for _, c := range []struct {
		name    string
		phase   payment.Phase
		alter   func(*rigConfig, *world)
		outcome payment.Outcome
	}{
		{"the cardholder does not answer", payment.PhaseConfirm, func(c *rigConfig, w *world) {
			c.limits.Confirm = time.Millisecond
			c.ui = waiting{w.rig(plain()).holder, make(chan struct{})}
		}, payment.Cancelled},
		{"no card comes", payment.PhaseInsert, func(c *rigConfig, _ *world) {
			c.limits.Insert = time.Millisecond
			c.reader = func(r cardreader.Reader) cardreader.Reader { return noCard{r, make(chan struct{})} }
		}, payment.Cancelled},
		{"the card never ends", payment.PhaseCard, func(c *rigConfig, _ *world) {
			c.limits.Card = time.Millisecond
			c.reader = func(r cardreader.Reader) cardreader.Reader { return stuckReader{r, 4} }
		}, ""},
		{"the card hangs at its last command", payment.PhaseComplete, func(c *rigConfig, _ *world) {
			c.limits.Complete = time.Millisecond
			c.reader = func(r cardreader.Reader) cardreader.Reader { return stuckReader{r, -1} }
		}, payment.Declined},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			rc := plain()
			c.alter(&rc, w)
			r := w.rig(rc)
			w.order("A-1", 100)
			got, err := r.unit.Pay(t.Context(), payment.Order{ID: "A-1"})
			if got.Outcome != c.outcome {
				t.Errorf("%+v, %v", got, err)
			}
			var late *payment.TimeoutError
			if c.outcome == "" && (!errors.As(err, &late) || late.Phase != c.phase || !errors.Is(err, payment.ErrCard) || !errors.Is(err, context.DeadlineExceeded)) {
				t.Errorf("error %v", err)
			}
			if c.outcome == payment.Declined && (!got.Reversed || !slices.ContainsFunc(got.Reasons, func(s string) bool {
				return s == "the card did not complete the payment that the bank approved: time ran out"
			})) {
				t.Errorf("%+v", got)
			}
			if c.outcome == payment.Cancelled && !slices.Contains(got.Reasons, "the cardholder did nothing for 1ms") {
				t.Errorf("reasons %q", got.Reasons)
			}
			if s := w.state("A-1"); s != trade.Open {
				t.Errorf("order is %s", s)
			}
		})
	}
}

// stuckReader has a card that hangs at its n-th command, or at its second
// GENERATE AC.
type stuckReader struct {
	cardreader.Reader
	n int
}

type stuckCard struct {
	cardreader.Card
	n, gac int
}

func (s stuckReader) Connect(ctx context.Context) (cardreader.Card, error) {
	c, err := s.Reader.Connect(ctx)
	return &stuckCard{Card: c, n: s.n}, err
}

func (s *stuckCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	s.n--
	if command[1] == 0xAE {
		s.gac++
	}
	if s.n == 0 || s.n < 0 && s.gac == 2 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Card.Transmit(ctx, command)
}
