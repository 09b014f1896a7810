package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
)

// terminals is a command about the terminals of a running bank: bank activate
// gives a code that enrols one, bank revoke takes one out of service.
func terminals(ctx context.Context, name string, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bank "+name, flag.ContinueOnError)
	f.SetOutput(stderr)
	server := f.String("server", "127.0.0.1:7583", "HOST:PORT of the running bank")
	token := f.String("token", demo.Token, "the merchant's token at that bank")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	m := bank.Merchant{Address: *server, Token: *token}
	var err error
	switch {
	case name == "activate" && f.NArg() == 0:
		var code string
		if code, err = m.Activate(ctx); err == nil {
			fmt.Fprintln(stdout, code)
		}
	case name == "revoke" && f.NArg() == 1:
		if err = m.Revoke(ctx, f.Arg(0)); err == nil {
			fmt.Fprintf(stdout, "terminal %s is revoked\n", f.Arg(0))
		}
	default:
		fmt.Fprintln(stderr, "bank: want: bank activate [flags], or bank revoke [flags] TERMINAL")
		return 2
	}
	if err != nil {
		fmt.Fprintf(stderr, "bank: %v\n", err)
		return 1
	}
	return 0
}
