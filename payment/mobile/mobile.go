// Package mobile is the payment unit in the words that gomobile can bind, so
// that an app in Java, Kotlin, Swift or Objective-C embeds it:
//
//	gomobile bind -target=android github.com/payunit/payunit/payment/mobile
//
// The app implements Relay, Screen and Keypad, and may keep the state in a
// platform's own store by Storage and Keys. It gives Unit.CardFound each card
// that the platform finds, and pays on a thread of its own: the calls that wait
// take a Cancelable. Of host calls, one of a kind runs at a time, on threads
// that Go chooses.
//
// Numbers are int32 and int64, codes are strings, every byte slice that crosses
// the border is a copy, and no panic crosses it: what would be one is an error
// with the code CodeInternal.
package mobile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/trusted/vault"
)

// Config collects what a unit is made of. Its byte slices are copied by Open.
type Config struct {
	// Dir is the folder of the sealed state, and SealingKey the 32 bytes that
	// seal it, from the platform's key store. UseState stands in their place.
	Dir        string
	SealingKey []byte
	// Terminal and CAPK are the files of the terminal's EMV data and of the
	// certification authorities' keys, JSON. No default.
	Terminal []byte
	CAPK     []byte
	// Activation enrols a device that is not enrolled yet.
	Activation string
	// ServerKey, when set, is the only server that enrolment accepts, 32 bytes.
	ServerKey []byte
	// ConfigKey, when set, is the key that signs the server's configurations, 32
	// bytes: the unit is served under no other. Without it the device keeps to the
	// one that the server names as it enrols.
	ConfigKey []byte
	// TDES takes format 0 PIN blocks under TDES DUKPT in place of format 4
	// under AES DUKPT.
	TDES bool
	// ConnectMillis and ReplyMillis bound the channel's bringing up and a
	// reply; zero means 15,000 and 30,000.
	ConnectMillis int64
	ReplyMillis   int64

	relay    Relay
	screen   Screen
	keypad   Keypad
	tones    Tones
	observer Observer
	storage  Storage
	keys     Keys
	random   io.Reader
	now      func() time.Time
}

// NewConfig returns a configuration with the parts that every app has. None of
// them may be nil.
func NewConfig(relay Relay, screen Screen, keypad Keypad) *Config {
	return &Config{relay: relay, screen: screen, keypad: keypad}
}

// UseState keeps records, counters and private keys in the app's stores, whose
// contract is Storage's and Keys'.
func (c *Config) UseState(storage Storage, keys Keys) { c.storage, c.keys = storage, keys }

// UseTones lets the accessible keypad sound.
func (c *Config) UseTones(t Tones) { c.tones = t }

// UseObserver tells an observer what happens.
func (c *Config) UseObserver(o Observer) { c.observer = o }

// Unit is a payment unit, made by Open; one that was not is as good as closed. It
// does one thing at a time; its methods may be called from any thread.
type Unit struct {
	unit   *softunit.Unit
	slot   *cardreader.Slot
	screen *screen
	events *events

	mu      sync.Mutex
	running map[*Cancelable]context.CancelFunc
	closed  bool
}

// Open opens the state and composes the unit, and enrols the device under
// Config.Activation if it is not enrolled. It waits for the server at most.
func Open(c *Config, cancel *Cancelable) (unit *Unit, err error) {
	defer guard("opening the unit", &err)
	switch {
	case c == nil:
		return nil, configError("the configuration is nil")
	case c.relay == nil, c.screen == nil, c.keypad == nil:
		return nil, configError("the relay, the screen or the keypad is nil")
	case c.storage == nil != (c.keys == nil):
		return nil, configError("a state is a storage and keys: one of them is nil")
	case c.ConnectMillis < 0, c.ReplyMillis < 0:
		return nil, configError("a time limit is negative")
	}
	u := &Unit{slot: cardreader.NewSlot("app"), screen: &screen{host: c.screen}, running: map[*Cancelable]context.CancelFunc{}}
	sc := softunit.Config{
		Link: &link{c.relay}, Reader: u.slot, UI: u.screen, Panel: &panel{c.keypad, c.tones},
		Activation: c.Activation, ServerKey: bytes.Clone(c.ServerKey), ConfigKey: bytes.Clone(c.ConfigKey),
		Limits: payment.Limits{Connect: millis(c.ConnectMillis), Reply: millis(c.ReplyMillis)},
		Rand:   c.random, Now: c.now,
	}
	if c.TDES {
		sc.PINFormat = softunit.FormatTDES
	}
	if c.observer != nil {
		u.events = &events{host: c.observer}
		sc.Observe = u.events.add
	}
	if c.storage != nil {
		sc.State = &state{storage: c.storage, keys: c.keys}
	} else {
		key := secret.NewBytes(bytes.Clone(c.SealingKey))
		defer key.Wipe()
		sc.Dir, sc.Key = c.Dir, vault.FixedKey(key)
	}
	terminal, err := emv.ParseTerminal(bytes.NewReader(c.Terminal))
	if err != nil {
		return nil, &configErr{fmt.Errorf("terminal data: %w", err)}
	}
	sc.Terminal = &terminal
	if sc.CAKeys, err = oda.ParseCAPK(bytes.NewReader(c.CAPK)); err != nil {
		return nil, &configErr{fmt.Errorf("CA keys: %w", err)}
	}
	ctx, done, err := u.begin(cancel)
	if err != nil {
		return nil, err
	}
	defer done()
	if u.unit, err = softunit.Open(ctx, sc); err != nil {
		return nil, err
	}
	return u, nil
}

