package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/payunit/payunit/channel/attest/tpm/akca"
	"github.com/payunit/payunit/channel/attest/tpm/tpmdevice"
	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/trusted/tpm"
)

// lines are the ways to TPMs that are open. A software TPM has one connection at a
// time, and -storage and -attest may name the same.
type lines struct {
	mu   sync.Mutex
	open map[string]*line
}

// line is a way to a TPM that several use.
type line struct {
	*tpm.Conn
	of    *lines
	name  string
	users int
}

// connect returns the way to a TPM, which each user closes.
func (l *lines) connect(address string) (*line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.open[address]; x != nil {
		x.users++
		return x, nil
	}
	c, err := tpm.Connect(address)
	if err != nil {
		return nil, err
	}
	x := &line{Conn: c, of: l, name: address, users: 1}
	if l.open == nil {
		l.open = map[string]*line{}
	}
	l.open[address] = x
	return x, nil
}

// Close ends one use.
func (x *line) Close() error {
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	if x.users--; x.users > 0 {
		return nil
	}
	delete(x.of.open, x.name)
	return x.Conn.Close()
}

// registers are those that are quoted: firmware, boot manager and secure boot's
// state (TCG PC Client Platform Firmware Profile, 2.3.4).
var registers = []uint{0, 2, 4, 7}

// parseAttest reads what -attest names: the address of a TPM, empty for software.
func parseAttest(s string) (string, error) {
	if s == "software" {
		return "", nil
	}
	address, ok := strings.CutPrefix(s, "tpm:")
	if !ok || address == "" {
		return "", fmt.Errorf("%q is neither software nor tpm:ADDR", s)
	}
	return address, nil
}

// attestation makes the device attest by what -attest names. Its key is certified by
// the bank, once for each state.
func (d *demonstration) attestation(ctx context.Context, c *softunit.Config) error {
	if d.o.attest == "" {
		return nil
	}
	conn, err := d.o.storage.lines.connect(d.o.attest)
	if err != nil {
		return fmt.Errorf("-attest: %w", err)
	}
	d.closing = append(d.closing, conn.Close)
	a, err := tpmdevice.New(tpmdevice.Config{TPM: conn, PCRs: registers})
	if err != nil {
		return fmt.Errorf("-attest: %w", err)
	}
	der, err := d.certificate(ctx, a)
	if err != nil {
		return fmt.Errorf("-attest: %w", err)
	}
	a.Certify([][]byte{der})
	c.Attester = a
	d.screen.line("unit", "attests by the TPM at "+d.o.attest+", its key certified by the bank", 0)
	return nil
}

// certifier is who certifies attestation keys: the bank, here or elsewhere.
type certifier interface {
	Challenge(ctx context.Context, r akca.Request) (number string, c akca.Challenge, err error)
	Certify(ctx context.Context, number string, answer []byte) (der []byte, err error)
}

// renewal is how long before its end a certificate is replaced.
const renewal = 30 * 24 * time.Hour

// certificate returns the certificate of the TPM's key: the one that is kept beside
// the state, or a new one, which only the TPM can get that holds both its keys. One
// that was cut off as it was written is none, and one that ends soon is replaced: the
// device would be refused from then on.
func (d *demonstration) certificate(ctx context.Context, a *tpmdevice.Attester) ([]byte, error) {
	path := filepath.Join(d.dir, "attestation.der")
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	now, left := d.now(), time.Duration(0)
	if c, err := x509.ParseCertificate(kept); err == nil {
		left = c.NotAfter.Sub(now)
	}
	if left > renewal {
		return kept, nil
	}
	der, err := d.certified(ctx, a)
	switch {
	case err != nil && left > 0:
		return kept, nil // there is time to ask again
	case err != nil:
		return nil, err
	}
	if err := os.WriteFile(path+".new", der, 0o600); err != nil {
		return nil, err
	}
	return der, os.Rename(path+".new", path)
}

// certified has the bank certify the TPM's key.
func (d *demonstration) certified(ctx context.Context, a *tpmdevice.Attester) ([]byte, error) {
	var by certifier = d.merchant()
	if d.bank != nil {
		by = d.bank
	}
	r, err := a.Request(ctx)
	if err != nil {
		return nil, err
	}
	number, challenge, err := by.Challenge(ctx, r)
	if err != nil {
		return nil, err
	}
	opened, err := a.Activate(ctx, challenge)
	if err != nil {
		return nil, err
	}
	return by.Certify(ctx, number, opened)
}
