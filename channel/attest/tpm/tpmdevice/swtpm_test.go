//go:build swtpm

package tpmdevice

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/attest/tpm"
	"github.com/payunit/payunit/channel/attest/tpm/akca"
	"github.com/payunit/payunit/channel/channeltest"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/channel/tlschan"
	"github.com/payunit/payunit/trusted/tpm/swtpmtest"
)

var update = flag.Bool("update", false, "rewrite ../testdata/quote.json")

// ca is a certification authority of the test's own.
type ca struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCA(t *testing.T, name string) ca {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ca{k, issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}, nil, &k.PublicKey, k)}
}

func issue(t *testing.T, c, parent *x509.Certificate, pub any, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(10*365*24*time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c ca) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.cert)
	return p
}

// pcrs are the registers of these tests.
var pcrs = []uint{16, 0, 7}

func newAttester(t *testing.T, m transport.TPM) *Attester {
	t.Helper()
	a, err := New(Config{TPM: m, PCRs: pcrs})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// leaveFactory gives a TPM the certificate of its EK, as its maker does.
func leaveFactory(t *testing.T, m transport.TPM, by ca, change func(*x509.Certificate)) {
	t.Helper()
	r, err := newAttester(t, m).Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.EKCertificate != nil {
		t.Fatal("it has a certificate already")
	}
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](r.EKPublic)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := tpm2.Pub(*area)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(9), KeyUsage: x509.KeyUsageKeyAgreement, UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}}, BasicConstraintsValid: true,
		// A critical name of the TPM, as the profile has it.
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: []byte{0x30, 0x04, 0xA4, 0x02, 0x30, 0x00}}},
	}
	if change != nil {
		change(c)
	}
	der := issue(t, c, by.cert, pub, by.key).Raw
	_, err = tpm2.NVDefineSpace{
		AuthHandle: tpm2.TPMRHPlatform,
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: ekCertificate, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(der)),
			Attributes: tpm2.TPMANV{PPWrite: true, OwnerRead: true, AuthRead: true, PPRead: true, NoDA: true, PlatformCreate: true},
		}),
	}.Execute(m)
	if err != nil {
		t.Fatal(err)
	}
	public, err := tpm2.NVReadPublic{NVIndex: ekCertificate}.Execute(m)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(der); at += 256 {
		_, err := tpm2.NVWrite{
			AuthHandle: tpm2.TPMRHPlatform, NVIndex: tpm2.NamedHandle{Handle: ekCertificate, Name: public.NVName},
			Data: tpm2.TPM2BMaxNVBuffer{Buffer: der[at:min(at+256, len(der))]}, Offset: uint16(at),
		}.Execute(m)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// world is a maker of TPMs, and an authority that trusts it.
type world struct {
	maker, private ca
	authority      *akca.Authority
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{maker: newCA(t, "maker of TPMs"), private: newCA(t, "authority for AKs")}
	var err error
	if w.authority, err = akca.New(akca.Config{EKRoots: w.maker.pool(), Certificate: w.private.cert, Key: w.private.key}); err != nil {
		t.Fatal(err)
	}
	return w
}

// certify runs credential activation.
func (w *world) certify(t *testing.T, a *Attester) {
	t.Helper()
	r, err := a.Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, p, err := w.authority.Challenge(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.Activate(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	der, err := w.authority.Issue(p, answer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.authority.Issue(p, answer); !errors.Is(err, akca.ErrRefused) {
		t.Errorf("an answer served twice: %v", err)
	}
	a.Certify([][]byte{der})
}

func (w *world) verifier(t *testing.T, p tpm.PCRPolicy) *tpm.Verifier {
	t.Helper()
	v, err := tpm.NewVerifier(tpm.Config{Roots: w.private.pool(), PCRs: p})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func extend(t *testing.T, m transport.TPM, pcr uint) {
	t.Helper()
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{0x5A}, 32)}}},
	}.Execute(m)
	if err != nil {
		t.Fatal(err)
	}
}

