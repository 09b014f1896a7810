// Package enrol turns a device into a terminal: under an activation code it
// fetches its identity and its initial keys from the payment server, stores
// them, and from then on is the payment.Device of a unit.
package enrol

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/pinpad/dukpt"
	"github.com/payunit/payunit/pinpad/keyblock"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/comm"
	"github.com/payunit/payunit/trusted/config"
)

// Errors that callers branch on.
var (
	// ErrNotEnrolled: the storage holds no enrolment that was finished.
	ErrNotEnrolled = errors.New("enrol: the device is not enrolled")
	// ErrEnrolled: the device is enrolled already.
	ErrEnrolled = errors.New("enrol: the device is enrolled already")
	// ErrGrant: the server's grant can't be used.
	ErrGrant = errors.New("enrol: unusable grant")
)

// Config is what a device has before it is a terminal.
type Config struct {
	// Storage keeps identity and keys; no other unit may use it. No default.
	Storage trusted.Storage
	// Keys holds the device's private keys. No default.
	Keys trusted.KeyStore
	// Link is the app's way to the server. No default.
	Link trusted.Link
	// Attester produces the device's evidence. No default.
	Attester channel.Attester
	// DeviceClass is declared to the server, "phone" or "desktop".
	DeviceClass string
	// Assurance is the level of the unit's weakest module (trusted.Weakest).
	// Each handshake declares and binds it.
	Assurance channel.Assurance
	// ServerKey, when set, is the only static key of a server that enrolment
	// accepts, 32 bytes.
	ServerKey []byte
	// ConfigKey, when set, is the key that signs the server's configurations,
	// Ed25519, 32 bytes: a unit that was built with it is served under no
	// other. Without it the device takes the one that the server names as it
	// enrols, under the activation code, and keeps to it. A server that names
	// none is known by the static key that it had then.
	ConfigKey []byte
	// Configuration, when set, is a signed configuration that the app brings
	// (trusted/config). One that is refused is an error.
	Configuration []byte
	// Counter counts configurations; nil means Storage, if it is one.
	Counter trusted.Counter
	// Channel makes the device's end of the channel; nil means Noise. A device
	// keeps to one kind: its key is of that kind.
	Channel Channel
	// Timeout bounds a handshake; zero means 15 s.
	Timeout time.Duration
	// Rand is the source of randomness; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// names in the key store and the storage. The grant is written last: before it
// stands, nothing of an enrolment counts.
const (
	deviceKey   = "device"
	grantRecord = "enrolment/grant"
	pinRecord   = "dukpt/pin"
	macRecord   = "dukpt/mac"
	// rotatingRecord stands from before new keys are asked for until they are
	// loaded.
	rotatingRecord = "enrolment/rotating"
)

// identity is the stored part of a grant.
type identity struct {
	TerminalID  string `json:"terminal_id"`
	MerchantID  string `json:"merchant_id"`
	Merchant    string `json:"merchant"`
	DeviceClass string `json:"device_class"`
	ServerKey   []byte `json:"server_key"`
	PINFormat   uint8  `json:"pin_format"`
	// ConfigKey, once it is known, stands in ServerKey's place.
	ConfigKey []byte `json:"config_key,omitempty"`
}

func (c Config) check() error {
	for name, missing := range map[string]bool{"Storage": c.Storage == nil, "Keys": c.Keys == nil, "Link": c.Link == nil, "Attester": c.Attester == nil} {
		if missing {
			return fmt.Errorf("enrol: Config.%s is nil and has no default", name)
		}
	}
	return nil
}

func (c Config) declared() string { return trusted.DeclareClass(c.DeviceClass, c.Assurance) }

func (c Config) client(e End) (*comm.Client, error) {
	e.Keys, e.Key = c.Keys, deviceKey
	e.Attester, e.DeviceClass = c.Attester, c.declared()
	e.Timeout, e.Rand, e.Now = c.Timeout, c.Rand, c.Now
	if c.Channel == nil {
		c.Channel = Noise
	}
	h, err := c.Channel(e)
	if err != nil {
		return nil, err
	}
	return &comm.Client{Link: c.Link, Handshaker: h, Attester: c.Attester}, nil
}

// Enrol makes the device a terminal whose pad makes PIN blocks of a format: 4
// (AES DUKPT) or 0 (TDES DUKPT). The code serves once; the same device may
// repeat a call whose answer was lost. Errors: ErrEnrolled, ErrGrant,
// noise.ErrActivation, a *trade.Error, those of the link, the channel and the
// modules.
func Enrol(ctx context.Context, c Config, code string, pinFormat uint8) (*Terminal, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	switch _, err := load(ctx, c.Storage); {
	case err == nil:
		return nil, ErrEnrolled
	case !errors.Is(err, ErrNotEnrolled):
		return nil, err
	}
	a, err := noise.ParseActivation(code)
	if err != nil {
		return nil, err
	}
	defer a.Wipe()
	// What the app brings is judged before the code is spent.
	known, err := c.brought(ctx, c.ConfigKey)
	if err != nil {
		return nil, err
	}
	e := End{Activation: &a}
	if known != nil {
		if e.Server, err = c.enrolling(ctx, known); err != nil {
			return nil, err
		}
	}
	client, err := c.client(e)
	if err != nil {
		return nil, err
	}
	s, err := client.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	id, err := c.fetch(ctx, s, e.Server, pinFormat)
	// The code is spent. A grant that came whole is good, however the channel
	// ended: an app's relay may close late, or fail to.
	if closing := s.Close(); err != nil {
		return nil, errors.Join(err, closing)
	}
	b, err := json.Marshal(id)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if err := c.Storage.Put(ctx, grantRecord, b); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	return Open(ctx, c)
}

// fetch asks for the grant and loads its keys.
func (c Config) fetch(ctx context.Context, s *comm.Session, known *config.Statement, pinFormat uint8) (identity, error) {
	peer := s.Conn().Peer().Key
	if len(c.ServerKey) > 0 && !strings.EqualFold(hex.EncodeToString(peer), hex.EncodeToString(c.ServerKey)) {
		return identity{}, fmt.Errorf("%w: the server has another key than the one expected", ErrGrant)
	}
	if known != nil && !known.Lists(peer, c.now()) {
		return identity{}, fmt.Errorf("%w: the server has a key that its configuration does not list", ErrGrant)
	}
	g, err := ask(ctx, s, trade.KindEnrol, trade.Enrol{DeviceClass: c.declared(), PINFormat: pinFormat})
	if err != nil {
		return identity{}, err
	}
	// The key that later channels are made with is the one that proved itself
	// in this one.
	if hex.EncodeToString(g.ServerKey) != hex.EncodeToString(peer) {
		return identity{}, fmt.Errorf("%w: it names another server key than the channel's", ErrGrant)
	}
	if len(g.TerminalID) != 8 || g.MerchantID == "" || len(g.MerchantID) > 15 {
		return identity{}, fmt.Errorf("%w: terminal or merchant id", ErrGrant)
	}
	pinned, err := c.pin(ctx, g, peer)
	if err != nil {
		return identity{}, err
	}
	if err := loadKeys(ctx, c.Storage, s, g, pinFormat); err != nil {
		return identity{}, err
	}
	return identity{g.TerminalID, g.MerchantID, g.Merchant, c.DeviceClass, g.ServerKey, pinFormat, pinned}, nil
}

// ask asks for a grant.
func ask(ctx context.Context, s *comm.Session, kind trade.Kind, body any) (g trade.Grant, err error) {
	q, err := trade.Encode(kind, 0, body)
	if err != nil {
		return g, err
	}
	e, err := s.Call(ctx, kind, q.Body)
	if err != nil {
		return g, fmt.Errorf("enrol: %w", err)
	}
	if e.Kind != trade.KindGrant {
		return g, fmt.Errorf("%w: answered with a message of kind %d", ErrGrant, e.Kind)
	}
	if err := e.Decode(&g); err != nil {
		return g, fmt.Errorf("%w: %w", ErrGrant, err)
	}
	return g, nil
}

// loadKeys unwraps the keys of a grant under the key that its channel gives both
// ends.
func loadKeys(ctx context.Context, storage trusted.Storage, s *comm.Session, g trade.Grant, pinFormat uint8) error {
	exported, err := s.Conn().Export(trade.KeyBlockLabel, 32)
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	kbpk := secret.NewBytes(exported)
	defer kbpk.Wipe()
	alg := dukpt.AES128
	if pinFormat == 0 {
		alg = dukpt.TDES
	}
	for _, k := range []struct {
		record, block string
		id            []byte
	}{{pinRecord, g.PINKey, g.PINKeyID}, {macRecord, g.MACKey, g.MACKeyID}} {
		if err := loadKey(ctx, storage, kbpk, alg, k.record, k.block, k.id); err != nil {
			return err
		}
	}
	return nil
}

// loadKey unwraps one initial key and loads it into its DUKPT device.
func loadKey(ctx context.Context, storage trusted.Storage, kbpk secret.Bytes, alg dukpt.Algorithm, record, block string, id []byte) error {
	h, k, err := keyblock.Unwrap(kbpk, block)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGrant, err)
	}
	defer k.Wipe()
	kind, name := byte('A'), "IK"
	if alg == dukpt.TDES {
		kind, name = 'T', "KS"
	}
	if h.Usage != "B1" || h.Algorithm != kind || h.Mode != 'X' {
		return fmt.Errorf("%w: a key block is for usage %s of algorithm %c", ErrGrant, h.Usage, h.Algorithm)
	}
	for _, b := range h.Optional {
		if b.ID == name && !strings.EqualFold(b.Data, hex.EncodeToString(id)) {
			return fmt.Errorf("%w: a key block names another key id", ErrGrant)
		}
	}
	// AES keys of every length are taken; their length is the algorithm's.
	switch {
	case alg != dukpt.TDES && k.Len() == 24:
		alg = dukpt.AES192
	case alg != dukpt.TDES && k.Len() == 32:
		alg = dukpt.AES256
	}
	d, err := dukpt.NewDevice(ctx, alg, k, id, keyState{storage, record})
	if err != nil {
		return fmt.Errorf("enrol: loading a key: %w", err)
	}
	d.Wipe()
	return nil
}

func load(ctx context.Context, s trusted.Storage) (identity, error) {
	var id identity
	b, err := s.Get(ctx, grantRecord)
	if errors.Is(err, trusted.ErrNotFound) {
		return id, ErrNotEnrolled
	}
	if err != nil {
		return id, fmt.Errorf("enrol: %w", err)
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, fmt.Errorf("enrol: stored identity: %w", trusted.ErrTampered)
	}
	return id, nil
}

// Forget removes identity and keys, for a device that is to enrol anew. It must
// not be called while a payment owes anything.
func Forget(ctx context.Context, s trusted.Storage) error {
	for _, name := range []string{grantRecord, pinRecord, macRecord, rotatingRecord} {
		if err := s.Delete(ctx, name); err != nil {
			return fmt.Errorf("enrol: %w", err)
		}
	}
	return nil
}

// keyState is a record as a DUKPT device's store.
type keyState struct {
	s    trusted.Storage
	name string
}

func (k keyState) Load(ctx context.Context) ([]byte, error)     { return k.s.Get(ctx, k.name) }
func (k keyState) Save(ctx context.Context, state []byte) error { return k.s.Put(ctx, k.name, state) }
