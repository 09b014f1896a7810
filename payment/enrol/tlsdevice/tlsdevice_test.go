package tlsdevice

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/attest"
	"github.com/payunit/payunit/channel/channeltest"
	"github.com/payunit/payunit/channel/noise"
	"github.com/payunit/payunit/channel/tlschan"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/trusted"
)

// store holds keys in the open.
type store struct {
	trusted.KeyStore
	err error
}

func key(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte(name[:1]), 32))
}

func (s store) VerificationKey(_ context.Context, name string) ([]byte, error) {
	return key(name).Public().(ed25519.PublicKey), s.err
}

func (s store) Sign(_ context.Context, name string, m []byte) ([]byte, error) {
	return ed25519.Sign(key(name), m), s.err
}

// TestChannel enrols and pays with a device whose keys are in a key store.
func TestChannel(t *testing.T) {
	a, err := noise.NewActivation(bytes.NewReader(bytes.Repeat([]byte{7}, 21)))
	if err != nil {
		t.Fatal(err)
	}
	psk, err := a.PSK()
	if err != nil {
		t.Fatal(err)
	}
	var seen []channel.Identity
	server, err := tlschan.NewServer(tlschan.ServerConfig{
		Key: key("server"), Verifier: attest.SoftwareVerifier{},
		Authorize: func(_ context.Context, id channel.Identity) error { seen = append(seen, id); return nil },
		Activations: func(context.Context, string) (secret.Bytes, error) {
			return psk.Clone(), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := enrol.End{Keys: store{}, Key: "device", Attester: attest.Software{Keys: store{}}, DeviceClass: "test"}
	for _, purpose := range []channel.Purpose{channel.PurposeEnrol, channel.PurposePay} {
		e.Activation, e.ServerKey = &a, nil
		if purpose == channel.PurposePay {
			e.Activation, e.ServerKey = nil, key("server").Public().(ed25519.PublicKey)
		}
		channeltest.Connect(t, func(t *testing.T) (channel.Handshaker, channel.Handshaker) {
			client, err := Channel(e)
			if err != nil {
				t.Fatal(err)
			}
			return client, server
		}, channeltest.Faults{})
		id := seen[len(seen)-1]
		if id.Purpose != purpose || !bytes.Equal(id.Key, key("device").Public().(ed25519.PublicKey)) || id.DeviceClass != "test" {
			t.Errorf("to %v the server saw %+v", purpose, id)
		}
	}
}

func TestRefuses(t *testing.T) {
	down := errors.New("key store")
	e := enrol.End{Keys: store{err: down}, Key: "device", Attester: attest.Software{Keys: store{}}, ServerKey: make([]byte, 32)}
	if _, err := Channel(e); !errors.Is(err, down) {
		t.Errorf("a key store that fails: %v", err)
	}
	e.Keys, e.ServerKey, e.Activation = store{}, nil, &noise.Activation{}
	if _, err := Channel(e); !errors.Is(err, noise.ErrActivation) {
		t.Errorf("an empty activation: %v", err)
	}
	if _, err := (signer{store{}, "d", nil, 1}).Sign(nil, nil, crypto.SHA256); err == nil {
		t.Error("signed a digest")
	}
}