// TestQuote takes a TPM from its maker to its evidence, and to the moment in
// which its machine is another.
func TestQuote(t *testing.T) {
	w := newWorld(t)
	m := swtpmtest.Start(t)
	leaveFactory(t, m, w.maker, nil)
	a := newAttester(t, m.Open())
	w.certify(t, a)
	good := tpm.Golden{0: {{}}, 7: {{}}, 16: {{}}}
	v := w.verifier(t, good)
	challenge := bytes.Repeat([]byte{0xC5}, 32)
	e, err := a.Attest(t.Context(), challenge)
	if err != nil {
		t.Fatal(err)
	}
	first, err := v.Verify(t.Context(), challenge, e)
	if err != nil || first.Assurance != channel.AssuranceHardware {
		t.Fatalf("%+v, %v", first, err)
	}
	var refused *channel.EvidenceError
	if _, err := v.Verify(t.Context(), make([]byte, 32), e); !errors.As(err, &refused) || refused.Reason != channel.ReasonChallenge {
		t.Errorf("another challenge: %v", err)
	}
	extend(t, m, 16)
	if e, err = a.Attest(t.Context(), challenge); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), challenge, e); !errors.As(err, &refused) || refused.Reason != channel.ReasonPlatform {
		t.Errorf("another platform: %v", err)
	}
	want := sha256.Sum256(append(make([]byte, 32), bytes.Repeat([]byte{0x5A}, 32)...))
	good[16] = append(good[16], want)
	again, err := v.Verify(t.Context(), challenge, e)
	if err != nil || again != first {
		t.Errorf("the platform that is known now: %+v, %v", again, err)
	}
	if *update {
		record(t, w, challenge, e, want)
	}
	// Another boot, the same key and the same certificate.
	m.Restart()
	if e, err = a.Attest(t.Context(), challenge); err != nil {
		t.Fatal(err)
	}
	if again, err := v.Verify(t.Context(), challenge, e); err != nil || again != first {
		t.Errorf("after a boot: %+v, %v", again, err)
	}
	// Nothing stays loaded: a TPM has room for three objects.
	for range 5 {
		if _, err := a.Attest(t.Context(), challenge); err != nil {
			t.Fatal(err)
		}
	}
}

