package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/trusted/tpm"
	"github.com/payunit/payunit/trusted/vault"
)

// storage is what -storage names.
type storage struct {
	// tpm is the address of a TPM; without one a key file seals the state.
	tpm   string
	index uint32
	lines *lines
}

func parseStorage(s string) (storage, error) {
	if s == "vault" {
		return storage{lines: &lines{}}, nil
	}
	address, ok := strings.CutPrefix(s, "tpm:")
	address, index, indexed := strings.Cut(address, "@")
	if !ok || address == "" {
		return storage{}, fmt.Errorf("%q is neither vault nor tpm:ADDR", s)
	}
	out := storage{tpm: address, index: tpm.DefaultIndex, lines: &lines{}}
	if indexed {
		n, err := strconv.ParseUint(index, 16, 32)
		if err != nil {
			return storage{}, fmt.Errorf("NV index %q is no hexadecimal number of 32 bits", index)
		}
		out.index = uint32(n)
	}
	return out, nil
}

func (s storage) config(c tpm.Transport) tpm.Config {
	// The kernel's resource manager has its own order; a bare TPM is ours.
	return tpm.Config{TPM: c, Index: s.index, Device: "pay", Exclusive: !strings.HasPrefix(s.tpm, "/dev/")}
}

// tpmState is a state with its way to the TPM.
type tpmState struct {
	*tpm.Store
	conn *line
}

func (s tpmState) Close() error { return errors.Join(s.Store.Close(), s.conn.Close()) }

// open says in c where the state is. It is called for each attempt to open a
// unit, which closes it.
func (s storage) open(ctx context.Context, dir string, c *softunit.Config) error {
	dir = filepath.Join(dir, "unit")
	if s.tpm == "" {
		c.Dir, c.Key = dir, vault.InsecureKeyFile()
		return nil
	}
	conn, err := s.lines.connect(s.tpm)
	if err != nil {
		return err
	}
	tc := s.config(conn)
	tc.Rand = c.Rand
	store, err := tpm.Open(ctx, dir, tc)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	c.State = tpmState{store, conn}
	return nil
}

// forget removes the counter of a state that is gone.
func (s storage) forget(ctx context.Context) error {
	conn, err := s.lines.connect(s.tpm)
	if err != nil {
		return err
	}
	return errors.Join(tpm.Forget(ctx, s.config(conn)), conn.Close())
}
