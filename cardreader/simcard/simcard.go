// Package simcard is a software EMV contact card: an APDU machine with real
// RSA certificates (EMV 4.4 Book 2, 5 and 6), application cryptograms, offline
// PIN, issuer authentication, issuer scripts and its own card risk management.
//
// It is strict, as a card is: a command out of order gets 6985, one of a wrong
// length 6700, an unknown instruction 6D00, an unknown class 6E00. Fault
// scripts make it fail like a worn or a hostile card.
//
// It is a tool for tests and demonstrations. Its keys are no secret, its
// private operations take time that depends on them, and its state lies in the
// clear in whatever store it is given.
package simcard

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/payunit/payunit/payment/money"
)

// Options are what a card needs from its surroundings.
type Options struct {
	// PKI holds the certification authority, issuer and card keys and the
	// issuer master keys. Required: NewPKI makes one, simcard/testkeys holds a
	// published one for tests.
	PKI *PKI
	// State keeps counters and blocks over power-ups. Nil keeps them in memory,
	// for as long as the Card lives.
	State StateStore
	// Rand feeds challenges, the card's unpredictable numbers and the first
	// transaction counter. Nil is crypto/rand.
	Rand io.Reader
	// Currency is the application currency (9F42, 9F44). Zero is the euro.
	Currency money.Currency
	// Country is the issuer country (5F28), ISO 3166-1 numeric. Zero is 276.
	Country int
	// Faults are what goes wrong, and when. Nil is nothing.
	Faults Faults
	// Delay is how long each command takes before its answer. It holds up
	// Transmit only, never Process.
	Delay time.Duration
}

// ErrOptions says that Options lack something or do not fit the profile.
var ErrOptions = errors.New("simcard: options")

// Card is one software card. Process may be called from several goroutines;
// commands are carried out one after the other.
type Card struct {
	mu      sync.Mutex
	profile Profile
	apps    []*application
	pki     *PKI
	store   StateStore
	rand    io.Reader
	delay   time.Duration
	state   state
	faults  *faultRun

	// taps are the applications' contactless sides, nil where there is none.
	taps []*application
	// contactless: the card is powered by a field.
	contactless bool
	// torn are the last answers to GENERATE AC over contactless.
	torn map[*application]*lastAC
	// holderVerified: a phone's holder unlocked it for the next payment.
	holderVerified bool

	session session
	t0      t0state
}

// New personalises a card of profile p: it signs the certificates and data that
// the profile asks for and loads the state. Errors: ErrOptions, ErrState, or
// what the state store or Rand returned.
func New(p Profile, o Options) (*Card, error) {
	if o.PKI == nil {
		return nil, fmt.Errorf("%w: no PKI", ErrOptions)
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.State == nil {
		o.State = &memoryStore{}
	}
	if o.Currency.IsZero() {
		eur, err := money.ByCode("EUR")
		if err != nil {
			return nil, err
		}
		o.Currency = eur
	}
	if o.Country == 0 {
		o.Country = 276
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	c := &Card{profile: p, pki: o.PKI, store: o.State, rand: o.Rand, delay: o.Delay, faults: newFaultRun(o.Faults)}
	for i := range p.Applications {
		a, err := personalise(&p, &p.Applications[i], o)
		if err != nil {
			return nil, fmt.Errorf("simcard: personalising %s, application %d: %w", p.Name, i+1, err)
		}
		c.apps = append(c.apps, a)
	}
	if err := c.personaliseTaps(o); err != nil {
		return nil, err
	}
	if err := c.loadState(); err != nil {
		return nil, err
	}
	return c, nil
}

// Profile returns the profile that the card was made of.
func (c *Card) Profile() Profile { return c.profile }

// freshState is the state of a card that was never used. The transaction
// counter starts anywhere below 4000, so that two fresh cards of one profile do
// not show an issuer the same counter twice.
func (c *Card) freshState() (state, error) {
	s := state{Version: stateVersion, Profile: c.profile.Name, CardBlocked: c.profile.Blocked, PIN: c.profile.PIN, PINTries: c.profile.PINTries}
	for i := range c.apps {
		var b [2]byte
		if _, err := io.ReadFull(c.rand, b[:]); err != nil {
			return state{}, fmt.Errorf("simcard: drawing a transaction counter: %w", err)
		}
		atc := binary.BigEndian.Uint16(b[:])%0x3FFF + 1
		s.Applications = append(s.Applications, appState{
			ATC: atc, LastOnlineATC: atc, Blocked: c.profile.Applications[i].Blocked,
			LowerLimit: c.profile.Applications[i].LowerLimit, UpperLimit: c.profile.Applications[i].UpperLimit,
		})
	}
	return s, nil
}

// Reset is a power-up: what the card remembers of the session is gone.
func (c *Card) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resetLocked()
}

func (c *Card) resetLocked() {
	c.session = session{}
	c.t0 = t0state{}
	c.faults.powerUp()
}
