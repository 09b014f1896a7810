// Command bank is a payment server with acquirer, issuer and a ledger in a file or
// a PostgreSQL database. Units reach it through their apps' relays; the merchant places orders
// on the same port over HTTP. It stops on SIGINT and SIGTERM, and loses nothing
// that it acknowledged, however it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/examples/internal/demo"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/host/issuer"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// demoBalance is what each software card's account begins with, minor units.
const demoBalance = 10_000_000

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && slices.Contains([]string{"audit", "report", "backup", "again"}, args[0]) {
		return books(ctx, args[0], args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "script" {
		return script(ctx, args[1:], os.Stdin, stdout, stderr)
	}
	if len(args) > 0 && (args[0] == "activate" || args[0] == "revoke") {
		return terminals(ctx, args[0], args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "config" {
		return configuration(ctx, args[1:], stdout, stderr)
	}
	f := flag.NewFlagSet("bank", flag.ContinueOnError)
	f.SetOutput(stderr)
	listen := f.String("listen", "127.0.0.1:7583", "HOST:PORT for units and merchants")
	store := f.String("store", "bank.db", "the ledger's SQLite file, or postgres://USER@HOST/DATABASE, which several banks may share")
	cards := f.String("cards", "", "issuer's cards file; empty issues the software cards of these examples")
	keys := f.String("keys", "", "keys file; empty takes the published demo keys, which protect nothing")
	conf := f.String("config", "", "file with what units are told about this bank, signed by bank config; empty takes the published one with the published keys")
	currency := f.String("currency", "EUR", "currency of the software cards' accounts")
	kind := f.String("channel", bank.ChannelNoise, "noise|tls: the units' secure channels: Noise with ML-KEM-768, or TLS 1.3 with X25519MLKEM768")
	pinpad := f.String("pinpad", "", "accessible,bypass: what cardholders may do on the PIN pads: change to keys that stay in their places, skip the PIN")
	entry := f.String("entry", "", "stripe,fallback,manual: how cards' data may come beside the chip: from the stripe of a card without one, or whose chip can't be read, or entered by hand")
	tips := f.Int("tips", 0, "how large a tip a cardholder may add to a sale, in per cent of it, at most 100")
	partial := f.Bool("partial", false, "take a part of a sale's amount where the card's account has no more, and the cardholder agrees")
	makers := f.String("tpm-makers", "", "PEM file of the makers whose TPMs' endorsement certificates count, for units that attest by a TPM")
	pcrs := f.String("tpm-pcrs", "", "NUMBER=HEX,…: the register values of machines that count, with -tpm-makers")
	upstream := f.String("upstream", "", "HOST:PORT of the bank above, which then decides about payments; empty decides here")
	standin := f.String("stand-in", "", "AMOUNT,N,PREFIX,…: while the bank above can't be asked, approve up to AMOUNT, N times a day with a card, for account numbers that begin so")
	uses := f.Uint64("key-uses", 0, "have a terminal change its keys, after a payment, once it used N of a kind; 0 leaves that to its owner")
	logs := f.String("log", "text", "text|json: the form of what is told about requests")
	fault := f.String("fault", "", "lost-answer|lost-request|lost-answer-once: cut the channel of the first request, after or before it is booked, and of its repeat")
	f.Usage = func() {
		fmt.Fprintf(stderr, "bank serves payment units and the merchant's orders.\n\nUsage: bank [flags]\n       bank audit [flags]   checks the ledger, and names the first entry that is wrong\n       bank report [flags]  shows a day's totals\n       bank activate [flags]         gives a code that enrols a unit at a running bank\n       bank revoke [flags] TERMINAL  takes a terminal of a running bank out of service\n       bank config [flags]  signs what units are told about the bank: its keys, name and time\n       bank again [flags] MESSAGE    sends what the bank above has refused for good once more; bank report lists it\n       bank backup [flags]  copies the ledger's file while a bank serves from it\n       bank script [flags] -card CARD COMMAND  gives a card a command: unblock its PIN, block it, change its limits\n\n")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if f.NArg() > 0 {
		fmt.Fprintf(stderr, "bank: unexpected argument %q\n", f.Arg(0))
		return 2
	}
	c, err := money.ByCode(*currency)
	if err != nil {
		fmt.Fprintf(stderr, "bank: -currency: %v\n", err)
		return 2
	}
	if *fault != "" && *fault != bank.FaultLostAnswer && *fault != bank.FaultLostRequest && *fault != bank.FaultAnswerOnce {
		fmt.Fprintf(stderr, "bank: -fault: no fault %q\n", *fault)
		return 2
	}
	if *kind != bank.ChannelNoise && *kind != bank.ChannelTLS {
		fmt.Fprintf(stderr, "bank: -channel: no channel %q\n", *kind)
		return 2
	}
	if *logs != "text" && *logs != "json" {
		fmt.Fprintf(stderr, "bank: -log: no form %q\n", *logs)
		return 2
	}
	say := func(e host.Event) { tell(stdout, e) }
	if *logs == "json" {
		say = structured(stdout)
	}
	pin, err := pinPolicy(*pinpad)
	if err != nil {
		fmt.Fprintf(stderr, "bank: -pinpad: %v\n", err)
		return 2
	}
	if *tips < 0 || *tips > 100 {
		fmt.Fprintln(stderr, "bank: -tips: want 0 to 100")
		return 2
	}
	enters, err := bank.ParseEntry(*entry)
	if err != nil {
		fmt.Fprintf(stderr, "bank: -entry: %v\n", err)
		return 2
	}
	stand, err := standIn(*standin, c)
	if err != nil || stand != nil && *upstream == "" {
		fmt.Fprintf(stderr, "bank: -stand-in: want AMOUNT,N,PREFIX,… and -upstream: %v\n", err)
		return 2
	}
	cfg := bank.Config{PIN: pin, Entry: enters, TipPercent: *tips, Partial: *partial, KeyUses: *uses, Upstream: *upstream, StandIn: stand, Store: *store, Balance: demoBalance, Currency: c, Fault: *fault, Channel: *kind, Observe: say}
	if *makers != "" || *pcrs != "" {
		if cfg.TPM, err = bank.ParseTPM(*makers, *pcrs); err != nil {
			fmt.Fprintf(stderr, "bank: -tpm-makers, -tpm-pcrs: %v\n", err)
			return 2
		}
	}
	if *conf != "" {
		if cfg.Configuration, err = os.ReadFile(*conf); err != nil {
			fmt.Fprintf(stderr, "bank: -config: %v\n", err)
			return 1
		}
	}
	if err := serve(ctx, cfg, *listen, *cards, *keys, stdout); err != nil {
		fmt.Fprintf(stderr, "bank: %v\n", err)
		return 1
	}
	fmt.Fprintln(stdout, "bank: stopped; everything that was acknowledged is in the ledger")
	return 0
}

// standIn reads an amount, a number of payments a day, and beginnings of account
// numbers.
func standIn(list string, c money.Currency) (*host.StandIn, error) {
	if list == "" {
		return nil, nil
	}
	parts := strings.Split(list, ",")
	if len(parts) < 3 {
		return nil, errors.New("three things or more")
	}
	limit, err := money.Parse(parts[0], c)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return nil, err
	}
	return &host.StandIn{Limit: limit, Velocity: []issuer.Velocity{{Days: 1, Count: n}}, Cards: parts[2:]}, nil
}

// pinPolicy reads a list of what is granted.
func pinPolicy(list string) (trade.PINPolicy, error) {
	var p trade.PINPolicy
	for _, what := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		switch what {
		case "accessible":
			p.Accessible = true
		case "bypass":
			p.Bypass = true
		default:
			return p, fmt.Errorf("no grant %q", what)
		}
	}
	return p, nil
}

func serve(ctx context.Context, cfg bank.Config, listen, cards, keys string, stdout io.Writer) error {
	var err error
	if cfg.Keys, err = loadKeys(keys); err != nil {
		return err
	}
	if cards != "" {
		f, err := os.Open(cards)
		if err != nil {
			return err
		}
		defer f.Close()
		cfg.Cards = f
	}
	b, err := bank.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "bank: serving %s, ledger in %s\n", l.Addr(), bank.StoreName(cfg.Store))
	if keys == "" {
		fmt.Fprintln(stdout, "bank: with the published demo keys: anybody can forge what they protect")
	}
	if cfg.Upstream != "" {
		fmt.Fprintf(stdout, "bank: asks the bank at %s\n", cfg.Upstream)
	}
	return b.Serve(ctx, l)
}

func loadKeys(path string) (demo.Keys, error) {
	if path == "" {
		return demo.Default()
	}
	f, err := os.Open(path)
	if err != nil {
		return demo.Keys{}, err
	}
	defer f.Close()
	return demo.ParseKeys(f)
}

// structured tells events as lines of JSON.
func structured(w io.Writer) func(host.Event) {
	l := slog.New(slog.NewJSONHandler(w, nil))
	return func(e host.Event) {
		l.LogAttrs(context.Background(), slog.LevelInfo, e.Text, slog.String("terminal", e.Terminal), slog.String("order", e.Order),
			slog.String("code", e.Code), slog.Float64("ms", float64(e.Took.Microseconds())/1000))
	}
}

func tell(w io.Writer, e host.Event) {
	who := strings.TrimSpace(e.Terminal + " " + e.Order)
	if who == "" {
		who = "-"
	}
	took := ""
	if e.Took > 0 {
		took = e.Took.Round(10 * time.Microsecond).String()
	}
	fmt.Fprintf(w, "%s  %-28s %s  %s\n", time.Now().Format(time.TimeOnly), who, e.Text, took)
}
