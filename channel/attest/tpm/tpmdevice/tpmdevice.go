// Package tpmdevice attests with a TPM 2.0: an attestation key (AK) that never
// leaves the TPM quotes platform configuration registers over a challenge. The
// AK is certified once, by credential activation (package akca), which proves to
// the authority that it is in the same TPM as the endorsement key (EK).
package tpmdevice

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest/tpm"
	"github.com/payunit/payunit/channel/attest/tpm/akca"
)

// ErrConfig: New was given something that can't work.
var ErrConfig = errors.New("tpmdevice: configuration")

// ErrTPM: the TPM did not do as it was told.
var ErrTPM = errors.New("tpmdevice: TPM")

// Config makes an Attester.
type Config struct {
	// TPM is the device, which nobody else uses at the same moment. No
	// default.
	TPM transport.TPM
	// PCRs are the registers to quote, 0 to 23: those that the server's policy
	// looks at. No default.
	PCRs []uint
	// Certificates are the AK's, DER, its own first. Empty before it has any.
	Certificates [][]byte
}

// Attester attests with the TPM's AK, a primary key of the endorsement hierarchy:
// it is the same again after a power cycle, until the TPM gets another
// endorsement seed. Calls run one at a time.
type Attester struct {
	c     Config
	token chan struct{}

	mu    sync.Mutex
	certs [][]byte
}

var _ channel.Attester = (*Attester)(nil)

// New makes an attester. It does not touch the TPM. Errors wrap ErrConfig.
func New(c Config) (*Attester, error) {
	if c.TPM == nil {
		return nil, fmt.Errorf("%w: TPM is nil and has no default", ErrConfig)
	}
	c.PCRs = slices.Compact(slices.Sorted(slices.Values(c.PCRs)))
	if len(c.PCRs) == 0 || c.PCRs[len(c.PCRs)-1] > 23 {
		return nil, fmt.Errorf("%w: PCRs: want some of 0 to 23", ErrConfig)
	}
	a := &Attester{c: c, token: make(chan struct{}, 1)}
	a.Certify(c.Certificates)
	return a, nil
}

// Certify sets the AK's certificates, DER, its own first.
func (a *Attester) Certify(certs [][]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.certs = slices.Clone(certs)
}

// key is a loaded primary key.
type key struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public []byte // TPMT_PUBLIC
}

// load makes a primary key of the endorsement hierarchy; unload takes it out
// again.
func (a *Attester) load(template tpm2.TPMTPublic) (key, error) {
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(a.c.TPM)
	if err != nil {
		return key{}, fmt.Errorf("%w: making a key: %w", ErrTPM, err)
	}
	return key{r.ObjectHandle, r.Name, r.OutPublic.Bytes()}, nil
}

func (a *Attester) unload(k key, err *error) {
	if _, ferr := (tpm2.FlushContext{FlushHandle: k.handle}).Execute(a.c.TPM); ferr != nil && *err == nil {
		*err = fmt.Errorf("%w: unloading a key: %w", ErrTPM, ferr)
	}
}

// do runs commands apart from ctx's end: a TPM can't be interrupted, and has to
// be left in order. The next call waits for it.
func do[T any](ctx context.Context, a *Attester, commands func() (T, error)) (T, error) {
	var none T
	select {
	case a.token <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("tpmdevice: %w", ctx.Err())
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-a.token }()
		v, err := commands()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return none, fmt.Errorf("tpmdevice: %w", ctx.Err())
	}
}

// Attest implements channel.Attester.
func (a *Attester) Attest(ctx context.Context, challenge []byte) (channel.Evidence, error) {
	return do(ctx, a, func() (channel.Evidence, error) {
		s, err := a.quote(challenge)
		if err != nil {
			return channel.Evidence{}, err
		}
		a.mu.Lock()
		s.Certificates = a.certs
		a.mu.Unlock()
		b, err := s.Append(nil)
		return channel.Evidence{Type: tpm.Type, Statement: b}, err
	})
}

// attempts is how often a quote is made anew when a register changed between it
// and the reading of the values.
const attempts = 3

func (a *Attester) quote(challenge []byte) (s *tpm.Statement, err error) {
	ak, err := a.load(akca.AKTemplate())
	if err != nil {
		return nil, err
	}
	defer a.unload(ak, &err)
	for range attempts {
		before, err := a.values()
		if err != nil {
			return nil, err
		}
		q, err := tpm2.Quote{
			SignHandle:     tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
			QualifyingData: tpm2.TPM2BData{Buffer: challenge}, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, PCRSelect: selection(a.c.PCRs),
		}.Execute(a.c.TPM)
		if err != nil {
			return nil, fmt.Errorf("%w: quote: %w", ErrTPM, err)
		}
		after, err := a.values()
		if err != nil {
			return nil, err
		}
		if !slices.Equal(before, after) {
			continue
		}
		sig, err := q.Signature.Signature.ECDSA()
		if err != nil {
			return nil, fmt.Errorf("%w: quote: %w", ErrTPM, err)
		}
		return &tpm.Statement{
			Attest: q.Quoted.Bytes(), R: new(big.Int).SetBytes(sig.SignatureR.Buffer), S: new(big.Int).SetBytes(sig.SignatureS.Buffer), Values: after,
		}, nil
	}
	return nil, fmt.Errorf("%w: the registers do not come to rest", ErrTPM)
}

func selection(pcrs []uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}}
}

// values reads the registers; a TPM gives eight at a time.
func (a *Attester) values() ([]tpm.PCR, error) {
	var out []tpm.PCR
	for rest := a.c.PCRs; len(rest) > 0; {
		n := min(8, len(rest))
		r, err := tpm2.PCRRead{PCRSelectionIn: selection(rest[:n])}.Execute(a.c.TPM)
		if err != nil {
			return nil, fmt.Errorf("%w: reading registers: %w", ErrTPM, err)
		}
		if len(r.PCRValues.Digests) != n {
			return nil, fmt.Errorf("%w: it has %d of the registers %v in its SHA-256 bank", ErrTPM, len(r.PCRValues.Digests), rest[:n])
		}
		for _, d := range r.PCRValues.Digests {
			if len(d.Buffer) != len(tpm.PCR{}) {
				return nil, fmt.Errorf("%w: a register of %d bytes", ErrTPM, len(d.Buffer))
			}
			out = append(out, tpm.PCR(d.Buffer))
		}
		rest = rest[n:]
	}
	return out, nil
}
