// Command cardinfo reads a payment card and explains it: its answer to reset,
// its directory and applications, every record and what it means, the
// certificates recovered and checked, and the rules by which it asks to be
// treated. Card numbers, tracks and names are masked unless asked otherwise.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/payunit/payunit/cardreader/simcard"
)

// The exit codes.
const (
	exitDone  = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	reader, card, capk string
	session            string
	aid                []byte
	json, showPAN      bool
	now                time.Time
	// say tells a person what to do.
	say func(text string)
}

// errUsage: the command line is wrong; the text has been printed.
var errUsage = errors.New("usage")

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var aid, date string
	f := flag.NewFlagSet("cardinfo", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.reader, "reader", "sim", "sim, pcsc for any PC/SC reader, pcsc:NAME for one (build with -tags pcsc), or replay:FILE for a recorded session")
	f.StringVar(&o.card, "card", "default", "profile of the software card, listed below")
	f.StringVar(&o.capk, "capk", "", "file with certification authority keys; empty takes the software cards' own")
	f.StringVar(&o.session, "session", "", "name of the session to read of a recording that holds several")
	f.StringVar(&aid, "aid", "", "hex of the one application to read; empty reads all")
	f.StringVar(&date, "date", "", "YYYY-MM-DD on which certificates have to be valid; empty takes the recorded session's, or today")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	f.BoolVar(&o.showPAN, "show-pan", false, "show card numbers, tracks and names as they are")
	f.Usage = func() { usage(f) }
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, errUsage
	}
	bad := func(format string, a ...any) (options, error) {
		fmt.Fprintf(stderr, "cardinfo: "+format+"\n", a...)
		return o, errUsage
	}
	if f.NArg() > 0 {
		return bad("%q is no flag", f.Arg(0))
	}
	var err error
	if o.aid, err = hex.DecodeString(aid); err != nil || len(o.aid) != 0 && (len(o.aid) < 5 || len(o.aid) > 16) {
		return bad("-aid: want the hex of 5 to 16 bytes")
	}
	if date != "" {
		if o.now, err = time.Parse(time.DateOnly, date); err != nil {
			return bad("-date: write it as 2026-11-24")
		}
	}
	if kind, name, _ := strings.Cut(o.reader, ":"); kind == "replay" && name == "" {
		return bad("-reader replay: the FILE is missing")
	}
	return o, nil
}

func usage(f *flag.FlagSet) {
	w := f.Output()
	fmt.Fprint(w, "cardinfo reads a payment card and explains it.\n\nUsage: cardinfo [flags]\n\n")
	f.PrintDefaults()
	fmt.Fprint(w, "\nProfiles of the software card:\n")
	for _, p := range simcard.Profiles() {
		fmt.Fprintf(w, "  %-16s %s\n", p.Name, p.Text)
	}
	fmt.Fprint(w, "\nExit: 0 read, 1 no card or nothing that could be read, 2 usage.\n")
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		return exitUsage
	}
	o.say = func(text string) { fmt.Fprintf(stderr, "cardinfo: %s\n", text) }
	r, err := inspect(ctx, o)
	if err != nil && r == nil {
		if o.json {
			err = errors.Join(err, json.NewEncoder(stdout).Encode(map[string]string{"error": err.Error()}))
		}
		fmt.Fprintf(stderr, "cardinfo: %v\n", err)
		return exitError
	}
	var werr error
	if o.json {
		e := json.NewEncoder(stdout)
		e.SetEscapeHTML(false)
		werr = e.Encode(r)
	} else {
		_, werr = io.WriteString(stdout, r.text())
	}
	if werr != nil {
		err = errors.Join(err, fmt.Errorf("writing: %w", werr))
	}
	if err != nil {
		fmt.Fprintf(stderr, "cardinfo: %v\n", err)
		return exitError
	}
	if len(r.Applications) == 0 {
		fmt.Fprintln(stderr, "cardinfo: the card has no application that could be selected")
		return exitError
	}
	return exitDone
}

// inspect reads the card, or a recorded one, and draws the report up. A card that
// was taken away too early has a report of what it gave until then, and an error.
func inspect(ctx context.Context, o options) (*report, error) {
	keys, err := authorities(o.capk)
	if err != nil {
		return nil, err
	}
	t, name, failed := session(ctx, o)
	if t == nil {
		return nil, failed
	}
	defer t.Wipe()
	on := o.now
	if on.IsZero() {
		var ok bool
		if on, ok = t.Date(); !ok {
			on = time.Now()
		}
	}
	r := draw(t, name, o, keys, on)
	r.Error = problem(failed)
	return r, failed
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
