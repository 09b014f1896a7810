// Command simcard is a software EMV card for other people's terminals.
//
//	simcard -line                        hex commands on stdin, hex responses on stdout
//	simcard -vpcd 127.0.0.1:35963        behind the virtual smart card reader of vsmartcard
//	simcard -capk-out capk.json -cards-out cards.json
//
// The last form writes what a terminal and an issuer need to accept the cards.
// All keys are published test keys.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/payment/money"
)

// Exit codes.
const (
	exitDone  = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the command line.
type options struct {
	vpcd, profile, state, faults string
	face                         string
	capkOut, cardsOut            string
	line                         bool
	balance                      int64
	currency                     string
	delay                        time.Duration
}

func run(ctx context.Context, args []string, in io.Reader, out, diag io.Writer) int {
	o, err := parse(args, out)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		fmt.Fprintf(diag, "simcard: %v\nsimcard -help lists the flags\n", err)
		return exitUsage
	}
	if err := carryOut(ctx, o, in, out, diag); err != nil {
		fmt.Fprintf(diag, "simcard: %v\n", err)
		if errors.Is(err, simcard.ErrProfile) || errors.Is(err, simcard.ErrFault) || errors.Is(err, errUsage) {
			return exitUsage
		}
		return exitError
	}
	return exitDone
}

var errUsage = errors.New("usage")

func parse(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("simcard", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.vpcd, "vpcd", "", "connect to the virtual reader (vpcd) at `HOST:PORT`, which usually listens on 127.0.0.1:35963")
	f.BoolVar(&o.line, "line", false, "read commands in hex from stdin, write responses in hex to stdout; a line 'reset' is a power-up")
	f.StringVar(&o.profile, "profile", "default", "card `NAME`")
	f.StringVar(&o.face, "interface", "contact", "contact, or contactless: the card as a contactless reader has it in its field")
	f.StringVar(&o.state, "state", "", "keep counters, tries and blocks in `FILE`; without it they end with the program")
	f.StringVar(&o.faults, "fault", "", "`LIST` of faults, ACTION@PLACE,...")
	f.DurationVar(&o.delay, "delay", 0, "how long each command takes")
	f.StringVar(&o.capkOut, "capk-out", "", "write the CA public keys of all profiles to `FILE`, - for stdout")
	f.StringVar(&o.cardsOut, "cards-out", "", "write the issuer's card file of all profiles to `FILE`, - for stdout")
	f.Int64Var(&o.balance, "balance", 100000, "balance in minor units, for -cards-out")
	f.StringVar(&o.currency, "currency", "EUR", "currency, for -cards-out and in the card")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			help(f, out)
		}
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%w: unexpected argument %q", errUsage, f.Arg(0))
	case o.face != "contact" && o.face != "contactless":
		return o, fmt.Errorf("%w: -interface %q is neither contact nor contactless", errUsage, o.face)
	case o.line && o.vpcd != "":
		return o, fmt.Errorf("%w: -line and -vpcd exclude each other", errUsage)
	case !o.line && o.vpcd == "" && o.capkOut == "" && o.cardsOut == "":
		return o, fmt.Errorf("%w: want -line, -vpcd, -capk-out or -cards-out", errUsage)
	}
	return o, nil
}

func help(f *flag.FlagSet, out io.Writer) {
	fmt.Fprintln(out, "simcard is a software EMV card. One of -line, -vpcd, -capk-out, -cards-out is needed.")
	f.SetOutput(out)
	f.PrintDefaults()
	fmt.Fprintln(out, "\nProfiles:")
	for _, p := range simcard.Profiles() {
		fmt.Fprintf(out, "  %-23s %s\n", p.Name, p.Text)
	}
	fmt.Fprintln(out, "\nFaults:")
	for _, i := range simcard.FaultHelp() {
		fmt.Fprintf(out, "  %-23s %s\n", i.Form, i.Text)
	}
	fmt.Fprintln(out, "\nExit: 0 done, 1 error, 2 usage.")
}

func carryOut(ctx context.Context, o options, in io.Reader, out, diag io.Writer) error {
	profile, err := simcard.LookupProfile(o.profile)
	if err != nil {
		return err
	}
	faults, err := simcard.ParseFaults(o.faults)
	if err != nil {
		return err
	}
	currency, err := money.ByCode(o.currency)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	pki := testkeys.PKI()
	if err := export(o, pki, currency, out); err != nil {
		return err
	}
	if !o.line && o.vpcd == "" {
		return nil
	}
	opts := simcard.Options{PKI: pki, Faults: faults, Currency: currency, Delay: o.delay}
	if o.state != "" {
		opts.State = simcard.FileState(o.state)
	}
	card, err := simcard.New(profile, opts)
	if err != nil {
		return err
	}
	var reader cardreader.Reader = card.Reader(o.profile)
	if o.face == "contactless" {
		reader = simcard.NewField(o.profile, card)
	}
	if o.line {
		return serveLines(ctx, reader, in, out)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", o.vpcd)
	if err != nil {
		return err
	}
	fmt.Fprintf(diag, "simcard: %s card in the virtual reader at %s\n", o.profile, o.vpcd)
	return serveVPCD(ctx, conn, reader)
}
