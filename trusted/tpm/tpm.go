// Package tpm is trusted storage over a TPM 2.0 (ISO/IEC 11889): the folder of a
// trusted/vault whose sealing key only this TPM gives out, and whose age a
// counter in its non-volatile memory knows, so that an older copy of the folder
// does not open. It keeps P-256 keys that never leave the TPM, too.
//
// What passes between processor and TPM is protected by sessions: HMACs over
// commands and answers, and AES-128-CFB over whatever is secret, under a key
// that is salted to the TPM's storage root key. Who sits on the bus reads no
// secret. Who can exchange bytes on the bus, and files in the folder, can stand
// in for the storage root key: against that, set Config.Auth, which then is part
// of the session's keys.
//
// While the state is open its sealing key is in the process's memory, and so are
// the keys of trusted.KeyStore: the assurance level is that of the software.
// Only the keys of P256 are the TPM's.
package tpm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

// Errors that callers branch on.
var (
	// ErrLockout: the TPM takes no authorisation, right or wrong, after too
	// many wrong ones. It recovers with time, or by its owner's
	// TPM2_DictionaryAttackLockReset.
	ErrLockout = errors.New("tpm: locked out after wrong authorisations")
	// ErrAuth: the authorisation value is wrong.
	ErrAuth = errors.New("tpm: wrong authorisation")
	// ErrTPM: the TPM, or the way to it, does not work.
	ErrTPM = errors.New("tpm: not working")
)

// DefaultIndex is the NV index of the counter, in the range that is the owner's
// (TCG Registry of Reserved TPM 2.0 Handles, 2.2).
const DefaultIndex = 0x0180_5055

// Transport is a way to a TPM: one command in, one response out. Connect gives
// one, and so do go-tpm's transports.
type Transport interface {
	Send(command []byte) (response []byte, err error)
}

// Config configures a store.
type Config struct {
	// TPM is the way to the TPM. The store does not close it. No default.
	TPM Transport
	// Auth is the authorisation value of the sealed key, 1 to 32 bytes of which
	// none is zero. Without one whoever can use the TPM can open the folder.
	Auth secret.Bytes
	// OwnerAuth is the authorisation value of the owner hierarchy; empty on
	// most machines.
	OwnerAuth secret.Bytes
	// Index is the NV index of the counter; zero means DefaultIndex. Each
	// folder needs its own.
	Index uint32
	// Device names the device that the folder belongs to, as in vault.Config.
	Device string
	// Rand is the source of the sealing key; nil means crypto/rand.
	Rand io.Reader
	// Exclusive says that nobody else uses the TPM and that no resource
	// manager stands before it, as before a socket of swtpm: Open then
	// unloads what an earlier process left in it.
	Exclusive bool
}

func (c *Config) check() error {
	if c.TPM == nil {
		return errors.New("tpm: Config.TPM is nil and has no default")
	}
	if c.Auth.Len() > 32 {
		return fmt.Errorf("tpm: Config.Auth has %d bytes, at most 32", c.Auth.Len())
	}
	for name, auth := range map[string]secret.Bytes{"Auth": c.Auth, "OwnerAuth": c.OwnerAuth} {
		// go-tpm v0.9.8 cuts a value off at its first zero byte.
		if bytes.IndexByte(auth.Reveal(), 0) >= 0 {
			return fmt.Errorf("tpm: Config.%s has a zero byte", name)
		}
	}
	if c.Index == 0 {
		c.Index = DefaultIndex
	}
	if c.Index>>22 != DefaultIndex>>22 {
		return fmt.Errorf("tpm: Config.Index is %08X, want 01800000 to 01BFFFFF", c.Index)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return nil
}

// Store is an open folder. Safe for concurrent use.
type Store struct {
	*vault.Vault
	chip    *chip
	counter *counter
	rand    io.Reader
	// auth is the caller's authorisation value, keyAuth that of the keys in
	// the TPM, which derives from the sealed secret.
	auth, keyAuth secret.Bytes
	making        chan struct{} // held by who makes a key
}

var (
	_ trusted.Storage  = (*Store)(nil)
	_ trusted.Counter  = (*Store)(nil)
	_ trusted.KeyStore = (*Store)(nil)
	_ trusted.Assured  = (*Store)(nil)
)

// Open opens the folder, or makes it and defines its counter. Errors: ErrAuth,
// ErrLockout, ErrTPM, and those of vault.Open: trusted.ErrRollback when the
// folder is older than the counter, or gone while the counter is there;
// trusted.ErrTampered when anything in it was altered, or when it was sealed by
// another TPM.
func Open(ctx context.Context, dir string, c Config) (*Store, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	chip := &chip{t: c.TPM, owner: c.OwnerAuth}
	if c.Exclusive {
		if err := chip.unload(ctx); err != nil {
			return nil, err
		}
	}
	s := &Store{chip: chip, counter: &counter{chip: chip, index: c.Index}, rand: c.Rand, auth: c.Auth.Clone(), making: make(chan struct{}, 1)}
	opened, gone := make(chan error), make(chan struct{})
	go func() {
		// Without ctx: until the TPM has answered, its last command needs what
		// would be wiped.
		var err error
		s.Vault, err = vault.Open(context.WithoutCancel(ctx), dir, vault.Config{Key: s.source(s.counter), Rand: c.Rand, Device: c.Device, Anchor: s.counter})
		select {
		case opened <- err:
			return
		case <-gone:
		}
		if err == nil {
			_ = s.Vault.Close() // nobody is there to be told, and nothing is pending
		}
		s.wipe()
	}()
	select {
	case err := <-opened:
		if err != nil {
			s.wipe()
			return nil, err
		}
		return s, nil
	case <-ctx.Done():
		close(gone)
		return nil, fmt.Errorf("tpm: opening: %w", ctx.Err())
	}
}

// wipe waits for the command under way: wiped authorisations would count as
// wrong ones.
func (s *Store) wipe() {
	s.chip.mu.Lock()
	defer s.chip.mu.Unlock()
	s.auth.Wipe()
	s.keyAuth.Wipe()
	s.counter.auth.Wipe()
}

// Close closes the folder. It waits for a command under way.
func (s *Store) Close() error {
	err := s.Vault.Close()
	s.wipe()
	return err
}

// Assurance returns channel.AssuranceSoftware: the open folder's key is in this
// process's memory.
func (*Store) Assurance() channel.Assurance { return channel.AssuranceSoftware }

// Forget removes the counter of a folder that is gone, so that the device can
// begin anew. A folder that is still there does not open any more.
func Forget(ctx context.Context, c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	return (&counter{chip: &chip{t: c.TPM, owner: c.OwnerAuth}, index: c.Index}).undefine(ctx)
}
