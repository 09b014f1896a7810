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
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/money"
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
		paying, stop := d.context(ctx)
		defer stop()
		r, rep, err = d.carryOut(paying)
		err = errors.Join(err, d.end(r, rep, err), d.close(r, rep))
	}
	s.close()
	switch {
	case err != nil:
		return failed(err, o.json, stdout, stderr)
	case o.enrol || o.rotate:
		return d.ceremonial(stdout, stderr)
	case rep != nil && d.settlement != nil:
		return settled(*d.settlement, o.json, stdout, stderr)
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
	if !asJSON {
		refused(rep.Refused, stdout)
	}
	if len(rep.Pending)+len(rep.Refused) > 0 {
		return exitUnknown
	}
	return exitDone
}

// refused names the debts that the bank has refused for good.
func refused(list []payment.RefusedDebt, stdout io.Writer) {
	for _, d := range list {
		fmt.Fprintf(stdout, "REFUSED BY THE BANK: the %s of order %s, %s %s, reference %s, %d times: %s (%s); it is kept, and -recover -again sends it once more\n",
			d.Owes, d.Order, d.Amount, d.Currency, d.RRN, d.Refusals, d.ResponseCode, d.Text)
	}
}

// settled shows a settlement: the totals of both sides, and where they differ.
func settled(s payment.Settlement, asJSON bool, stdout, stderr io.Writer) int {
	if asJSON {
		print(stdout, stderr, s)
		return exitDone
	}
	fmt.Fprintf(stdout, "\nbatch %d\n", s.Number)
	if len(s.Currencies) == 0 {
		fmt.Fprintln(stdout, "nothing to settle")
	}
	for _, c := range s.Currencies {
		unit := money.Currency{}
		if known, err := money.ByCode(c.Currency); err == nil {
			unit = known
		}
		amount := func(t payment.Total) string {
			return fmt.Sprintf("%d of %s", t.Count, money.New(int64(t.Minor), unit))
		}
		for _, r := range []struct {
			name       string
			ours, bank payment.Total
		}{
			{"debits", c.Unit.Debits, c.Server.Debits},
			{"debits undone", c.Unit.DebitReversals, c.Server.DebitReversals},
			{"credits", c.Unit.Credits, c.Server.Credits},
			{"credits undone", c.Unit.CreditReversals, c.Server.CreditReversals},
		} {
			fmt.Fprintf(stdout, "%-15s unit %-22s bank %s\n", r.name, amount(r.ours), amount(r.bank))
		}
		fmt.Fprintf(stdout, "%-15s unit %-22s bank %s\n", "net", money.New(c.Unit.Net(), unit), money.New(c.Server.Net(), unit))
		if !c.Agreed {
			fmt.Fprintf(stdout, "THE TOTALS DIFFER; %d uploaded, not at the bank: %s\n", c.Uploaded, strings.Join(c.Missing, ", "))
		}
	}
	refused(s.Refused, stdout)
	return exitDone
}

func print(stdout, stderr io.Writer, v any) {
	e := json.NewEncoder(stdout)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		fmt.Fprintf(stderr, "pay: printing: %v\n", err)
	}
}
