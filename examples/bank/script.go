package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/cardreader/tlv"
	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/money"
)

// script is bank script: it owes a card a command, or lists the commands that
// cards were owed. What is secret comes by standard input: a PIN, and a card's
// number where it is not given with its middle hidden.
func script(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("bank script", flag.ContinueOnError)
	f.SetOutput(stderr)
	store := f.String("store", "bank.db", "the ledger: a SQLite file, or postgres://USER@HOST/DATABASE")
	cards := f.String("cards", "", "issuer's cards file; empty is the software cards of these examples")
	keys := f.String("keys", "", "keys file; empty takes the published demo keys")
	currency := f.String("currency", "EUR", "currency of the card's offline amount")
	name := f.String("card", "", "the card: its number with the middle hidden (476173******0010), its reference, or - to read its number from standard input")
	early := f.Bool("before", false, "send it before the card's last word (template 71), not after it (72)")
	lower := f.Int("lower", -1, "limits: payments in a row that the card may approve by itself before it asks its issuer")
	upper := f.Int("upper", -1, "limits: and where its issuer can't be reached")
	amount := f.String("amount", "", "limits: what they may come to together, 123.45")
	sfi := f.Int("sfi", 21, "record: the file")
	record := f.Int("record", 1, "record: the record's number")
	content := f.String("content", "", "record: what it is to be, in hex")
	asJSON := f.Bool("json", false, "print one JSON object")
	f.Usage = func() {
		fmt.Fprintf(stderr, "bank script gives a card a command, which goes with the answers to its payments until it has confirmed it.\n\nUsage: bank script [flags] -card CARD COMMAND\n       bank script [flags] [-card CARD] list\n\nCommands:\n")
		for _, c := range scriptCommands {
			fmt.Fprintf(stderr, "  %-12s %s\n", c.command, c.text)
		}
		fmt.Fprintln(stderr)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	usage := func(why string) int {
		fmt.Fprintf(stderr, "bank script: %s\n", why)
		return 2
	}
	if f.NArg() != 1 {
		return usage("want one command; -help lists them")
	}
	command := f.Arg(0)
	if *name == "" && command != "list" {
		return usage("-card names the card")
	}
	in := issuer.Instruction{Command: issuer.Command(command), Early: *early}
	defer func() { in.PIN.Wipe() }()
	lines := lines{stdin}
	number, err := cardName(*name, lines)
	if err != nil {
		return usage(err.Error())
	}
	switch in.Command {
	case issuer.PINChange:
		if in.PIN, err = readPIN(lines); err != nil {
			return usage(err.Error())
		}
	case issuer.PutData:
		if in.Objects, err = limits(*lower, *upper, *amount, *currency); err != nil {
			return usage(err.Error())
		}
	case issuer.UpdateRecord:
		if in.Content, err = hex.DecodeString(*content); err != nil || *sfi < 0 || *sfi > 255 || *record < 0 || *record > 255 {
			return usage("want -sfi, -record and -content in hex")
		}
		in.SFI, in.Record = byte(*sfi), byte(*record)
	}
	c := bank.Config{Store: *store, Balance: demoBalance}
	if c.Currency, err = money.ByCode(*currency); err != nil {
		return usage("-currency: " + err.Error())
	}
	if err = instruct(ctx, c, *cards, *keys, number, in, *asJSON, stdout); err != nil {
		fmt.Fprintf(stderr, "bank script: %v\n", err)
		return 1
	}
	return 0
}

var scriptCommands = [...]struct {
	command issuer.Command
	text    string
}{
	{issuer.PINUnblock, "gives the PIN tries back, the card's and the issuer's"},
	{issuer.PINChange, "and a new PIN, read from standard input"},
	{issuer.ApplicationBlock, "blocks the application; the issuer refuses the card at once"},
	{issuer.ApplicationUnblock, "takes that back"},
	{issuer.CardBlock, "blocks the card, for good"},
	{issuer.PutData, "changes what the card may approve by itself: -lower, -upper, -amount"},
	{issuer.UpdateRecord, "replaces a record of the issuer's own: -sfi, -record, -content"},
	{"list", "shows the commands that cards were given, and what has become of them"},
}

// cardName is a card's name as given, or its number from standard input. A number
// among the arguments is refused: other users of the machine see those.
func cardName(name string, lines lines) (string, error) {
	if name == "-" {
		return line(lines)
	}
	if len(name) >= 12 && strings.Trim(name, "0123456789") == "" && len(name) < 32 {
		return "", errors.New("a card's number does not belong among the arguments, which others can see: hide its middle, or -card - reads it from standard input")
	}
	return name, nil
}

// lines are those of standard input, read byte by byte: a buffer would keep a PIN.
type lines struct{ r io.Reader }

// maxLine is room for a number or a PIN.
const maxLine = 64

// next returns the next line without spaces around it; the caller clears it.
func (l lines) next() ([]byte, error) {
	b := make([]byte, 0, maxLine)
	var one [1]byte
	defer clear(one[:])
	for {
		n, err := l.r.Read(one[:])
		switch {
		case n == 1 && one[0] == '\n':
			return bytes.TrimSpace(b), nil
		case n == 1 && len(b) == maxLine:
			clear(b)
			return nil, fmt.Errorf("a line of more than %d characters", maxLine)
		case n == 1:
			b = append(b, one[0])
		}
		if errors.Is(err, io.EOF) {
			return bytes.TrimSpace(b), nil
		}
		if err != nil {
			clear(b)
			return nil, err
		}
	}
}

func line(l lines) (string, error) {
	b, err := l.next()
	defer clear(b)
	if err != nil || len(b) == 0 {
		return "", fmt.Errorf("nothing on standard input: %v", err)
	}
	return string(b), nil
}

func readPIN(l lines) (secret.Bytes, error) {
	b, err := l.next()
	defer clear(b)
	if err != nil || len(b) == 0 {
		return secret.Bytes{}, fmt.Errorf("want the new PIN on standard input: %v", err)
	}
	return secret.CopyBytes(b), nil
}

// limits are the objects that bound a card's offline payments.
func limits(lower, upper int, amount, currency string) ([]byte, error) {
	var out []byte
	for _, l := range []struct {
		n   int
		tag tlv.Tag
	}{{lower, 0x9F14}, {upper, 0x9F23}} {
		if l.n > 255 {
			return nil, errors.New("-lower, -upper: want 0 to 255")
		}
		if l.n >= 0 {
			out = tlv.Append(out, l.tag, []byte{byte(l.n)})
		}
	}
	if amount != "" {
		c, err := money.ByCode(currency)
		if err != nil {
			return nil, err
		}
		a, err := money.Parse(amount, c)
		if err != nil {
			return nil, err
		}
		bcd, err := a.BCD12()
		if err != nil {
			return nil, err
		}
		out = tlv.Append(out, 0x9F54, bcd[:])
	}
	if len(out) == 0 {
		return nil, errors.New("want -lower, -upper or -amount")
	}
	return out, nil
}

// instruct opens the desk and does it.
func instruct(ctx context.Context, c bank.Config, cards, keys, card string, in issuer.Instruction, asJSON bool, w io.Writer) error {
	var err error
	if c.Keys, err = loadKeys(keys); err != nil {
		return err
	}
	if cards != "" {
		f, err := os.Open(cards)
		if err != nil {
			return err
		}
		defer f.Close()
		c.Cards = f
	}
	o, err := bank.OpenOperator(ctx, c)
	if err != nil {
		return err
	}
	defer o.Close()
	var k issuer.Known
	if card != "" {
		if k, err = o.Card(card); err != nil {
			return err
		}
	}
	if in.Command == "list" {
		return listScripts(ctx, o, k.Ref, asJSON, w)
	}
	in.Card = k.Ref
	s, err := o.Instruct(ctx, in)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"script": s.Number, "command": s.Command, "card": k.Masked, "ref": k.Ref})
	}
	_, err = fmt.Fprintf(w, "script %d, %s, goes to %s with the answer to its next payment\n", s.Number, s.Command, k.Masked)
	return err
}

// listed is a script in the list.
type listed struct {
	Script  uint64 `json:"script"`
	Command string `json:"command"`
	Card    string `json:"card"`
	Ref     string `json:"ref"`
	State   string `json:"state"`
	Sent    int    `json:"sent"`
	Refused int    `json:"refused"`
	Result  string `json:"result,omitempty"`
}

func listScripts(ctx context.Context, o *bank.Operator, ref string, asJSON bool, w io.Writer) error {
	all, err := o.Scripts(ctx, ref)
	if err != nil {
		return err
	}
	list := []listed{}
	for _, s := range all {
		l := listed{Script: s.Number, Command: s.Command, Card: s.Masked, Ref: s.Card, State: string(s.State), Sent: s.Sent, Refused: s.Refused}
		if s.Result != 0 {
			l.Result = fmt.Sprintf("%02X", s.Result)
		}
		list = append(list, l)
	}
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"scripts": list})
	}
	for _, l := range list {
		fmt.Fprintf(w, "%6d  %-12s %-20s %-8s sent %d, refused %d  %s  %s\n", l.Script, l.Command, l.Card, l.State, l.Sent, l.Refused, l.Result, l.Ref)
	}
	return nil
}
