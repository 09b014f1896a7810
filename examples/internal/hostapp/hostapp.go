// Package hostapp is an app as a phone's would be: it embeds the unit by
// payment/mobile alone and supplies relay, screen, keypad, storage, keys and
// card, all of them in memory, and the card a software card.
package hostapp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/payment/mobile"
)

// Card is a software card behind a mobile.Transceiver.
type Card struct{ card *simcard.Card }

// NewCard makes a card of a profile; the empty name is the default one.
func NewCard(profile string) (*Card, error) {
	p, err := simcard.LookupProfile(profile)
	if err != nil {
		return nil, err
	}
	c, err := simcard.New(p, simcard.Options{PKI: testkeys.PKI()})
	if err != nil {
		return nil, err
	}
	return &Card{c}, nil
}

// Info is what the platform tells of the card.
func (c *Card) Info() *mobile.CardInfo {
	i := mobile.NewCardInfo()
	i.ATR = c.card.ATR()
	return i
}

// Transceive implements mobile.Transceiver.
func (c *Card) Transceive(command []byte) ([]byte, error) { return c.card.Process(command), nil }

// Close implements mobile.Transceiver.
func (c *Card) Close() error { c.card.Reset(); return nil }

// CAPK returns the CA keys that the software cards need.
func CAPK() ([]byte, error) {
	var b bytes.Buffer
	err := simcard.WriteCAPK(&b, testkeys.PKI(), simcard.AllProfiles())
	return b.Bytes(), err
}

// Cardholder is a mobile.Screen and a mobile.Keypad whose cardholder agrees to
// everything and enters PIN.
type Cardholder struct {
	PIN string

	mu     sync.Mutex
	layout []byte
	next   int
	shown  []string
}

// Shown returns what was on the screen, in order.
func (h *Cardholder) Shown() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.shown...)
}

func (h *Cardholder) show(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shown = append(h.shown, fmt.Sprintf(format, args...))
}

// Notify implements mobile.Screen.
func (h *Cardholder) Notify(n *mobile.Notice) error { h.show("%s", n.Message); return nil }

// Confirm implements mobile.Screen.
func (h *Cardholder) Confirm(c *mobile.Confirmation) (bool, error) {
	h.show("confirm %s %s %s %s", c.Kind, c.Amount, c.Currency, c.Merchant)
	return true, nil
}

// Choose implements mobile.Screen.
func (h *Cardholder) Choose(*mobile.StringList) (int32, error) { return 0, nil }

// Dismiss implements mobile.Screen.
func (h *Cardholder) Dismiss() { h.show("dismissed") }

// Open implements mobile.Keypad.
func (h *Cardholder) Open(p *mobile.Prompt, layout []byte) error {
	h.show("PIN for %s %s", p.Amount, p.Currency)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.layout, h.next = layout, 0
	return nil
}

// Next implements mobile.Keypad.
func (h *Cardholder) Next() (int32, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next >= len(h.PIN) {
		return mobile.KeyEnter, nil
	}
	cell := bytes.IndexByte(h.layout, h.PIN[h.next]-'0')
	h.next++
	return int32(cell), nil
}

// Mask implements mobile.Keypad.
func (h *Cardholder) Mask(int32) error { return nil }

// State is a mobile.Storage and mobile.Keys in memory.
type State struct {
	Store *Store
	Keys  *Keys
}

// NewState returns an empty state.
func NewState() State {
	return State{&Store{records: map[string][]byte{}, counters: map[string]int64{}}, &Keys{seed: rand.Text()}}
}

// Store is a mobile.Storage in memory.
type Store struct {
	mu       sync.Mutex
	records  map[string][]byte
	counters map[string]int64
}

// Get implements mobile.Storage.
func (s *Store) Get(name string) (*mobile.Bytes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.records[name]
	if !ok {
		return nil, nil
	}
	return mobile.NewBytes(b), nil
}

// Put implements mobile.Storage.
func (s *Store) Put(name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[name] = value
	return nil
}

// Delete implements mobile.Storage.
func (s *Store) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, name)
	return nil
}

// List implements mobile.Storage.
func (s *Store) List(prefix string) (*mobile.StringList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := mobile.NewStringList()
	for name := range s.records {
		if strings.HasPrefix(name, prefix) {
			l.Add(name)
		}
	}
	return l, nil
}

// Next implements mobile.Storage.
func (s *Store) Next(counter string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters[counter]++
	return s.counters[counter], nil
}

