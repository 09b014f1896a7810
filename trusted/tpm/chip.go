package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
)

// nonceLen is the length of session nonces.
const nonceLen = 16

// chip is a TPM, one command at a time.
type chip struct {
	mu    sync.Mutex
	t     Transport
	owner secret.Bytes
	// over ends the waiting for a busy TPM.
	over <-chan struct{}
}

// perform runs f with the TPM to itself, and returns without it when ctx ends
// first: no command can be called back. What f gives after that is dropped.
func perform[T any](ctx context.Context, c *chip, doing string, drop func(T), f func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("tpm: %s: %w", doing, err)
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := ctx.Err(); err != nil {
			done <- result{err: err} // nobody waits: another's command hung so long
			return
		}
		c.over = ctx.Done()
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return none, fmt.Errorf("tpm: %s: %w", doing, classify(r.err))
		}
		return r.v, nil
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil && drop != nil {
				drop(r.v)
			}
		}()
		return none, fmt.Errorf("tpm: %s: %w", doing, ctx.Err())
	}
}

// patience is how long a busy TPM is asked again; the waits double up to it.
const patience = 2 * time.Second

// Send sends a command, and again when the TPM answers that it has not executed
// it and that it may be repeated as it is (TPM 2.0 Part 2, 6.6.3).
func (c *chip) Send(command []byte) ([]byte, error) {
	for wait := time.Millisecond; ; wait *= 2 {
		r, err := c.t.Send(command)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTPM, err)
		}
		if len(r) < 10 {
			return nil, fmt.Errorf("%w: answer of %d bytes", ErrTPM, len(r))
		}
		switch tpm2.TPMRC(binary.BigEndian.Uint32(r[6:])) {
		case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate:
		default:
			return r, nil
		}
		if wait > patience {
			return r, nil
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-c.over:
			t.Stop()
			return r, nil
		}
	}
}

// classify names what callers branch on.
func classify(err error) error {
	for code, is := range map[tpm2.TPMRC]error{
		tpm2.TPMRCLockout:   ErrLockout,
		tpm2.TPMRCAuthFail:  ErrAuth,
		tpm2.TPMRCBadAuth:   ErrAuth,
		tpm2.TPMRCIntegrity: trusted.ErrTampered,
	} {
		if errors.Is(err, code) {
			return fmt.Errorf("%w: %w", is, err)
		}
	}
	for _, is := range []error{trusted.ErrTampered, trusted.ErrRollback, ErrAuth, ErrTPM} {
		if errors.Is(err, is) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrTPM, err)
}

// root is the storage root key, loaded: the TCG's template on P-256, made anew
// from the owner's seed each time, and the same each time until the TPM is
// cleared.
type root struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public tpm2.TPMTPublic
}

func (c *chip) root() (*root, error) {
	r, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, nonceLen, tpm2.Auth(c.owner.Reveal()))},
		InPublic:      tpm2.New2B(tpm2.ECCSRKTemplate),
	}.Execute(c)
	if err != nil {
		return nil, fmt.Errorf("storage root key: %w", err)
	}
	p, err := r.OutPublic.Contents()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("storage root key: %w", err), c.flush(r.ObjectHandle))
	}
	// The name is the TPM's word for the key; it is the key's hash.
	name, err := tpm2.ObjectName(p)
	if err != nil || string(name.Buffer) != string(r.Name.Buffer) {
		return nil, errors.Join(fmt.Errorf("storage root key: its name is not its own: %w", ErrTPM), err, c.flush(r.ObjectHandle))
	}
	return &root{r.ObjectHandle, r.Name, *p}, nil
}

// session is a session salted to the root, for one command: it proves auth, and
// encrypts the first parameter in the directions given.
func (r *root) session(auth []byte, encrypt tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, nonceLen, tpm2.Auth(auth), encrypt, tpm2.Salted(r.handle, r.public))
}

// as names the root as a parent, used with a session.
func (r *root) as(s tpm2.Session) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: r.handle, Name: r.name, Auth: s}
}

func encryptIn() tpm2.AuthOption  { return tpm2.AESEncryption(128, tpm2.EncryptIn) }
func encryptOut() tpm2.AuthOption { return tpm2.AESEncryption(128, tpm2.EncryptOut) }
func encryptBoth() tpm2.AuthOption {
	return tpm2.AESEncryption(128, tpm2.EncryptInOut)
}

func (c *chip) flush(h tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: h}.Execute(c)
	return err
}

// unload flushes every transient object and every session.
func (c *chip) unload(ctx context.Context) error {
	_, err := perform(ctx, c, "unloading what is left of an earlier process", nil, func() (struct{}, error) {
		for _, kind := range []tpm2.TPMHT{tpm2.TPMHTTransient, tpm2.TPMHTHMACSession, tpm2.TPMHTPolicySession} {
			r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(kind) << 24, PropertyCount: 64}.Execute(c)
			if err != nil {
				return struct{}{}, err
			}
			handles, err := r.CapabilityData.Data.Handles()
			if err != nil {
				return struct{}{}, err
			}
			for _, h := range handles.Handle {
				if err := c.flush(h); err != nil {
					return struct{}{}, err
				}
			}
		}
		return struct{}{}, nil
	})
	return err
}
