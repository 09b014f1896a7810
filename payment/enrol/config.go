package enrol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/payment/trade"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/comm"
	"github.com/payunit/payunit/trusted/config"
)

// askEvery is how often a terminal asks the server for its configuration: in the
// first channel of a process, and again after this time.
const askEvery = 24 * time.Hour

func (c Config) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// store keeps configurations that a key signed.
func (c Config) store(signer []byte) (*config.Store, error) {
	counter := c.Counter
	if counter == nil {
		counter, _ = c.Storage.(trusted.Counter)
	}
	if counter == nil {
		return nil, errors.New("enrol: Config.Counter is nil, and Storage is none: it counts the server's configurations")
	}
	s, err := config.NewStore(config.StoreConfig{Signer: signer, Storage: c.Storage, Counter: counter, Now: c.Now})
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	return s, nil
}

// brought takes what the app brings, signed by a key, and returns the store; nil
// without a key.
func (c Config) brought(ctx context.Context, signer []byte) (*config.Store, error) {
	if len(signer) == 0 {
		if len(c.Configuration) > 0 {
			return nil, errors.New("enrol: Config.Configuration without a key that it is verified under: set Config.ConfigKey")
		}
		return nil, nil
	}
	s, err := c.store(signer)
	if err != nil || len(c.Configuration) == 0 {
		return s, err
	}
	if _, err := s.Take(ctx, c.Configuration); err != nil {
		return nil, fmt.Errorf("enrol: the app's configuration: %w", err)
	}
	return s, nil
}

// enrolling returns the configuration to enrol under, nil when there is none yet, or
// none any more: the grant has to bring one then that is in force (pin).
func (c Config) enrolling(ctx context.Context, s *config.Store) (*config.Statement, error) {
	st, err := s.Current(ctx)
	switch {
	case errors.Is(err, trusted.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("enrol: %w", err)
	}
	var refused *config.Error
	switch err := st.InForce(c.now()); {
	case errors.As(err, &refused) && refused.Reason == config.ReasonExpired:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if !st.Purposes.Has(channel.PurposeEnrol) {
		return nil, fmt.Errorf("enrol: %w", &config.Error{Reason: config.ReasonPurpose, Offset: -1, What: "the server enrols nobody"})
	}
	return &st, nil
}

// pin takes a grant's configuration, and returns the key that signs them from now
// on: the one that the unit was built with, or else the grant's.
func (c Config) pin(ctx context.Context, g trade.Grant, peer []byte) ([]byte, error) {
	signer := c.ConfigKey
	if len(signer) == 0 {
		signer = g.ConfigKey
	}
	if len(signer) == 0 {
		return nil, nil
	}
	s, err := c.store(signer)
	if err != nil {
		return nil, err
	}
	if len(g.Configuration) > 0 {
		if _, err := s.Take(ctx, g.Configuration); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGrant, err)
		}
	}
	st, err := s.Current(ctx)
	if errors.Is(err, trusted.ErrNotFound) {
		return nil, fmt.Errorf("%w: the server has no configuration that is signed", ErrGrant)
	}
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if !st.Lists(peer, c.now()) {
		return nil, fmt.Errorf("%w: the server has a key that its configuration does not list", ErrGrant)
	}
	return signer, nil
}

// server is what a terminal knows of its server.
type server struct {
	// store is nil for one that is known by its static key.
	store *config.Store
	// asked is when it was last asked for its configuration.
	asked time.Time
	// refused is why what it sent was not taken.
	refused refusal
	// client was made at a time, of a version, and is good until another time.
	client      *comm.Client
	version     uint64
	from, until time.Time
}

// clientLocked returns the client for the next channel: one that is made with the
// server's keys of now.
func (t *Terminal) clientLocked(ctx context.Context) (*comm.Client, error) {
	s := &t.server
	if s.store == nil {
		return s.client, nil
	}
	st, err := s.store.Current(ctx)
	if errors.Is(err, trusted.ErrNotFound) {
		return nil, fmt.Errorf("enrol: %w", &config.Error{Reason: config.ReasonKey, Offset: -1, What: "the unit has no configuration of its server: bring it"})
	}
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	now := t.c.now()
	if s.client != nil && s.version == st.Version && !now.Before(s.from) && now.Before(s.until) {
		return s.client, nil
	}
	e := t.end
	e.ServerKey, e.Server = nil, &st
	client, err := t.c.client(e)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	s.client, s.version, s.from, s.until = client, st.Version, now, st.Changes(now)
	return client, nil
}

// Configure takes a configuration of the server that the app brings; the next
// channel is made with it. Errors: config.ErrRefused, those of the storage.
func (t *Terminal) Configure(ctx context.Context, signed []byte) error {
	if t.server.store == nil {
		return errors.New("enrol: this terminal's server is known by its static key, and has no configuration")
	}
	if _, err := t.server.store.Take(ctx, signed); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	return nil
}

// ConfigurationVersion returns the version of the configuration in force, zero
// where the server has none.
func (t *Terminal) ConfigurationVersion(ctx context.Context) (uint64, error) {
	if t.server.store == nil {
		return 0, nil
	}
	st, err := t.server.store.Current(ctx)
	if err != nil {
		return 0, fmt.Errorf("enrol: %w", err)
	}
	return st.Version, nil
}

// ConfigurationRefused returns why what the server last sent as its configuration
// was not taken, nil when it was, or nothing new was sent. The one before stays
// in force, and payments go on.
func (t *Terminal) ConfigurationRefused() error {
	return t.server.refused.get()
}

// refusal is an error that is asked for while the next one may be on its way.
type refusal struct {
	mu  sync.Mutex
	err error
}

func (r *refusal) get() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *refusal) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// updateLocked asks the server for its configuration, when it is time to.
func (t *Terminal) updateLocked(ctx context.Context, s *comm.Session) error {
	now := t.c.now()
	if t.server.store == nil || !t.server.asked.IsZero() && now.Sub(t.server.asked).Abs() < askEvery {
		return nil
	}
	q, err := trade.Encode(trade.KindConfigure, 0, trade.Configure{Digest: t.server.store.Digest(ctx)})
	if err != nil {
		return err
	}
	e, err := s.Call(ctx, trade.KindConfigure, q.Body)
	var said *trade.Error
	if errors.As(err, &said) {
		// It has none to give, or not now.
		return nil
	}
	if err != nil {
		return fmt.Errorf("enrol: asking for the configuration: %w", err)
	}
	var c trade.Configuration
	if e.Kind != trade.KindConfiguration || e.Decode(&c) != nil {
		return fmt.Errorf("enrol: asking for the configuration: %w", comm.ErrProtocol)
	}
	t.server.asked = now
	t.server.refused.set(nil)
	if len(c.Signed) == 0 {
		return nil
	}
	if _, err := t.server.store.Take(ctx, c.Signed); errors.Is(err, config.ErrRefused) {
		t.server.refused.set(err)
	} else if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	return nil
}

// knows reports whether a key is the terminal's server's.
func (t *Terminal) knows(ctx context.Context, key []byte) bool {
	if t.server.store == nil {
		return bytes.Equal(key, t.id.ServerKey)
	}
	st, err := t.server.store.Current(ctx)
	return err == nil && st.Lists(key, t.c.now())
}
