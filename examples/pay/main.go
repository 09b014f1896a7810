// Command pay makes one payment from the app's order to the receipt, and prints
// each step as it happens.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/payunit/payunit/payment"
)

// Exit codes.
const (
	exitDone      = 0
	exitError     = 1
	exitUsage     = 2
	exitDeclined  = 3
	exitCancelled = 4
	exitUnknown   = 5
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		return exitUsage
	}
	if o.forget {
		if err := o.storage.forget(ctx); err != nil {
			fmt.Fprintf(stderr, "pay: %v\n", err)
			return exitError
		}
		return exitDone
	}
	tape, err := openCassette(o)
	if err == nil && tape != nil {
		o, err = played(o, tape, stderr)
	}
	if err != nil {
		return failed(err, o.json, stdout, stderr)
	}
	o.asks = o.asks && stdin != nil && term.IsTerminal(int(stdin.Fd()))
	var out io.Writer
	if !o.json {
		out = stdout
	}
	s := newScreen(out)
	var r payment.Result
	var rep *payment.Report
	if tape != nil {
		var stop context.CancelFunc
		ctx, stop = tape.Context(ctx)
		defer stop()
	}
	d, err := compose(ctx, o, s, stdin, stdout)
	if err == nil {
		r, rep, err = d.carryOut(ctx)
		err = errors.Join(err, d.end(r, rep, err), d.close(r, rep))
	}
	s.close()
	switch {
	case err != nil:
		return failed(err, o.json, stdout, stderr)
	case rep != nil:
		return recovered(*rep, o.json, stdout, stderr)
	case o.json:
		print(stdout, stderr, r)
	default:
		fmt.Fprintf(stdout, "\n%s", r.Receipt)
		if d.keep != "" {
			fmt.Fprintf(stdout, "\nThe outcome is not known yet. Settle it with:\n  go run ./examples/pay -recover -state %s\n", d.keep)
		}
	}
	switch r.Outcome {
	case payment.Approved:
		return exitDone
	case payment.Cancelled:
		return exitCancelled
	case payment.Unknown:
		return exitUnknown
	}
	return exitDeclined
}

func failed(err error, asJSON bool, stdout, stderr io.Writer) int {
	if asJSON {
		print(stdout, stderr, map[string]string{"outcome": "error", "error": err.Error()})
	} else {
		fmt.Fprintf(stderr, "pay: %v\n", err)
	}
	return exitError
}

// recovered reports what was settled: everything, or not.
func recovered(rep payment.Report, asJSON bool, stdout, stderr io.Writer) int {
	if asJSON {
		print(stdout, stderr, rep)
	} else {
		fmt.Fprintf(stdout, "\n%d settled, %d still owed\n", len(rep.Settled), len(rep.Pending))
	}
	if len(rep.Pending) > 0 {
		return exitUnknown
	}
	return exitDone
}

func print(stdout, stderr io.Writer, v any) {
	e := json.NewEncoder(stdout)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		fmt.Fprintf(stderr, "pay: printing: %v\n", err)
	}
}
