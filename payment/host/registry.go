package host

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/payment/host/ledger"
	"github.com/payunit/payunit/trusted"
)

// RegistryConfig makes a Registry.
type RegistryConfig struct {
	// Ledger is where terminals and activations are kept. No default.
	Ledger ledger.Ledger
	// Key is 32 bytes from which activation secrets derive, so that the
	// ledger holds none, and which digests in the ledger are keyed with. It
	// has to stay the same over the life of the ledger. No default.
	Key secret.Bytes
	// MinimumAssurance is the weakest level that a device may have: what its
	// evidence proves, and no better than its weakest module, which it
	// declares. Zero takes any.
	MinimumAssurance channel.Assurance
	// Lifetime is how long an activation can be used; zero means a day.
	Lifetime time.Duration
	// Rand is the source of activation ids; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Registry knows which terminals there are and who may become one. Its methods
// Authorize and ActivationKey are what noise.ServerConfig asks for. It is safe
// for concurrent use.
type Registry struct{ c RegistryConfig }

// NewRegistry makes a registry. Errors wrap ErrConfig.
func NewRegistry(c RegistryConfig) (*Registry, error) {
	switch {
	case c.Ledger == nil:
		return nil, fmt.Errorf("%w: Ledger is nil and has no default", ErrConfig)
	case c.Key.Len() != 32:
		return nil, fmt.Errorf("%w: Key of %d bytes, want 32", ErrConfig, c.Key.Len())
	}
	if c.Lifetime <= 0 {
		c.Lifetime = 24 * time.Hour
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Registry{c}, nil
}

// Merchant is whom a terminal's payments are for.
type Merchant struct {
	// ID is the merchant id, ISO 8583 DE 42: up to 15 printable ASCII
	// characters without spaces.
	ID string
	// Name is shown to cardholders, up to 40 characters.
	Name string
}

func (m Merchant) check() error {
	if !word(m.ID, 15) {
		return fmt.Errorf("%w: merchant id: want 1 to 15 printable ASCII characters without spaces", ErrConfig)
	}
	if m.Name == "" || len(m.Name) > 40 {
		return fmt.Errorf("%w: merchant name: want 1 to 40 bytes", ErrConfig)
	}
	return nil
}

// word reports whether s is one to most printable ASCII characters, no space.
func word(s string, most int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// CreateActivation makes a code under which one unit can enrol, once, as a
// terminal of the merchant. The caller wipes it.
func (r *Registry) CreateActivation(ctx context.Context, m Merchant) (noise.Activation, error) {
	if err := m.check(); err != nil {
		return noise.Activation{}, err
	}
	raw := make([]byte, 5, 5+16)
	if _, err := io.ReadFull(r.c.Rand, raw); err != nil {
		return noise.Activation{}, fmt.Errorf("host: activation id: %w", err)
	}
	a, err := r.activation(raw)
	if err != nil {
		return noise.Activation{}, err
	}
	err = r.c.Ledger.Update(ctx, func(tx ledger.Tx) error {
		if _, err := tx.Activation(a.ID); !errors.Is(err, ledger.ErrNotFound) {
			return errors.Join(err, fmt.Errorf("%w: activation id in use", ledger.ErrConflict))
		}
		return tx.PutActivation(ledger.Activation{ID: a.ID, MerchantID: m.ID, Merchant: m.Name, Expires: r.c.Now().Add(r.c.Lifetime)})
	})
	if err != nil {
		a.Wipe()
		return noise.Activation{}, fmt.Errorf("host: creating an activation: %w", err)
	}
	return a, nil
}

// activation is the activation of an id: its secret is a function of the id.
func (r *Registry) activation(id []byte) (noise.Activation, error) {
	sum := r.keyed("activation", id)
	defer clear(sum)
	b := append(append(make([]byte, 0, 21), id...), sum[:16]...)
	defer clear(b)
	a, err := noise.NewActivation(bytes.NewReader(b))
	if err != nil {
		return noise.Activation{}, fmt.Errorf("host: activation: %w", err)
	}
	return a, nil
}

// keyed is an HMAC under the registry's key, for one use.
func (r *Registry) keyed(use string, data []byte) []byte {
	m := hmac.New(sha256.New, r.c.Key.Reveal())
	m.Write([]byte("payunit host " + use + "\x00"))
	m.Write(data)
	return m.Sum(nil)
}

var errNotAdmitted = errors.New("host: not admitted")

// ActivationKey returns the pre-shared key of an activation that can be used.
// The caller wipes it.
func (r *Registry) ActivationKey(ctx context.Context, id string) (secret.Bytes, error) {
	err := r.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		_, err := r.usable(tx, id, nil)
		return err
	})
	if err != nil {
		return secret.Bytes{}, err
	}
	raw, err := base32.StdEncoding.DecodeString(id)
	if err != nil || len(raw) != 5 {
		return secret.Bytes{}, fmt.Errorf("%w: activation id", errNotAdmitted)
	}
	a, err := r.activation(raw)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer a.Wipe()
	return a.PSK()
}

// usable returns the activation when it may be used: it was not, and has not
// expired. One that was used may be used again by the same device, as long as
// the terminal has sent nothing: the answer to its enrolment was lost. Without a
// device key, any device may be that one.
func (r *Registry) usable(tx ledger.Tx, id string, device []byte) (ledger.Activation, error) {
	a, err := tx.Activation(id)
	if err != nil {
		return a, fmt.Errorf("%w: %w", errNotAdmitted, err)
	}
	if r.c.Now().After(a.Expires) {
		return a, fmt.Errorf("%w: the activation has expired", errNotAdmitted)
	}
	if a.Terminal == "" {
		return a, nil
	}
	t, err := tx.Terminal(a.Terminal)
	if err != nil {
		return a, err
	}
	if t.MACKeys.High != 0 || t.PINKeys.High != 0 || device != nil && !bytes.Equal(device, t.DeviceKey) {
		return a, fmt.Errorf("%w: the activation was used", errNotAdmitted)
	}
	return a, nil
}

// Authorize says whether a peer, as the handshake proved it, may have a channel.
func (r *Registry) Authorize(ctx context.Context, peer channel.Identity) error {
	if level := min(peer.Claims.Assurance, trusted.DeclaredLevel(peer.DeviceClass)); level < r.c.MinimumAssurance {
		return fmt.Errorf("%w: the device is of the level %v, want at least %v", errNotAdmitted, level, r.c.MinimumAssurance)
	}
	return r.c.Ledger.View(ctx, func(tx ledger.Tx) error {
		switch peer.Purpose {
		case channel.PurposePay, channel.PurposeResume:
			_, err := r.terminal(tx, peer)
			return err
		case channel.PurposeEnrol:
			_, err := r.usable(tx, peer.ActivationID, peer.Key)
			return err
		}
		return fmt.Errorf("%w: purpose %v", errNotAdmitted, peer.Purpose)
	})
}

// terminal returns the terminal that a peer is: the one with its key, if it also
// calls itself so and gives the evidence that it enrolled with.
func (r *Registry) terminal(tx ledger.Tx, peer channel.Identity) (ledger.Terminal, error) {
	pays := peer.Purpose == channel.PurposePay || peer.Purpose == channel.PurposeResume
	if !pays || len(peer.Key) == 0 {
		return ledger.Terminal{}, fmt.Errorf("%w: not a channel for payments", errNotAdmitted)
	}
	t, err := tx.TerminalByKey(peer.Key)
	if err != nil {
		return t, fmt.Errorf("%w: %w", errNotAdmitted, err)
	}
	if t.ID != peer.TerminalID || t.MerchantID != peer.MerchantID {
		return t, fmt.Errorf("%w: the device declares another terminal than it is", errNotAdmitted)
	}
	// A verifier accepts any device of a kind; this one has to be the device
	// that enrolled, and no worse protected than it was then.
	if t.Device != peer.Claims.Device || peer.Claims.Assurance < channel.Assurance(t.Assurance) {
		return t, fmt.Errorf("%w: the evidence is not that of the device that enrolled", errNotAdmitted)
	}
	return t, nil
}
