// Command explain decodes what payment cards and payment messages are made of:
// data objects, data object lists, answers to reset, APDUs, ISO 8583 messages,
// recorded card sessions and the certificates in them. Card numbers are masked
// unless asked otherwise; PIN data is never shown.
package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/payunit/payunit/examples/internal/sealed"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// The exit codes.
const (
	exitDone  = 0
	exitError = 1
	exitUsage = 2
)

// maxInput bounds what is read from standard input.
const maxInput = 1 << 20

// request is what the command line asks for.
type request struct {
	json, showPAN       bool
	capk, dialect, date string
	html, session       string
	passphrase          string
	colour              string
	args                []string
	stdin               io.Reader
	stdout, stderr      io.Writer
	now                 func() time.Time
}

// answer is what a decoder says: for machines, for people, and what is wrong
// with the input, which may come with an answer as far as it goes.
type answer struct {
	object any
	text   string
	err    error
}

// usageError is a command line that can't be followed.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, a ...any) error { return &usageError{fmt.Sprintf(format, a...)} }

// command is a sub-command.
type command struct {
	name, args, text string
	run              func(*request) (answer, error)
}

func commands() []command {
	return []command{
		{"tlv", "HEX", "BER-TLV data objects as a tree", explainTLV},
		{"tag", "TAG [HEX]", "one data element: what it is, and what its value says", explainTag},
		{"dol", "HEX", "a data object list", explainDOL},
		{"atr", "HEX", "an answer to reset", explainATR},
		{"apdu", "HEX", "a command or a response APDU", explainAPDU},
		{"iso8583", "HEX", "a payment message, with or without length and TPDU", explainISO8583},
		{"trace", "FILE", "a recorded card session: ours, a cassette, > hex lines, pcscd --apdu, pcsc-spy", explainTrace},
		{"oda", "FILE", "the certificates and signatures of a recorded session, checked again with -capk FILE", explainODA},
	}
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	r := &request{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now}
	f := flag.NewFlagSet("explain", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.BoolVar(&r.json, "json", false, "print one JSON object")
	f.BoolVar(&r.showPAN, "show-pan", false, "show card numbers, tracks and names as they are")
	f.StringVar(&r.capk, "capk", "", "file with certification authority keys, for oda")
	f.StringVar(&r.dialect, "dialect", "", "ISO 8583 dialect; empty tries those that are known")
	f.StringVar(&r.date, "date", "", "YYYY-MM-DD on which certificates have to be valid, for oda; empty takes the session's, or today")
	f.StringVar(&r.html, "html", "", "write the explained trace as one page to this file, besides")
	f.StringVar(&r.colour, "color", "auto", "auto, always or never")
	f.StringVar(&r.passphrase, "passphrase-file", "", "file whose first line opens a sealed cassette")
	f.StringVar(&r.session, "session", "", "the one session to take of a file that holds several, by its name")
	f.Usage = func() { usage(f) }
	// Flags may stand before, between and after the arguments.
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return exitDone
			}
			return exitUsage
		}
		if f.NArg() == 0 {
			break
		}
		r.args = append(r.args, f.Arg(0))
		args = f.Args()[1:]
	}
	if len(r.args) == 0 {
		f.Usage()
		return exitUsage
	}
	switch r.colour {
	case "auto", "always", "never":
	default:
		fmt.Fprintf(stderr, "explain: -color: auto, always or never, not %q\n", r.colour)
		return exitUsage
	}
	name := r.args[0]
	r.args = r.args[1:]
	for _, c := range commands() {
		if c.name == name {
			return r.execute(c)
		}
	}
	fmt.Fprintf(stderr, "explain: there is no %q; explain -help lists what there is\n", name)
	return exitUsage
}

func usage(f *flag.FlagSet) {
	w := f.Output()
	fmt.Fprint(w, "explain decodes card and payment data.\n\nUsage: explain COMMAND ARGUMENT [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %-10s %s\n", c.name, c.args, c.text)
	}
	fmt.Fprint(w, "\nHEX may hold spaces and colons; - reads it from standard input.\n\n")
	f.PrintDefaults()
	fmt.Fprint(w, "\nExit: 0 decoded (oda: everything verified), 1 malformed or not verified, 2 usage.\n")
}

func (r *request) execute(c command) int {
	a, err := c.run(r)
	var u *usageError
	switch {
	case errors.As(err, &u):
		fmt.Fprintf(r.stderr, "explain %s: %v\nUsage: explain %s %s\n", c.name, err, c.name, c.args)
		return exitUsage
	case err != nil:
		fmt.Fprintf(r.stderr, "explain %s: %v\n", c.name, err)
		return exitError
	}
	if err := r.print(a); err != nil {
		fmt.Fprintf(r.stderr, "explain %s: writing: %v\n", c.name, err)
		return exitError
	}
	if a.err != nil {
		fmt.Fprintf(r.stderr, "explain %s: %v\n", c.name, a.err)
		return exitError
	}
	return exitDone
}

func (r *request) print(a answer) error {
	if !r.json {
		text := a.text
		if r.colour == "always" || r.colour == "auto" && terminal(r.stdout) {
			text = coloured(text)
		}
		_, err := io.WriteString(r.stdout, text)
		return err
	}
	e := json.NewEncoder(r.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(a.object)
}

// hex reads the arguments from the n-th on as hexadecimal.
func (r *request) hex(n int) ([]byte, error) {
	if len(r.args) <= n {
		return nil, usagef("the HEX is missing")
	}
	s := strings.Join(r.args[n:], "")
	if s == "-" {
		b, err := io.ReadAll(io.LimitReader(r.stdin, maxInput+1))
		if err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
		if len(b) > maxInput {
			return nil, fmt.Errorf("standard input is longer than %d bytes", maxInput)
		}
		s = string(b)
	}
	s = strings.TrimPrefix(strings.TrimPrefix(strings.Map(func(c rune) rune {
		switch c {
		case ' ', '\t', '\n', '\r', ':':
			return -1
		}
		return c
	}, s), "0x"), "0X")
	b, err := hex.DecodeString(s)
	switch {
	case errors.Is(err, hex.ErrLength):
		return nil, usagef("an odd number of hexadecimal digits")
	case err != nil:
		// The error of encoding/hex names the character; that is all it gives away.
		return nil, usagef("not hexadecimal: %v", err)
	case len(b) == 0:
		return nil, usagef("the HEX is empty")
	}
	return b, nil
}

// file reads the one argument; a sealed cassette is opened with the passphrase.
func (r *request) file() (io.Reader, func() error, error) {
	if len(r.args) != 1 {
		return nil, nil, usagef("one FILE is wanted, %d are given", len(r.args))
	}
	f, err := os.Open(r.args[0])
	if err != nil {
		return nil, nil, err
	}
	in, err := r.unsealed(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return in, f.Close, nil
}

func (r *request) unsealed(in io.Reader) (io.Reader, error) {
	var passphrase string
	if r.passphrase != "" {
		var err error
		if passphrase, err = sealed.Passphrase(r.passphrase); err != nil {
			return nil, fmt.Errorf("-passphrase-file: %w", err)
		}
	}
	out, err := sealed.Reader(in, passphrase)
	if errors.Is(err, sealed.ErrPassphrase) {
		return nil, fmt.Errorf("%w; give -passphrase-file", err)
	}
	return out, err
}

// problem is an error's text for the JSON object, "" for none.
func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func upper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
