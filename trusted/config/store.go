package config

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/trusted"
)

// MaxStep bounds how many versions a unit goes forward at once: it counts each. A new
// unit counts from 0, and takes none of a greater version.
const MaxStep = 4096

// StoreConfig makes a Store.
type StoreConfig struct {
	// Signer is the key that signs configurations, Ed25519, 32 bytes. It is
	// what the unit trusts. No default.
	Signer ed25519.PublicKey
	// Storage keeps the configuration. No default.
	Storage trusted.Storage
	// Counter counts versions: the value of a counter of the signer's own is
	// the newest version that was taken, so that an older record which
	// somebody puts back is noticed. Of one that is no trusted.CounterReader
	// only the record, and so Storage's own protection, speaks against
	// rollback. No default.
	Counter trusted.Counter
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Store keeps a unit's configuration. Safe for concurrent use; of the same signer,
// storage and counter there is one Store at a time, or the count runs ahead.
type Store struct {
	c    StoreConfig
	name string

	// turn is held by who uses what follows: a mutex whose waiting ends with a
	// context, since a storage or a counter may take its time.
	turn   chan struct{}
	loaded bool
	bytes  []byte
	now    Statement
}

// NewStore makes a store, which reads when it is first asked.
func NewStore(c StoreConfig) (*Store, error) {
	switch {
	case len(c.Signer) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("config: Signer of %d bytes, want %d: it has no default", len(c.Signer), ed25519.PublicKeySize)
	case c.Storage == nil:
		return nil, errors.New("config: Storage is nil and has no default")
	case c.Counter == nil:
		return nil, errors.New("config: Counter is nil and has no default")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Signer = slices.Clone(c.Signer)
	sum := sha256.Sum256(c.Signer)
	return &Store{c: c, name: "configuration/" + hex.EncodeToString(sum[:8]), turn: make(chan struct{}, 1)}, nil
}

func (s *Store) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("config: waiting for what is under way: %w", ctx.Err())
	}
}

func (s *Store) leave() { <-s.turn }

// Signer returns the key that signs.
func (s *Store) Signer() ed25519.PublicKey { return slices.Clone(s.c.Signer) }

// Current returns the configuration in force. Its times are the caller's to
// judge (Statement.Use). Errors: trusted.ErrNotFound when none was taken yet,
// an *Error of ReasonRollback, ReasonSignature or ReasonFormat for a record that
// was put back or altered, those of the storage.
func (s *Store) Current(ctx context.Context) (Statement, error) {
	if err := s.enter(ctx); err != nil {
		return Statement{}, err
	}
	defer s.leave()
	if err := s.loadLocked(ctx); err != nil {
		return Statement{}, err
	}
	return s.now, nil
}

// Digest returns SHA-256 of the configuration in force, nil when there is none
// that can be used.
func (s *Store) Digest(ctx context.Context) []byte {
	if s.enter(ctx) != nil {
		return nil
	}
	defer s.leave()
	if s.loadLocked(ctx) != nil {
		return nil
	}
	sum := sha256.Sum256(s.bytes)
	return sum[:]
}

// rolledBack is trusted.ErrRollback too.
func rolledBack(format string, a ...any) error {
	return &Error{Reason: ReasonRollback, Offset: -1, What: fmt.Sprintf(format, a...), err: trusted.ErrRollback}
}

func (s *Store) loadLocked(ctx context.Context) error {
	if s.loaded {
		return nil
	}
	counted, known, err := s.valueLocked(ctx)
	if err != nil {
		return err
	}
	b, err := s.c.Storage.Get(ctx, s.name)
	switch {
	case errors.Is(err, trusted.ErrNotFound) && counted > 0:
		return rolledBack("version %d was taken, and its record is gone: bring it, or a newer one", counted)
	case err != nil:
		return fmt.Errorf("config: %w", err)
	}
	st, err := Verify(b, s.c.Signer)
	if err != nil {
		return fmt.Errorf("config: what is stored: %w", err)
	}
	switch {
	case known && st.Version < counted:
		return rolledBack("version %d is stored, and %d was taken: bring the newest", st.Version, counted)
	case known && st.Version > counted:
		// The record was written, and the count was cut off: it goes on.
		if err := s.countLocked(ctx, counted, st.Version); err != nil {
			return err
		}
	}
	s.loaded, s.bytes, s.now = true, b, st
	return nil
}

// valueLocked returns the newest version that was taken, 0 for none, and whether
// the counter can tell.
func (s *Store) valueLocked(ctx context.Context) (n uint64, known bool, err error) {
	r, ok := s.c.Counter.(trusted.CounterReader)
	if !ok {
		return 0, false, nil
	}
	n, err = r.Value(ctx, s.name)
	if errors.Is(err, errors.ErrUnsupported) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("config: %w", err)
	}
	return n, true, nil
}

func (s *Store) countLocked(ctx context.Context, from, to uint64) error {
	if to-from > MaxStep {
		return refuse(ReasonVersion, "version %d follows %d: a unit goes forward by %d at most", to, from, MaxStep)
	}
	for from < to {
		n, err := s.c.Counter.Next(ctx, s.name)
		if err != nil {
			return fmt.Errorf("config: %w", err)
		}
		if n <= from {
			return fmt.Errorf("config: %s counted %d after %d: %w", s.name, n, from, trusted.ErrRollback)
		}
		from = n
	}
	return nil
}

// Take verifies a configuration, whoever brings it, and puts it in force. It
// reports whether it is another than the one before: the same bytes again are no
// error. After an *Error the one before stays in force; after one of the storage or
// the counter, or when ctx ended, one of the two is, and the next call says which.
func (s *Store) Take(ctx context.Context, b []byte) (changed bool, err error) {
	st, err := Verify(b, s.c.Signer)
	if err != nil {
		return false, err
	}
	if err := st.InForce(s.c.Now()); err != nil {
		return false, err
	}
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	defer s.leave()
	newest := uint64(0)
	switch err := s.loadLocked(ctx); {
	case err == nil:
		newest = s.now.Version
		if st.Version == newest && !bytes.Equal(b, s.bytes) {
			return false, refuse(ReasonConflict, "version %d was taken already, and says something else: its signer used a version twice", newest)
		}
		if bytes.Equal(b, s.bytes) {
			return false, nil
		}
	case errors.Is(err, trusted.ErrNotFound), errors.Is(err, ErrRefused):
		// None, or one that can't be used: this one mends it, if it is no
		// older than what was counted.
	default:
		return false, err
	}
	counted, known, err := s.valueLocked(ctx)
	if err != nil {
		return false, err
	}
	if newest = max(newest, counted); st.Version < newest {
		return false, rolledBack("version %d is offered, and %d was taken", st.Version, newest)
	}
	if (known || newest > 0) && st.Version-newest > MaxStep {
		return false, refuse(ReasonVersion, "version %d follows %d: a unit goes forward by %d at most", st.Version, newest, MaxStep)
	}
	// The record goes first: cut off here, it is ahead of the count, which the
	// next load mends. The other way round it would look rolled back.
	if err := s.c.Storage.Put(ctx, s.name, b); err != nil {
		s.loaded = false
		return false, fmt.Errorf("config: %w", err)
	}
	if known {
		if err := s.countLocked(ctx, counted, st.Version); err != nil {
			s.loaded = false
			return false, err
		}
	}
	s.loaded, s.bytes, s.now = true, slices.Clone(b), st
	return true, nil
}
