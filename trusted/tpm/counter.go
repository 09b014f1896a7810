package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/vault"
)

// counter is a vault.Anchor in the TPM's non-volatile memory. A TPM lets no
// counter begin below the highest that any counter ever had, so that one which
// was removed and defined anew is no way back either (TPM 2.0 Part 1, 37.2.4).
type counter struct {
	chip  *chip
	index uint32
	// auth derives from the sealed secret: only who opens the folder counts.
	// It is too long to be guessed, so that wrong ones are not counted.
	auth secret.Bytes
}

var _ vault.Anchor = (*counter)(nil)

func (c *counter) public() tpm2.TPMSNVPublic {
	return tpm2.TPMSNVPublic{
		NVIndex:    tpm2.TPMHandle(c.index),
		NameAlg:    tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, NoDA: true, NT: tpm2.TPMNTCounter},
		DataSize:   8,
	}
}

// name returns the index's name and whether it was ever counted, nil if it is
// not there.
func (c *counter) name() (*tpm2.TPM2BName, bool, error) {
	r, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(c.index)}.Execute(c.chip)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	p, err := r.NVPublic.Contents()
	if err != nil {
		return nil, false, err
	}
	written := p.Attributes.Written
	want := c.public()
	want.Attributes.Written = written
	name, err := tpm2.NVName(&want)
	if err != nil {
		return nil, false, err
	}
	if string(name.Buffer) != string(r.NVName.Buffer) {
		return nil, false, fmt.Errorf("NV index %08X is something else than this folder's counter: %w", c.index, trusted.ErrTampered)
	}
	return name, written, nil
}

// exists reports whether there is anything at the index.
func (c *counter) exists(ctx context.Context) (bool, error) {
	return perform(ctx, c.chip, "looking for the counter", nil, func() (bool, error) {
		name, _, err := c.name()
		if errors.Is(err, trusted.ErrTampered) {
			return true, nil
		}
		return name != nil, err
	})
}

func (c *counter) as(name *tpm2.TPM2BName) (tpm2.AuthHandle, tpm2.NamedHandle) {
	h := tpm2.TPMHandle(c.index)
	return tpm2.AuthHandle{Handle: h, Name: *name, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, nonceLen, tpm2.Auth(c.auth.Reveal()))}, tpm2.NamedHandle{Handle: h, Name: *name}
}

// read reads a counter that was counted.
func (c *counter) read(name *tpm2.TPM2BName) (uint64, error) {
	auth, index := c.as(name)
	r, err := tpm2.NVRead{AuthHandle: auth, NVIndex: index, Size: 8}.Execute(c.chip)
	if err != nil {
		return 0, c.foreign(err)
	}
	if len(r.Data.Buffer) != 8 {
		return 0, fmt.Errorf("counter of %d bytes: %w", len(r.Data.Buffer), ErrTPM)
	}
	return binary.BigEndian.Uint64(r.Data.Buffer), nil
}

// foreign: a counter that does not take our authorisation is another's.
func (c *counter) foreign(err error) error {
	if errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCBadAuth) {
		// The code is left out: it is no wrong authorisation of the caller's.
		return fmt.Errorf("the counter at NV index %08X is another folder's: %w", c.index, trusted.ErrTampered)
	}
	return err
}

// Value implements vault.Anchor.
func (c *counter) Value(ctx context.Context) (uint64, error) {
	return perform(ctx, c.chip, "reading the counter", nil, func() (uint64, error) {
		name, written, err := c.name()
		if err != nil || !written {
			return 0, err
		}
		return c.read(name)
	})
}

// Advance implements vault.Anchor.
func (c *counter) Advance(ctx context.Context) (uint64, error) {
	return perform(ctx, c.chip, "advancing the counter", nil, func() (uint64, error) {
		name, written, err := c.name()
		if err != nil {
			return 0, err
		}
		if name == nil {
			if name, err = c.define(); err != nil {
				return 0, err
			}
		}
		auth, index := c.as(name)
		if _, err := (tpm2.NVIncrement{AuthHandle: auth, NVIndex: index}).Execute(c.chip); err != nil {
			return 0, c.foreign(err)
		}
		if !written {
			if name, _, err = c.name(); err != nil || name == nil {
				return 0, errors.Join(err, fmt.Errorf("the counter went away: %w", ErrTPM))
			}
		}
		return c.read(name)
	})
}

// define makes the counter. Its authorisation value passes encrypted.
func (c *counter) define() (_ *tpm2.TPM2BName, err error) {
	root, err := c.chip.root()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.chip.flush(root.handle)) }()
	p := c.public()
	if _, err := (tpm2.NVDefineSpace{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: root.session(c.chip.owner.Reveal(), encryptIn())},
		Auth:       tpm2.TPM2BAuth{Buffer: c.auth.Reveal()},
		PublicInfo: tpm2.New2B(p),
	}).Execute(c.chip); err != nil {
		return nil, fmt.Errorf("defining it: %w", err)
	}
	return tpm2.NVName(&p)
}

func (c *counter) undefine(ctx context.Context) error {
	_, err := perform(ctx, c.chip, "removing the counter", nil, func() (struct{}, error) {
		r, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(c.index)}.Execute(c.chip)
		if errors.Is(err, tpm2.TPMRCHandle) {
			return struct{}{}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		_, err = tpm2.NVUndefineSpace{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, nonceLen, tpm2.Auth(c.chip.owner.Reveal()))},
			NVIndex:    tpm2.NamedHandle{Handle: tpm2.TPMHandle(c.index), Name: r.NVName},
		}.Execute(c.chip)
		return struct{}{}, err
	})
	return err
}
