package tlschan

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/channeltest"
)

// signer is an attestation key in the open, for tests.
type signer struct{ key ed25519.PrivateKey }

func (s signer) VerificationKey(context.Context, string) ([]byte, error) {
	return s.key.Public().(ed25519.PublicKey), nil
}

func (s signer) Sign(_ context.Context, _ string, m []byte) ([]byte, error) {
	return ed25519.Sign(s.key, m), nil
}

// edKey and p256Key make fixed keys.
func edKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
}

func p256Key(t testing.TB, seed byte) crypto.Signer {
	t.Helper()
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t testing.TB, k crypto.Signer) []byte {
	t.Helper()
	b, err := PublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// world is a server and what its clients start from.
type world struct {
	server     ServerConfig
	client     ClientConfig
	activation Activation
	mu         sync.Mutex
	seen       []channel.Identity
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{activation: Activation{ID: "AAAABBBB", Key: secret.NewBytes(bytes.Repeat([]byte{5}, 32))}}
	w.server = ServerConfig{
		Key: edKey(1), Verifier: attest.SoftwareVerifier{},
		Authorize: func(_ context.Context, peer channel.Identity) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen = append(w.seen, peer)
			return nil
		},
		Activations: func(_ context.Context, id string) (secret.Bytes, error) {
			if id != w.activation.ID {
				return secret.Bytes{}, errors.New("no such activation")
			}
			return secret.CopyBytes(bytes.Repeat([]byte{5}, 32)), nil
		},
	}
	w.client = ClientConfig{
		Key: edKey(3), Attester: attest.Software{Keys: signer{edKey(4)}}, ServerKey: public(t, edKey(1)),
		DeviceClass: "test", TerminalID: "T0000001", MerchantID: "M00000000000001", Routing: []byte("to: bank"),
	}
	return w
}

func (w *world) pair(t testing.TB) (*Client, *Server) {
	t.Helper()
	c, err := NewClient(w.client)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(w.server)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// meet runs both ends of a handshake.
func meet(t testing.TB, c, s channel.Handshaker, f channeltest.Faults) (client, server channel.Conn, cerr, serr error) {
	t.Helper()
	a, b := channeltest.PipeWith(f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		server, serr = s.Server(t.Context(), b)
	}()
	client, cerr = c.Client(t.Context(), a)
	<-done
	return client, server, cerr, serr
}

func enrol(w *world) { w.client.ServerKey, w.client.Activation = nil, &w.activation }

// pairs are the kinds of channel that this package makes; with P-256 keys one
// differs from another by the keys alone.
func pairs(t *testing.T) map[string]channeltest.Pair {
	with := func(change func(*world)) channeltest.Pair {
		return func(t *testing.T) (channel.Handshaker, channel.Handshaker) {
			w := newWorld(t)
			change(w)
			return w.pair(t)
		}
	}
	resume := func(t *testing.T) (channel.Handshaker, channel.Handshaker) {
		w := newWorld(t)
		w.client.Resume, w.server.Sessions = true, NewMemorySessions(10, nil)
		c, s := w.pair(t)
		client, server, cerr, serr := meet(t, c, s, channeltest.Faults{})
		if cerr != nil || serr != nil {
			t.Fatalf("channel before the resumption: %v, %v", cerr, serr)
		}
		_, _ = client.Close(), server.Close()
		if client.Peer().Purpose != channel.PurposePay || c.session == nil {
			t.Fatal("no session was left")
		}
		return c, s
	}
	return map[string]channeltest.Pair{
		"resume": resume,
		"pay":    with(func(*world) {}),
		"enrol":  with(enrol),
		"pay P256": with(func(w *world) {
			w.server.Key, w.client.Key = p256Key(t, 1), p256Key(t, 3)
			w.client.ServerKey = public(t, w.server.Key)
		}),
	}
}

func TestContract(t *testing.T) {
	for _, name := range []string{"pay", "enrol", "resume"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channeltest.Run(t, pairs(t)[name])
		})
	}
}

// TestKinds passes a message over each kind of channel.
func TestKinds(t *testing.T) { passOverEach(t) }

func passOverEach(t *testing.T) {
	for name, p := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			c, s := channeltest.Connect(t, p, channeltest.Faults{})
			done := make(chan error, 1)
			go func() { done <- c.WriteMessage(t.Context(), []byte("card data")) }()
			m, err := s.ReadMessage(t.Context())
			if werr := <-done; err != nil || werr != nil || string(m) != "card data" {
				t.Errorf("%q, %v, %v", m, err, werr)
			}
			a, err := c.Export("label", 32)
			b, err2 := s.Export("label", 32)
			if err != nil || err2 != nil || !bytes.Equal(a, b) || !bytes.Equal(c.Binding(), s.Binding()) {
				t.Errorf("exports %x and %x, %v, %v", a, b, err, err2)
			}
		})
	}
}

// TestStreamContract: a channel is a net.Conn in all that net.Conn says.
func TestStreamContract(t *testing.T) { channeltest.RunStream(t, pairs(t)["pay"]) }

// fipsEnv marks the run of this test's program in which only approved
// cryptography works.
const fipsEnv = "PAYUNIT_TEST_FIPS"

// TestFIPS runs a part of the contract in a program of its own with
// GODEBUG=fips140=only.
func TestFIPS(t *testing.T) {
	if os.Getenv(fipsEnv) != "" {
		if !fips140.Enabled() {
			t.Fatal("the FIPS module is not in use")
		}
		if _, err := sha1Works(t); err == nil {
			t.Error("SHA-1 works: not only approved cryptography works")
		}
		passOverEach(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPS$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", fipsEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFIPS/enrol")) {
		t.Errorf("with GODEBUG=fips140=only: %v\n%s", err, out)
	}
}

// sha1Works does what is not approved.
func sha1Works(t *testing.T) (ok bool, err error) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("refused")
		}
	}()
	sha1.New().Sum(nil)
	return true, nil
}

// selfSigned wraps a key that this package would not.
func selfSigned(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
