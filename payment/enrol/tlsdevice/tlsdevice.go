// Package tlsdevice makes the device's end of a channel over TLS 1.3, for
// enrol.Config.Channel. It is a package of its own, so that a unit which speaks
// Noise links no TLS.
package tlsdevice

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/channel/tlschan"
	"github.com/payunit/payunit/payment/enrol"
	"github.com/payunit/payunit/trusted"
	"github.com/payunit/payunit/trusted/config"
)

var _ enrol.Channel = Channel

// defaultTimeout is how long the key store may take to sign.
const defaultTimeout = 15 * time.Second

// Channel makes the end of channel/tlschan. The device's key is its Ed25519 key;
// End.Rand is not used, since TLS draws its own randomness.
func Channel(e enrol.End) (channel.Handshaker, error) {
	if e.Timeout <= 0 {
		e.Timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.Timeout)
	defer cancel()
	pub, err := e.Keys.VerificationKey(ctx, e.Key)
	if err != nil {
		return nil, fmt.Errorf("tlsdevice: device key: %w", err)
	}
	keys, err := e.ServerKeys(config.SuiteTLS)
	if err != nil {
		return nil, err
	}
	c := tlschan.ClientConfig{
		Key: signer{e.Keys, e.Key, pub, e.Timeout}, Attester: e.Attester, Routing: e.Routing(),
		DeviceClass: e.DeviceClass, TerminalID: e.TerminalID, MerchantID: e.MerchantID, Resume: e.Resumes(), Timeout: e.Timeout, Now: e.Now,
	}
	if len(keys) > 0 {
		c.ServerKey, c.OtherServerKeys = keys[0], keys[1:]
	}
	if e.Activation != nil {
		psk, err := e.Activation.PSK()
		if err != nil {
			return nil, fmt.Errorf("tlsdevice: %w", err)
		}
		c.Activation = &tlschan.Activation{ID: e.Activation.ID, Key: psk}
	}
	return tlschan.NewClient(c)
}

// signer is a key of a key store as crypto.Signer, which has no context: the
// timeout stands in.
type signer struct {
	keys    trusted.KeyStore
	name    string
	public  ed25519.PublicKey
	timeout time.Duration
}

// Public implements crypto.Signer.
func (s signer) Public() crypto.PublicKey { return s.public }

// Sign implements crypto.Signer, for whole messages: RFC 8032 has no other
// signatures in TLS.
func (s signer) Sign(_ io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	if o.HashFunc() != 0 {
		return nil, errors.New("tlsdevice: a device key signs messages, not digests")
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	return s.keys.Sign(ctx, s.name, message)
}
