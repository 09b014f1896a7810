package host

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/acquirer/link"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/payment/host/ledger/memledger"
)

// simAbove is the acquirer above the servers, in the worlds that have one: a
// server with the issuer and a ledger of its own, at the end of a bad line.
type simAbove struct {
	w *simWorld
	l *memledger.Ledger
	s *Server
	// late are messages that will arrive when nobody waits for them.
	late []*acquirer.Message
}

func newSimAbove(t testing.TB, w *simWorld) *simAbove {
	a := &simAbove{w: w, l: memledger.New()}
	a.l.Faults = memledger.Faults{
		Write: func(string) error {
			if w.chance(400, "the acquirer's disk is full") {
				return errSimFull
			}
			return nil
		},
		Commit: func() (bool, error) {
			switch {
			case w.chance(60, "the acquirer dies before its commit"):
				return false, errSimCut
			case w.chance(60, "the acquirer dies after its commit"):
				return true, errSimCut
			}
			return false, nil
		},
	}
	var books ledger.Ledger = a.l
	if w.mutant.above != nil {
		books = w.mutant.above(books)
	}
	iss, err := issuer.New(issuer.Config{Cards: w.parts.issuing, CountersInAnyOrder: true, Rand: simRand{w.r}, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := NewRegistry(RegistryConfig{Ledger: books, Key: key(0x78, 32), Rand: simRand{w.r}, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	a.s, err = New(Config{
		Ledger: books, Registry: reg, Handshaker: handshaker{}, Verifier: attest.SoftwareVerifier{}, Issuer: iss, Keys: testKeys(),
		ServerKey: bytes.Repeat([]byte{8}, 32), Dialect: acquirer.Default().WithClock(w.clock), Now: w.clock, Rand: simRand{w.r},
		Observe: func(e Event) {
			if w.verbose {
				w.lines = append(w.lines, fmt.Sprintf("      above: %s %s", e.Terminal, e.Text))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// acquire carries a message out above.
func (a *simAbove) acquire(m *acquirer.Message) *acquirer.Message {
	serving := a.w.serving
	a.w.serving = nil
	defer func() { a.w.serving = serving }()
	return a.s.Acquire(context.Background(), m)
}

// deliver lets a late message arrive above.
func (a *simAbove) deliver() {
	if len(a.late) == 0 {
		return
	}
	i := a.w.r.IntN(len(a.late))
	m := a.late[i]
	a.late = append(a.late[:i:i], a.late[i+1:]...)
	a.w.counts["late messages on the line"]++
	out := a.acquire(m)
	a.w.say("a late %s arrives above: %t", m.MTI, out != nil)
}

// simLine is a server process's line to the acquirer above.
type simLine struct {
	a *simAbove
	s *simServer
}

// Exchange sends a message over the line as it is. A unit's coroutine gives way
// while the server waits.
func (l simLine) Exchange(ctx context.Context, m *acquirer.Message) (*acquirer.Message, error) {
	w := l.a.w
	seldom := 20
	if w.standIn != nil && m.MTI == "0200" {
		seldom = 4
	}
	switch {
	case w.chance(seldom, "a message for above is not sent"):
		return nil, link.ErrNotSent
	case w.chance(20, "a message for above is lost"):
		return nil, link.ErrNoAnswer
	case w.chance(20, "a message for above is late"):
		l.a.late = append(l.a.late, m.Clone())
		return nil, link.ErrNoAnswer
	case w.chance(20, "a message comes twice above"):
		l.a.late = append(l.a.late, m.Clone())
	}
	out := l.a.acquire(m.Clone())
	if u := w.asking; u != nil {
		u.give()
		w.serving = l.s
	}
	if out == nil || w.chance(20, "an answer from above is lost") {
		return nil, link.ErrNoAnswer
	}
	return out, nil
}

// process is the ledger in the hands of one server process: one that has died
// writes no more, whatever it was waiting for.
type process struct {
	ledger.Ledger
	s     *simServer
	epoch int
}

func (p process) Update(ctx context.Context, fn func(ledger.Tx) error) error {
	if p.s.epoch != p.epoch {
		return errSimCut
	}
	return p.Ledger.Update(ctx, fn)
}

// forward has a server send what is owed above.
func (w *simWorld) forward(s *simServer) int {
	w.asking, w.serving = nil, s
	owed, err := s.s.ForwardDue(context.Background())
	w.serving = nil
	w.say("server %d sends what is owed: %d are left, %t", s.id, owed, err == nil)
	return owed
}

// forwardAll sends what is owed until nothing is.
func (w *simWorld) forwardAll(when string) {
	if w.above == nil {
		return
	}
	for n := 0; w.forward(w.servers[0]) > 0; n++ {
		if n > 60 {
			w.wrong("%s: messages are owed above for ever", when)
			return
		}
		w.now = w.now.Add(time.Hour)
	}
}
