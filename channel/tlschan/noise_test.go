package tlschan_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/channeltest"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/channel/tlschan"
)

type edKey struct{ k ed25519.PrivateKey }

func (s edKey) VerificationKey(context.Context, string) ([]byte, error) {
	return s.k.Public().(ed25519.PublicKey), nil
}

func (s edKey) Sign(_ context.Context, _ string, m []byte) ([]byte, error) {
	return ed25519.Sign(s.k, m), nil
}

type xKey struct{ k *ecdh.PrivateKey }

func (s xKey) PublicKey(context.Context) ([]byte, error) { return s.k.PublicKey().Bytes(), nil }

func (s xKey) ECDH(_ context.Context, peer []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return s.k.ECDH(p)
}

// TestOtherProtocol: where one end is set to TLS and the other to Noise, both say
// so, and neither takes it for a broken line.
func TestOtherProtocol(t *testing.T) {
	ed := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	x, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	by := attest.Software{Keys: edKey{ed}}
	yes := func(context.Context, channel.Identity) error { return nil }
	tlsServer, err := tlschan.NewServer(tlschan.ServerConfig{Key: ed, Verifier: attest.SoftwareVerifier{}, Authorize: yes})
	if err != nil {
		t.Fatal(err)
	}
	tlsClient, err := tlschan.NewClient(tlschan.ClientConfig{Key: ed, Attester: by, ServerKey: ed.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	noiseServer, err := noise.NewServer(noise.ServerConfig{Static: xKey{x}, Verifier: attest.SoftwareVerifier{}, Authorize: yes})
	if err != nil {
		t.Fatal(err)
	}
	noiseClient, err := noise.NewClient(noise.ClientConfig{Static: xKey{x}, Attester: by, ServerKey: x.PublicKey().Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	const notTLS, isTLS = "does not speak TLS", "speaks TLS"
	for _, c := range []struct {
		name                     string
		client, server           channel.Handshaker
		clientWords, serverWords string
	}{
		{"a Noise unit at a TLS server", noiseClient, tlsServer, isTLS, notTLS},
		{"a TLS unit at a Noise server", tlsClient, noiseServer, notTLS, isTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := channeltest.Pipe()
			done := make(chan error, 1)
			go func() {
				_, err := c.server.Server(t.Context(), b)
				done <- err
			}()
			_, err := c.client.Client(t.Context(), a)
			for who, got := range map[string]struct {
				err   error
				words string
			}{"client": {err, c.clientWords}, "server": {<-done, c.serverWords}} {
				if !errors.Is(got.err, channel.ErrFormat) || !strings.Contains(got.err.Error(), got.words) {
					t.Errorf("%s: %v, want %v: %s", who, got.err, channel.ErrFormat, got.words)
				}
			}
		})
	}
}
