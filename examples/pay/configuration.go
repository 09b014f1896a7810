package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/softunit"
)

// configuration says which configurations of the bank the unit takes, and brings
// it one.
func (d *demonstration) configuration(ctx context.Context, c *softunit.Config) error {
	var err error
	switch {
	case d.o.configKey != "":
		if c.ConfigKey, err = hex.DecodeString(d.o.configKey); err != nil || len(c.ConfigKey) != ed25519.PublicKeySize {
			return errors.New("-config-key is not the hex of 32 bytes")
		}
	case d.o.server == "":
		// The bank in this process has the published keys, in a cassette too.
		c.ConfigKey = demo.Signer().Public().(ed25519.PublicKey)
	}
	if d.o.config == "" {
		return nil
	}
	signed, err := d.value(ctx, "configuration", func(context.Context) (string, error) {
		b, err := os.ReadFile(d.o.config)
		return hex.EncodeToString(b), err
	})
	if err == nil {
		c.Configuration, err = hex.DecodeString(signed)
	}
	if err != nil {
		return fmt.Errorf("-config: %w", err)
	}
	return nil
}

// sayConfiguration says what the unit knows of the bank.
func (d *demonstration) sayConfiguration(ctx context.Context) error {
	v, err := d.unit.Terminal().ConfigurationVersion(ctx)
	if err != nil || v == 0 {
		return err
	}
	d.screen.line("unit", fmt.Sprintf("knows the bank's keys from its signed configuration, version %d", v), 0)
	return nil
}
