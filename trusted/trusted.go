// Package trusted holds the contracts of a payment unit's trusted modules:
// storage, counters, keys, user interface and the link that an app supplies.
// Each platform brings its own set; trusted/vault, trusted/console and
// trusted/comm are the ones that need nothing but Go.
package trusted

import (
	"context"
	"errors"
	"io"
)

// Errors of Storage, Counter and KeyStore, wrapped with the record's name.
var (
	// ErrNotFound: there is no such record or key.
	ErrNotFound = errors.New("trusted: no such record")
	// ErrTampered: what is stored does not verify: altered, moved, or sealed
	// under another key.
	ErrTampered = errors.New("trusted: stored state was altered")
	// ErrRollback: what is stored is older than what was stored last.
	ErrRollback = errors.New("trusted: stored state was rolled back")
	// ErrInUse: another unit has the same state open.
	ErrInUse = errors.New("trusted: state is in use by another unit")
	// ErrStorageFull: the medium has no room. Nothing was changed.
	ErrStorageFull = errors.New("trusted: storage is full")
)

// Storage keeps sealed records by name. A name is 1 to 100 bytes of a-z, 0-9,
// '-', '_', '.' and '/'. When Put or Delete returns nil the change is durable;
// when it returns an error or the process dies, either the old or the new state
// stands, never a mixture. Safe for concurrent use.
type Storage interface {
	// Get returns the record; the caller owns and wipes the slice. Errors:
	// ErrNotFound, ErrTampered, ErrRollback.
	Get(ctx context.Context, name string) ([]byte, error)
	// Put creates or replaces a record; value is not kept. Errors:
	// ErrStorageFull.
	Put(ctx context.Context, name string, value []byte) error
	// Delete removes a record; one that is not there is no error.
	Delete(ctx context.Context, name string) error
	// List returns the names with a prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
}

// Counter counts for ever: a value is durable before it is returned, and never
// comes twice, crashes included.
type Counter interface {
	// Next adds one to a counter, which starts at zero, and returns it.
	Next(ctx context.Context, name string) (uint64, error)
}

// CounterReader is a Counter that can be read, too. It is found by assertion.
type CounterReader interface {
	// Value returns a counter as the last Next left it, 0 before the first. A
	// counter that hands on to one which can't be read returns an error that
	// wraps errors.ErrUnsupported.
	Value(ctx context.Context, name string) (uint64, error)
}

// KeyStore holds private keys and lets out operations only. Keys are named and
// made on first use.
type KeyStore interface {
	// PublicKey returns the X25519 public key, 32 bytes (RFC 7748).
	PublicKey(ctx context.Context, name string) ([]byte, error)
	// ECDH returns the X25519 shared secret with a peer's public key, 32
	// bytes; the caller wipes it.
	ECDH(ctx context.Context, name string, peer []byte) ([]byte, error)
	// VerificationKey returns the Ed25519 public key, 32 bytes (RFC 8032).
	VerificationKey(ctx context.Context, name string) ([]byte, error)
	// Sign returns an Ed25519 signature of message, 64 bytes.
	Sign(ctx context.Context, name string, message []byte) ([]byte, error)
}

// Link is what the app implements: a way for opaque bytes to the payment
// server. Everything that passes is encrypted and authenticated end to end.
type Link interface {
	// Open makes a new connection. The unit closes it.
	Open(ctx context.Context) (io.ReadWriteCloser, error)
}
