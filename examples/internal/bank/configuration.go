package bank

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payunit/payunit/channel"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/trusted/config"
)

// Name is the routing name of a bank that has no other.
const Name = "bank.payunit.example"

// Configuration describes what a bank's configuration says.
type Configuration struct {
	Version         uint64
	Name            string
	Issued, Expires time.Time
	// Keys names the server's X25519 keys in the order in which units are to
	// use them: "current", "next".
	Keys []string
}

// Sign makes the bank's configuration: the keys named, and the one for TLS where
// there is one. The private keys are not used.
func (c Configuration) Sign(k demo.Keys, signer ed25519.PrivateKey) ([]byte, error) {
	if c.Version > config.MaxStep {
		return nil, fmt.Errorf("bank: version %d: versions count by one, and a new unit takes none above %d", c.Version, config.MaxStep)
	}
	s := config.Statement{
		Version: c.Version, Name: c.Name, Issued: c.Issued, Expires: c.Expires,
		Purposes: config.Allow(channel.PurposePay, channel.PurposeEnrol, channel.PurposeResume), Suites: []config.Suite{config.SuiteX25519},
	}
	list := func(suite config.Suite, public []byte) {
		s.Keys = append(s.Keys, config.Key{Suite: suite, Public: public, From: c.Issued, Until: c.Expires})
	}
	for _, name := range c.Keys {
		switch {
		case name == "current":
			list(config.SuiteX25519, k.Server.PublicKey().Bytes())
		case name == "next" && k.ServerNext != nil:
			list(config.SuiteX25519, k.ServerNext.PublicKey().Bytes())
		case name == "next":
			return nil, fmt.Errorf("%w: server_key_next is missing", demo.ErrKeys)
		default:
			return nil, fmt.Errorf("bank: no server key is called %q", name)
		}
	}
	if k.ServerTLS != nil {
		s.Suites = append(s.Suites, config.SuiteTLS)
		list(config.SuiteTLS, k.ServerTLS.Public().(ed25519.PublicKey))
	}
	return config.Sign(s, signer)
}

// published is the configuration of a bank with the published keys, the same at
// every start.
func published(k demo.Keys) ([]byte, error) {
	return Configuration{
		Version: 1, Name: Name, Keys: []string{"current"},
		Issued: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}.Sign(k, demo.Signer())
}

// configure checks what the bank gives its units for a configuration, so that
// none is given that they refuse or can't use here. It returns the name that it
// gives the bank, nil when there is none, and the bank's keys for Noise: first the
// one that units enrol under and that grants name, which has to be listed.
func (b *Bank) configure() (name []byte, serving []*ecdh.PrivateKey, err error) {
	serving = []*ecdh.PrivateKey{b.c.Keys.Server}
	if b.c.Keys.ServerNext != nil {
		serving = append(serving, b.c.Keys.ServerNext)
	}
	key := b.c.Keys.ConfigKey
	switch {
	case len(key) == 0 && len(b.c.Configuration) == 0:
		return nil, serving, nil
	case len(key) == 0:
		return nil, nil, fmt.Errorf("bank: a configuration, and %w: config_key is missing", demo.ErrKeys)
	case len(b.c.Configuration) == 0 && !key.Equal(demo.Signer().Public()):
		return nil, nil, errors.New("bank: config_key, and no configuration that is signed under it: see bank config")
	case len(b.c.Configuration) == 0:
		if b.c.Configuration, err = published(b.c.Keys); err != nil {
			return nil, nil, err
		}
	}
	s, err := config.Verify(b.c.Configuration, key)
	if err != nil {
		return nil, nil, fmt.Errorf("bank: the configuration: %w", err)
	}
	suite, ours := config.SuiteX25519, map[string]bool{}
	if b.c.Channel == ChannelTLS {
		suite = config.SuiteTLS
		if b.c.Keys.ServerTLS != nil {
			ours[string(b.c.Keys.ServerTLS.Public().(ed25519.PublicKey))] = true
		}
	} else {
		for _, k := range serving {
			ours[string(k.PublicKey().Bytes())] = true
		}
	}
	keys, err := s.Use(suite, channel.PurposePay, b.c.Now())
	if err != nil {
		return nil, nil, fmt.Errorf("bank: the configuration: %w", err)
	}
	if !ours[string(keys[0])] {
		return nil, nil, errors.New("bank: the configuration sends units to a key that is not in the keys file")
	}
	// The key of before goes on serving units that slept, and no more than that.
	if !s.Lists(serving[0].PublicKey().Bytes(), b.c.Now()) {
		slices.Reverse(serving)
	}
	return []byte(s.Name), serving, nil
}