func record(t *testing.T, w *world, challenge []byte, e channel.Evidence, pcr16 tpm.PCR) {
	t.Helper()
	b, err := json.MarshalIndent(map[string]any{
		"challenge": hex.EncodeToString(challenge), "statement": hex.EncodeToString(e.Statement), "root": hex.EncodeToString(w.private.cert.Raw),
		"pcr16": hex.EncodeToString(pcr16[:]), "at": time.Now().UTC().Truncate(time.Second),
	}, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("../testdata/quote.json", append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherTPM: neither the challenge nor the certificate of one TPM serves
// another.
func TestAnotherTPM(t *testing.T) {
	w := newWorld(t)
	one, two := swtpmtest.Start(t), swtpmtest.Start(t)
	leaveFactory(t, one, w.maker, nil)
	leaveFactory(t, two, w.maker, nil)
	a, b := newAttester(t, one), newAttester(t, two)
	w.certify(t, a)
	r, err := a.Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, p, err := w.authority.Challenge(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Activate(t.Context(), c); !errors.Is(err, ErrTPM) {
		t.Errorf("the other TPM opened the challenge: %v", err)
	}
	if _, err := w.authority.Issue(p, make([]byte, 32)); !errors.Is(err, akca.ErrRefused) {
		t.Errorf("a guess was taken: %v", err)
	}
	// One TPM's EK and the other's AK.
	other, err := b.Request(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.AKPublic = other.AKPublic
	if c, _, err = w.authority.Challenge(r); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*Attester{a, b} {
		if _, err := x.Activate(t.Context(), c); !errors.Is(err, ErrTPM) {
			t.Errorf("keys of two TPMs were activated: %v", err)
		}
	}
	a.mu.Lock()
	b.Certify(a.certs)
	a.mu.Unlock()
	challenge := make([]byte, 32)
	e, err := b.Attest(t.Context(), challenge)
	if err != nil {
		t.Fatal(err)
	}
	var refused *channel.EvidenceError
	if _, err := w.verifier(t, tpm.InsecureAnyPCRs{}).Verify(t.Context(), challenge, e); !errors.As(err, &refused) || refused.Reason != channel.ReasonSignature {
		t.Errorf("the certificate of another TPM: %v", err)
	}
}

// TestAuthorityRefuses: what is not an EK by a maker that is trusted, or not an
// AK.
func TestAuthorityRefuses(t *testing.T) {
	w := newWorld(t)
	stranger := newCA(t, "somebody")
	for name, c := range map[string]struct {
		by     ca
		change func(*x509.Certificate)
	}{
		"another maker":   {stranger, nil},
		"not an EK's":     {w.maker, func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }},
		"an authority's":  {w.maker, func(c *x509.Certificate) { c.IsCA = true }},
		"the right thing": {w.maker, nil},
	} {
		m := swtpmtest.Start(t)
		leaveFactory(t, m, c.by, c.change)
		r, err := newAttester(t, m).Request(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.authority.Challenge(r); errors.Is(err, akca.ErrRefused) == (name == "the right thing") {
			t.Errorf("%s: %v", name, err)
		}
		if name != "the right thing" {
			continue
		}
		for what, change := range map[string]func(akca.Request) akca.Request{
			"no certificate":       func(r akca.Request) akca.Request { r.EKCertificate = nil; return r },
			"an EK as AK":          func(r akca.Request) akca.Request { r.AKPublic = r.EKPublic; return r },
			"an AK as EK":          func(r akca.Request) akca.Request { r.EKPublic = r.AKPublic; return r },
			"no AK":                func(r akca.Request) akca.Request { r.AKPublic = nil; return r },
			"an AK with more":      func(r akca.Request) akca.Request { r.AKPublic = append(bytes.Clone(r.AKPublic), 0); return r },
			"an AK for everything": func(r akca.Request) akca.Request { r.AKPublic = unrestricted(t, r.AKPublic); return r },
		} {
			if _, _, err := w.authority.Challenge(change(r)); !errors.Is(err, akca.ErrRefused) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// unrestricted is a key that would sign anything, a made-up quote too.
func unrestricted(t *testing.T, area []byte) []byte {
	t.Helper()
	p, err := tpm2.Unmarshal[tpm2.TPMTPublic](area)
	if err != nil {
		t.Fatal(err)
	}
	p.ObjectAttributes.Restricted = false
	return tpm2.Marshal(p)
}

// TestChannels: the quote of a handshake opens a channel of either kind, and only
// that one; a platform that changes is refused with a reason.
func TestChannels(t *testing.T) {
	w := newWorld(t)
	m := swtpmtest.Start(t)
	leaveFactory(t, m, w.maker, nil)
	a := newAttester(t, m)
	w.certify(t, a)
	policy, err := attest.NewPolicy(attest.PolicyConfig{
		Verifiers: map[string]channel.Verifier{tpm.Type: w.verifier(t, tpm.Golden{16: {{}}})}, Minimum: channel.AssuranceHardware,
	})
	if err != nil {
		t.Fatal(err)
	}
	yes := func(context.Context, channel.Identity) error { return nil }
	_, deviceKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, serverKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	device, server := newStatic(t), newStatic(t)
	kinds := map[string]func(channel.Attester) (channel.Handshaker, channel.Handshaker, error){
		"noise": func(by channel.Attester) (channel.Handshaker, channel.Handshaker, error) {
			c, err := noise.NewClient(noise.ClientConfig{Static: device, Attester: by, ServerKey: server.k.PublicKey().Bytes()})
			s, err2 := noise.NewServer(noise.ServerConfig{Static: server, Verifier: policy, Authorize: yes})
			return c, s, errors.Join(err, err2)
		},
		"tls": func(by channel.Attester) (channel.Handshaker, channel.Handshaker, error) {
			c, err := tlschan.NewClient(tlschan.ClientConfig{Key: deviceKey, Attester: by, ServerKey: serverKey.Public().(ed25519.PublicKey)})
			s, err2 := tlschan.NewServer(tlschan.ServerConfig{Key: serverKey, Verifier: policy, Authorize: yes})
			return c, s, errors.Join(err, err2)
		},
	}
	run := func(kind string, by channel.Attester) (channel.Conn, error, error) {
		c, s, err := kinds[kind](by)
		if err != nil {
			t.Fatal(err)
		}
		near, far := channeltest.Pipe()
		done := beside(func() error { _, err := c.Client(t.Context(), near); return err })
		conn, serr := s.Server(t.Context(), far)
		return conn, <-done, serr
	}
	for kind := range kinds {
		conn, cerr, serr := run(kind, a)
		if cerr != nil || serr != nil {
			t.Fatalf("%s: client %v, server %v", kind, cerr, serr)
		}
		if c := conn.Peer().Claims; c.Assurance != channel.AssuranceHardware || len(c.Device) != 32 || c.Expires.IsZero() {
			t.Errorf("%s: claims %+v", kind, c)
		}
		var refused *channel.EvidenceError
		if _, cerr, serr := run(kind, replay{a}); !errors.Is(cerr, channel.ErrRefused) || !errors.As(serr, &refused) || refused.Reason != channel.ReasonChallenge {
			t.Errorf("%s, with a quote for another handshake: client %v, server %v", kind, cerr, serr)
		}
	}
	extend(t, m, 16)
	for kind := range kinds {
		var refused *channel.EvidenceError
		if _, cerr, serr := run(kind, a); !errors.Is(cerr, channel.ErrRefused) || !errors.As(serr, &refused) || refused.Reason != channel.ReasonPlatform {
			t.Errorf("%s, of another platform: client %v, server %v", kind, cerr, serr)
		}
	}
}

// TestGate: inside a channel the TPM answers the server's nonces; a machine that
// changes between two of them is refused at the second, with the reason.
func TestGate(t *testing.T) {
	w := newWorld(t)
	m := swtpmtest.Start(t)
	leaveFactory(t, m, w.maker, nil)
	a := newAttester(t, m)
	w.certify(t, a)
	v := w.verifier(t, tpm.Golden{0: {{}}, 16: {{}}})
	binding := bytes.Repeat([]byte{7}, 32)
	handshake := attest.Challenge(binding, channel.PurposePay)
	e, err := a.Attest(t.Context(), handshake)
	if err != nil {
		t.Fatal(err)
	}
	device, err := v.Verify(t.Context(), handshake, e)
	if err != nil {
		t.Fatal(err)
	}
	g, err := attest.NewGate(attest.GateConfig{Verifier: v, Binding: binding, Device: device})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(m attest.Moment) error {
		q, err := g.Ask(m, "order-7")
		if err != nil {
			t.Fatal(err)
		}
		c, err := q.Challenge()
		if err != nil {
			t.Fatal(err)
		}
		e, err := a.Attest(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Judge(t.Context(), e)
		return err
	}
	if err := errors.Join(answer(attest.BeforePayment), g.Fresh(attest.BeforePayment, "order-7")); err != nil {
		t.Error(err)
	}
	extend(t, m, 16)
	var refused *channel.EvidenceError
	if err := answer(attest.BeforePIN); !errors.As(err, &refused) || refused.Reason != channel.ReasonPlatform {
		t.Errorf("after the machine changed: %v", err)
	}
	if err := g.Fresh(attest.BeforePIN, "order-7"); !errors.Is(err, attest.ErrNotFresh) {
		t.Errorf("before the PIN: %v", err)
	}
}

// replay answers another challenge than it is given.
type replay struct{ channel.Attester }

func (r replay) Attest(ctx context.Context, _ []byte) (channel.Evidence, error) {
	return r.Attester.Attest(ctx, make([]byte, 32))
}

// beside runs a call beside the test.
func beside(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// static is an X25519 key.
type static struct{ k *ecdh.PrivateKey }

func newStatic(t *testing.T) static {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return static{k}
}

func (s static) PublicKey(context.Context) ([]byte, error) { return s.k.PublicKey().Bytes(), nil }

func (s static) ECDH(_ context.Context, peer []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return s.k.ECDH(p)
}

// TestCancelled: a call returns with its context, and the TPM is in order.
func TestCancelled(t *testing.T) {
	m := swtpmtest.Start(t)
	slow := &held{TPM: m, entered: make(chan struct{}, 1), release: make(chan struct{})}
	a := newAttester(t, slow)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := a.Attest(ctx, make([]byte, 32))
		done <- err
	}()
	<-slow.entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("under way: %v", err)
	}
	if _, err := a.Attest(ctx, make([]byte, 32)); !errors.Is(err, context.Canceled) {
		t.Errorf("behind it: %v", err)
	}
	close(slow.release)
	if _, err := a.Attest(t.Context(), make([]byte, 32)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// held is a TPM whose first command waits.
type held struct {
	transport.TPM
	entered chan struct{}
	release chan struct{}
}

func (h *held) Send(b []byte) ([]byte, error) {
	select {
	case h.entered <- struct{}{}:
	default:
	}
	<-h.release
	return h.TPM.Send(b)
}

func TestConfig(t *testing.T) {
	m := swtpmtest.Start(t)
	for name, c := range map[string]Config{"no TPM": {PCRs: pcrs}, "no PCRs": {TPM: m}, "PCR 24": {TPM: m, PCRs: []uint{24}}} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m.PowerOff()
	if _, err := newAttester(t, m).Attest(t.Context(), nil); !errors.Is(err, ErrTPM) {
		t.Errorf("without power: %v", err)
	}
}
