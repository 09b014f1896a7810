package noise

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
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

func attester(seed byte) channel.Attester {
	return attest.Software{Keys: signer{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))}}
}

// testKey makes a fixed key of a curve.
func testKey(curve ecdh.Curve, seed byte) fixedKey {
	k, err := curve.NewPrivateKey(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		panic(err)
	}
	return fixedKey{k}
}

func (f fixedKey) public() []byte { return f.k.PublicKey().Bytes() }

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
	w := &world{}
	var err error
	if w.activation, err = NewActivation(rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.server = ServerConfig{
		Static: testKey(ecdh.X25519(), 1), StaticP256: testKey(ecdh.P256(), 2), Verifier: attest.SoftwareVerifier{},
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
			return w.activation.PSK()
		},
		Tickets: NewMemoryTickets(10, nil),
	}
	w.client = ClientConfig{
		Static: testKey(ecdh.X25519(), 3), Attester: attester(4), ServerKey: testKey(ecdh.X25519(), 1).public(),
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server, serr = s.Server(ctx, b)
	}()
	client, cerr = c.Client(ctx, a)
	<-done
	t.Cleanup(func() {
		if client != nil {
			_ = client.Close()
		}
		if server != nil {
			_ = server.Close()
		}
	})
	return client, server, cerr, serr
}

// pairs are the kinds of channel that this package makes.
func pairs() map[string]channeltest.Pair {
	with := func(change func(*world)) channeltest.Pair {
		return func(t *testing.T) (channel.Handshaker, channel.Handshaker) {
			w := newWorld(t)
			change(w)
			return w.pair(t)
		}
	}
	enrol := func(w *world) { w.client.ServerKey, w.client.Activation = nil, &w.activation }
	hardware := func(w *world) {
		w.client.Suite, w.client.Static, w.client.ServerKey = SuiteP256, testKey(ecdh.P256(), 3), testKey(ecdh.P256(), 2).public()
	}
	resume := func(change func(*world)) channeltest.Pair {
		return func(t *testing.T) (channel.Handshaker, channel.Handshaker) {
			w := newWorld(t)
			change(w)
			w.client.Resume = true
			c, s := w.pair(t)
			conn, _, cerr, serr := meet(t, c, s, channeltest.Faults{})
			if cerr != nil || serr != nil {
				t.Fatalf("channel before the resumption: %v, %v", cerr, serr)
			}
			if conn.Peer().Purpose != channel.PurposePay || c.ticket == nil {
				t.Fatal("no ticket was left")
			}
			return c, s
		}
	}
	return map[string]channeltest.Pair{
		"pay":         with(func(*world) {}),
		"enrol":       with(enrol),
		"resume":      resume(func(*world) {}),
		"pay P256":    with(hardware),
		"enrol P256":  with(func(w *world) { hardware(w); enrol(w) }),
		"resume P256": resume(hardware),
	}
}

func TestContract(t *testing.T) {
	for name, p := range pairs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channeltest.Run(t, p)
		})
	}
}

// TestNetConn: a channel is a net.Conn, in whichever way it came up.
func TestNetConn(t *testing.T) {
	for _, name := range []string{"pay", "resume"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channeltest.RunStream(t, pairs()[name])
		})
	}
}