// Enrolled reports whether the device was enrolled by Open.
func (u *Unit) Enrolled() bool { return u.unit != nil && u.unit.Enrolled() }

// TerminalID returns the terminal id, ISO 8583 DE 41.
func (u *Unit) TerminalID() string { id, _ := u.identity(); return id }

// MerchantID returns the merchant id, ISO 8583 DE 42.
func (u *Unit) MerchantID() string { _, id := u.identity(); return id }

func (u *Unit) identity() (terminalID, merchantID string) {
	if u.unit == nil {
		return "", ""
	}
	return u.unit.Identity()
}

// CardFound gives the unit a card that the platform has connected: the Pay that
// waits takes it, or the next. The card is closed by the unit.
func (u *Unit) CardFound(t Transceiver, info *CardInfo) (err error) {
	defer guard("taking a card", &err)
	if t == nil || info == nil {
		return configError("the transceiver or the card's description is nil")
	}
	if u.slot == nil {
		return fmt.Errorf("mobile: %w", errClosed)
	}
	if u.isClosed() {
		return fmt.Errorf("mobile: %w", errClosed)
	}
	card, err := newCard(t, info)
	if err != nil {
		return err
	}
	err = u.slot.Put(card)
	if u.isClosed() {
		// Close came between, and may have found no card.
		err = errors.Join(err, u.slot.Put(nil))
	}
	return err
}

func (u *Unit) isClosed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// Pay carries out the order of this name, and waits for its end. It returns a
// Result for every ending that is an outcome, and an error when a step could
// not be carried out before anything was requested: then nothing was charged.
// cancel may be nil.
func (u *Unit) Pay(order string, cancel *Cancelable) (result *Result, err error) {
	defer guard("paying", &err)
	ctx, done, err := u.begin(cancel)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := u.unit.Pay(ctx, payment.Order{ID: order})
	if err != nil {
		return nil, err
	}
	return newResult(r), nil
}

// Recover settles what earlier payments owe; an app calls it when it starts.
// cancel may be nil.
func (u *Unit) Recover(cancel *Cancelable) (report *Report, err error) {
	defer guard("recovering", &err)
	ctx, done, err := u.begin(cancel)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := u.unit.Recover(ctx)
	if err != nil {
		return nil, err
	}
	return newReport(r), nil
}

// Configure takes a configuration of the server that the app brings, signed: it is
// for a unit that slept through a change of the server's keys, whose payments end with
// CodeServer or CodeConfiguration. One that is refused changes nothing. cancel may be
// nil.
func (u *Unit) Configure(signed []byte, cancel *Cancelable) (err error) {
	defer guard("taking a configuration", &err)
	ctx, done, err := u.begin(cancel)
	if err != nil {
		return err
	}
	defer done()
	return u.unit.Terminal().Configure(ctx, bytes.Clone(signed))
}

// Close cancels what runs, closes a card that nobody took, and closes the state. A
// second call does nothing.
func (u *Unit) Close() (err error) {
	defer guard("closing", &err)
	u.mu.Lock()
	closed := u.closed || u.unit == nil
	if !closed {
		u.closed = true
		for _, cancel := range u.running {
			cancel()
		}
	}
	u.mu.Unlock()
	if closed {
		return nil
	}
	return errors.Join(u.slot.Put(nil), u.unit.Close())
}

// begin ties what begins to its Cancelable and to Close.
func (u *Unit) begin(c *Cancelable) (context.Context, func(), error) {
	if c == nil {
		c = NewCancelable()
	}
	ctx, cancel := context.WithCancel(context.Background())
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || u.running == nil {
		cancel()
		return nil, nil, fmt.Errorf("mobile: %w", errClosed)
	}
	if _, taken := u.running[c]; taken {
		cancel()
		return nil, nil, configError("the Cancelable is that of a call that still runs")
	}
	u.running[c] = cancel
	c.add(cancel)
	return ctx, func() {
		u.events.drain(ctx)
		cancel()
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.running, c)
	}, nil
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// Cancelable ends the call that it was given to: within 100 ms, whatever is
// waited for. It is good for one call.
type Cancelable struct {
	mu        sync.Mutex
	cancelled bool
	cancel    []context.CancelFunc
}

// NewCancelable returns one that is not cancelled.
func NewCancelable() *Cancelable { return &Cancelable{} }

// Cancel ends the call, or the one that it will be given to.
func (c *Cancelable) Cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelled = true
	for _, cancel := range c.cancel {
		cancel()
	}
}

// Cancelled reports whether Cancel was called.
func (c *Cancelable) Cancelled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cancelled
}

func (c *Cancelable) add(cancel context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancelled {
		cancel()
	}
	c.cancel = append(c.cancel, cancel)
}

var errClosed = errors.New("the unit is closed")
