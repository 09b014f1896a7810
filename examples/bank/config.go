package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/trusted/config"
)

// configuration signs what units are told about the bank, on the machine that has
// the signing key: bank config.
func configuration(_ context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bank config", flag.ContinueOnError)
	f.SetOutput(stderr)
	fresh := f.String("new-signer", "", "make a signing key, write it to this new file, print its public half (config_key), and end")
	signer := f.String("signer", "", "file of the signing key; empty takes the published demo key, which protects nothing")
	keys := f.String("keys", "", "the bank's keys file; empty takes the published demo keys")
	version := f.Uint64("version", 0, "number of this configuration: one more than that of the last")
	list := f.String("list", "current", "current|next|next,current: the server's keys, the one that units are to use first")
	name := f.String("name", bank.Name, "the server's routing name")
	days := f.Int("days", 365, "how long it is good")
	out := f.String("out", "", "the file to write")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if f.NArg() > 0 || *fresh == "" && (*version == 0 || *out == "" || *days < 1 || *days > 36500) {
		fmt.Fprintln(stderr, "bank: want: bank config -version N -out FILE [flags], or bank config -new-signer FILE")
		return 2
	}
	var err error
	if *fresh != "" {
		err = newSigner(*fresh, stdout)
	} else {
		issued := time.Now().UTC().Truncate(time.Second)
		c := bank.Configuration{Version: *version, Name: *name, Issued: issued, Expires: issued.AddDate(0, 0, *days), Keys: strings.Split(*list, ",")}
		err = signConfiguration(c, *signer, *keys, *out, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bank: %v\n", err)
		return 1
	}
	return 0
}

func newSigner(path string, stdout io.Writer) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%x\n", private.Seed())
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%x\n", public)
	return nil
}

func readSigner(path string) (ed25519.PrivateKey, error) {
	if path == "" {
		return demo.Signer(), nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s: not a signing key of bank config -new-signer", path)
	}
	defer clear(seed)
	return ed25519.NewKeyFromSeed(seed), nil
}

func signConfiguration(c bank.Configuration, signer, keys, out string, stdout io.Writer) error {
	key, err := readSigner(signer)
	if err != nil {
		return err
	}
	k, err := loadKeys(keys)
	if err != nil {
		return err
	}
	b, err := c.Sign(k, key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, b, 0o644); err != nil {
		return err
	}
	s, err := config.Verify(b, key.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "version %d of %s, good until %s, signed under %x\n", s.Version, s.Name, s.Expires.Format(time.RFC3339), key.Public())
	for _, k := range s.Keys {
		fmt.Fprintf(stdout, "  suite %d, key id %x\n", k.Suite, k.ID())
	}
	return nil
}