// Keys is a mobile.Keys whose keys are made of one seed.
type Keys struct{ seed string }

func (k *Keys) scalar(kind, name string) []byte {
	sum := sha256.Sum256([]byte(k.seed + "|" + kind + "|" + name))
	return sum[:]
}

func (k *Keys) x25519(name string) (*ecdh.PrivateKey, error) {
	return ecdh.X25519().NewPrivateKey(k.scalar("x25519", name))
}

// PublicKey implements mobile.Keys.
func (k *Keys) PublicKey(name string) ([]byte, error) {
	p, err := k.x25519(name)
	if err != nil {
		return nil, err
	}
	return p.PublicKey().Bytes(), nil
}

// ECDH implements mobile.Keys.
func (k *Keys) ECDH(name string, peer []byte) ([]byte, error) {
	p, err := k.x25519(name)
	if err != nil {
		return nil, err
	}
	q, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return p.ECDH(q)
}

func (k *Keys) ed25519(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(k.scalar("ed25519", name))
}

// VerificationKey implements mobile.Keys.
func (k *Keys) VerificationKey(name string) ([]byte, error) {
	return k.ed25519(name).Public().(ed25519.PublicKey), nil
}

// Sign implements mobile.Keys.
func (k *Keys) Sign(name string, message []byte) ([]byte, error) {
	return ed25519.Sign(k.ed25519(name), message), nil
}

// Events is a mobile.Observer that remembers.
type Events struct {
	mu  sync.Mutex
	all []*mobile.Event
}

// OnEvent implements mobile.Observer.
func (e *Events) OnEvent(x *mobile.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
}

// Texts returns what the events say.
func (e *Events) Texts() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for _, x := range e.all {
		all = append(all, x.Phase+" "+x.Step+" "+x.Text)
	}
	return all
}

// Finals returns the outcomes of the final events.
func (e *Events) Finals() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var finals []string
	for _, x := range e.all {
		if x.Final {
			finals = append(finals, cmp.Or(x.Outcome, "error"))
		}
	}
	return finals
}

// App is the host app with its unit.
type App struct {
	Unit       *mobile.Unit
	Cardholder *Cardholder
	Events     *Events
}

// Config says what an App is made of besides itself.
type Config struct {
	Relay      mobile.Relay
	Terminal   []byte
	Activation string
	ConfigKey  []byte
	State      State
	PIN        string
}

// Open composes the app.
func Open(c Config, cancel *mobile.Cancelable) (*App, error) {
	a := &App{Cardholder: &Cardholder{PIN: c.PIN}, Events: &Events{}}
	capk, err := CAPK()
	if err != nil {
		return nil, err
	}
	mc := mobile.NewConfig(c.Relay, a.Cardholder, &keypad{a.Cardholder})
	mc.Terminal, mc.CAPK, mc.Activation = c.Terminal, capk, c.Activation
	mc.ConfigKey = c.ConfigKey
	mc.UseState(c.State.Store, c.State.Keys)
	mc.UseObserver(a.Events)
	if a.Unit, err = mobile.Open(mc, cancel); err != nil {
		return nil, err
	}
	return a, nil
}

// keypad is the cardholder's hand on the keys.
type keypad struct{ *Cardholder }

// Close implements mobile.Keypad.
func (k *keypad) Close() error { k.show("keypad closed"); return nil }

// Stream is a mobile.Relay over something that opens streams.
type Stream struct {
	Dial func(context.Context) (io.ReadWriteCloser, error)
}

// Open implements mobile.Relay.
func (s Stream) Open() (mobile.Connection, error) {
	c, err := s.Dial(context.Background())
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

type conn struct{ io.ReadWriteCloser }

// Read implements mobile.Connection.
func (c conn) Read(n int32) ([]byte, error) {
	b := make([]byte, n)
	k, err := c.ReadWriteCloser.Read(b)
	if k > 0 {
		return b[:k], nil
	}
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return nil, err
}

// Write implements mobile.Connection.
func (c conn) Write(b []byte) error {
	_, err := c.ReadWriteCloser.Write(b)
	return err
}

// Order is what the app in a sandbox is told from outside.
type Order struct {
	ID         string `json:"id"`
	Activation string `json:"activation"`
	Terminal   []byte `json:"terminal"`
	Card       string `json:"card"`
	PIN        string `json:"pin"`
}
