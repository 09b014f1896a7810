package noise_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"log"
	"net"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/noise"
)

// memoryKey is a static key in memory; a device's is in its key store.
type memoryKey struct{ k *ecdh.PrivateKey }

func (m memoryKey) PublicKey(context.Context) ([]byte, error) { return m.k.PublicKey().Bytes(), nil }

func (m memoryKey) ECDH(_ context.Context, peer []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return m.k.ECDH(p)
}

// platform stands for a device's attestation and a server's judgement of it; see
// channel/attest for real ones.
type platform struct{}

func (platform) Attest(context.Context, []byte) (channel.Evidence, error) {
	return channel.Evidence{Type: "example"}, nil
}

func (platform) Verify(_ context.Context, _ []byte, e channel.Evidence) (channel.Claims, error) {
	return channel.Claims{Device: "the example's device", Assurance: channel.AssuranceSoftware}, nil
}

func newKey() memoryKey {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	return memoryKey{k}
}

// A unit that knows its server's key opens a channel through the app, and asks.
func Example() {
	ctx := context.Background()
	serverKey := newKey()
	server, err := noise.NewServer(noise.ServerConfig{
		Static: serverKey, Verifier: platform{},
		Authorize: func(_ context.Context, peer channel.Identity) error {
			fmt.Println("the server meets", peer.TerminalID, "on", peer.Claims.Device)
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	unit, err := noise.NewClient(noise.ClientConfig{
		Static: newKey(), Attester: platform{}, ServerKey: serverKey.k.PublicKey().Bytes(),
		DeviceClass: "phone", TerminalID: "P0000001", MerchantID: "CORNERSHOP00001",
	})
	if err != nil {
		log.Fatal(err)
	}
	near, far := net.Pipe() // what the app carries
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			conn, err := server.Server(ctx, far)
			if err != nil {
				return err
			}
			question, err := conn.ReadMessage(ctx)
			if err != nil {
				return err
			}
			if err := conn.WriteMessage(ctx, append([]byte("an answer to: "), question...)); err != nil {
				return err
			}
			return conn.Close()
		}()
	}()
	conn, err := unit.Client(ctx, near)
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.WriteMessage(ctx, []byte("what does order 7 cost?")); err != nil {
		log.Fatal(err)
	}
	answer, err := conn.ReadMessage(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the unit hears", string(answer))
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// the server meets P0000001 on the example's device
	// the unit hears an answer to: what does order 7 cost?
}
