package bank

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/attest/tpm"
	"github.com/payunit/payunit/channel/attest/tpm/akca"
	"github.com/payunit/payunit/examples/internal/demo"
)

// TPM is which units' TPMs count.
type TPM struct {
	// Makers are the makers of TPMs whose endorsement certificates count.
	Makers *x509.CertPool
	// PCRs says what the machines may have booted.
	PCRs tpm.PCRPolicy
}

// ParseTPM reads which TPMs count: a PEM file of makers' certificates, and register
// values NUMBER=HEX, of which a number may have several.
func ParseTPM(makers, pcrs string) (*TPM, error) {
	b, err := os.ReadFile(makers)
	if err != nil {
		return nil, err
	}
	t := &TPM{Makers: x509.NewCertPool()}
	n := 0
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", makers, n+1, err)
		}
		t.Makers.AddCert(c)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: no certificates", makers)
	}
	golden := tpm.Golden{}
	for _, v := range strings.Split(pcrs, ",") {
		number, value, _ := strings.Cut(v, "=")
		i, err := strconv.ParseUint(number, 10, 5)
		b, herr := hex.DecodeString(value)
		if err != nil || herr != nil || i > 23 || len(b) != len(tpm.PCR{}) {
			return nil, fmt.Errorf("registers: %q is not NUMBER=HEX, 0 to 23 and 32 bytes", v)
		}
		golden[uint(i)] = append(golden[uint(i)], tpm.PCR(b))
	}
	t.PCRs = golden
	return t, nil
}

// authority certifies attestation keys. Each challenge is for one answer, and the
// last few are remembered.
type authority struct {
	*akca.Authority
	mu      sync.Mutex
	pending map[string]*akca.Pending
	order   []string
}

const maxPending = 64

// errNoTPM: the bank takes no evidence of TPMs.
var errNoTPM = fmt.Errorf("bank: attestation by a TPM: %w: ak_authority_key is missing, or no TPMs are named that count", demo.ErrKeys)

// evidence is the policy about units' evidence: of software, and of TPMs where their
// keys can be certified.
func (b *Bank) evidence() (channel.Verifier, error) {
	verifiers := map[string]channel.Verifier{attest.TypeSoftware: attest.SoftwareVerifier{}}
	t := b.c.TPM
	published, err := demo.Default()
	if err != nil {
		return nil, err
	}
	ca := akca.Config{Key: b.c.Keys.AKAuthority, Now: b.c.Now}
	if t == nil && b.c.Keys.AKAuthority != nil && b.c.Keys.AKAuthority.Equal(published.AKAuthority) {
		// Whoever reads this page can certify what he likes anyway.
		t, ca.EK = &TPM{PCRs: tpm.InsecureAnyPCRs{}}, akca.InsecureAnyEK
	}
	if b.c.Keys.AKAuthority != nil && t != nil {
		ca.EKRoots = t.Makers
		if ca.Certificate, err = authorityCertificate(b.c.Keys.AKAuthority); err != nil {
			return nil, err
		}
		a, err := akca.New(ca)
		if err != nil {
			return nil, err
		}
		b.authority = &authority{Authority: a, pending: map[string]*akca.Pending{}}
		roots := x509.NewCertPool()
		roots.AddCert(ca.Certificate)
		if verifiers[tpm.Type], err = tpm.NewVerifier(tpm.Config{Roots: roots, PCRs: t.PCRs, Now: b.c.Now}); err != nil {
			return nil, err
		}
	}
	return attest.NewPolicy(attest.PolicyConfig{Verifiers: verifiers, Minimum: channel.AssuranceSoftware, Now: b.c.Now})
}

// authorityCertificate is the authority's own: its name and key are the same at
// every start, and so what it certified before counts.
func authorityCertificate(key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "attestation keys of payment units"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Challenge makes the challenge that a unit's TPM has to open, and its number.
func (b *Bank) Challenge(_ context.Context, r akca.Request) (string, akca.Challenge, error) {
	if b.authority == nil {
		return "", akca.Challenge{}, errNoTPM
	}
	c, p, err := b.authority.Challenge(r)
	if err != nil {
		return "", c, err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", akca.Challenge{}, err
	}
	a := b.authority
	a.mu.Lock()
	defer a.mu.Unlock()
	number := hex.EncodeToString(id[:])
	if len(a.order) >= maxPending {
		delete(a.pending, a.order[0])
		a.order = a.order[1:]
	}
	a.pending[number], a.order = p, append(a.order, number)
	return number, c, nil
}

// Certify takes the answer to a challenge, and returns the attestation key's
// certificate.
func (b *Bank) Certify(_ context.Context, number string, answer []byte) ([]byte, error) {
	if b.authority == nil {
		return nil, errNoTPM
	}
	a := b.authority
	a.mu.Lock()
	p := a.pending[number]
	delete(a.pending, number)
	a.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("%w: no such challenge is open", akca.ErrRefused)
	}
	return a.Issue(p, answer)
}

// attestation is the part of the merchant's interface that certifies keys:
//
//	POST /attestation-keys         akca.Request    ->  {"number":"…","challenge":akca.Challenge}
//	POST /attestation-keys/NUMBER  {"answer":"…"}  ->  {"certificate":"…"}
func (b *Bank) attestation(m *http.ServeMux) {
	m.HandleFunc("POST /attestation-keys", func(w http.ResponseWriter, r *http.Request) {
		var req akca.Request
		var out challengeBody
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<14)).Decode(&req)
		if err == nil {
			out.Number, out.Challenge, err = b.Challenge(r.Context(), req)
		}
		answer(w, out, err)
	})
	m.HandleFunc("POST /attestation-keys/{number}", func(w http.ResponseWriter, r *http.Request) {
		var in answerBody
		var out certificateBody
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<12)).Decode(&in)
		if err == nil {
			out.Certificate, err = b.Certify(r.Context(), r.PathValue("number"), in.Answer)
		}
		answer(w, out, err)
	})
}

type challengeBody struct {
	Number    string         `json:"number"`
	Challenge akca.Challenge `json:"challenge"`
}

type answerBody struct {
	Answer []byte `json:"answer"`
}

type certificateBody struct {
	Certificate []byte `json:"certificate"`
}

// Challenge is Bank.Challenge at a bank elsewhere.
func (m Merchant) Challenge(ctx context.Context, r akca.Request) (string, akca.Challenge, error) {
	var out challengeBody
	err := m.post(ctx, "/attestation-keys", r, &out)
	return out.Number, out.Challenge, err
}

// Certify is Bank.Certify at a bank elsewhere.
func (m Merchant) Certify(ctx context.Context, number string, answer []byte) ([]byte, error) {
	var out certificateBody
	err := m.post(ctx, "/attestation-keys/"+number, answerBody{answer}, &out)
	if err == nil && len(out.Certificate) == 0 {
		err = errors.New("the bank certified nothing")
	}
	return out.Certificate, err
}
