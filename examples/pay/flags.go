package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/payunit/payunit/examples/internal/bank"
	"github.com/payunit/payunit/payment/cassette"
	"github.com/payunit/payunit/payment/host"
	"github.com/payunit/payunit/payment/money"
	"github.com/payunit/payunit/payment/trade"
)

// options is the command line.
type options struct {
	amount     money.Amount
	kind       trade.Type
	original   string
	cashback   money.Amount
	tip        money.Amount
	order      string
	reader     string
	face       string
	card       string
	entry      string
	server     string
	serverKey  string
	config     string
	configKey  string
	channel    string
	activation string
	token      string
	pin        string
	pinFormat  uint
	capk       string
	terminal   string
	trace      string
	state      string
	storage    storage
	attest     string
	forget     bool
	partial    bool
	seed       uint64
	seeded     bool
	now        time.Time
	json       bool
	recover    bool
	again      bool
	enrol      bool
	rotate     bool
	settle     bool
	fault      string
	cancelAt   string
	cassette   bool
	passphrase string
	// args is the command line itself, tape what a cassette goes through.
	args []string
	tape *cassette.Tape
	// asks is set when a person at a terminal is to confirm and to enter the
	// PIN.
	asks         bool
	replyTimeout time.Duration
	// limits are those of the bank in this process; no flag sets them.
	limits host.Limits
}

// errUsage: the command line is wrong; the text has been printed.
var errUsage = errors.New("usage")

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{args: args}
	var amount, cashback, tip, currency, kind, now, keeps, enrols, attests string
	f := flag.NewFlagSet("pay", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&amount, "amount", "12.34", "what the order costs, in the currency's own decimals")
	f.StringVar(&cashback, "cashback", "5.00", "how much of the amount is cash, with -type cashback")
	f.StringVar(&tip, "tip", "", "what the scripted cardholder adds to a sale; the bank in this process lets them add as much as the amount,\nanother one what bank -tips says")
	f.StringVar(&currency, "currency", "EUR", "ISO 4217 code of the order's currency")
	f.StringVar(&kind, "type", "sale", "sale|refund|void|preauth|incremental|completion|cashback|balance|verification; the last two have no amount")
	f.StringVar(&o.original, "original", "", "the order that a refund gives back of, a void undoes, an incremental raises or a completion takes; may be empty for a refund, which this bank takes")
	f.BoolVar(&o.partial, "partial", false, "the bank in this process takes a part of a sale's amount where the card's account has no more, as bank -partial does; try -card low-balance")
	f.StringVar(&o.order, "order", "", "the order's id; empty makes a new one")
	f.StringVar(&o.reader, "reader", "sim", "sim, pcsc for any PC/SC reader, pcsc:NAME for one (build with -tags pcsc), or replay:FILE for a recorded session")
	f.StringVar(&o.face, "interface", "", "contact: the card is inserted; contactless: it is tapped; both: tapped, and inserted where that does not do;\nempty: both, and contact with -pin, a keypad, -cancel pin, a card or a card's fault that are about inserted cards;\nof PC/SC readers the one that gets a card; of a recording, its card's")
	f.StringVar(&o.entry, "entry", entryChip, "how the software card's data come: chip; stripe: the card is swiped; fallback: its chip is dead, and it is swiped then;\nmanual: its number is entered by hand. The bank in this process grants what is asked for, another one what bank -entry says")
	f.StringVar(&o.card, "card", "default", "profile of the software card, listed below")
	f.StringVar(&o.server, "server", "", "HOST:PORT of a running bank; empty starts one in this process")
	f.StringVar(&o.serverKey, "server-key", "", "hex of the public key that the bank has to have as the unit enrols; empty takes any that knows the code")
	f.StringVar(&o.config, "config", "", "file with a configuration of the bank that is signed (bank config), for the unit to take before it speaks to the bank")
	f.StringVar(&o.configKey, "config-key", "", "hex of the key that signs the bank's configurations; empty takes what the bank names as the unit enrols")
	f.StringVar(&o.channel, "channel", bank.ChannelNoise, "noise|tls: the secure channel to the bank, Noise with ML-KEM-768 or TLS 1.3 with X25519MLKEM768;\nwith -server, what that bank runs; chosen when the unit enrols")
	f.StringVar(&o.activation, "activation", "", "code that enrols this unit at the bank; empty takes the published demo code")
	f.StringVar(&o.token, "token", "", "the merchant's token for placing orders at -server; empty takes the published demo token")
	f.StringVar(&o.pin, "pin", "", "PIN that the scripted cardholder enters; without it, a terminal asks for it on a shuffled keypad\nwhen any other flag is given, else the cardholder enters the card's own")
	f.UintVar(&o.pinFormat, "pin-format", 4, "ISO 9564-1 PIN block: 4 under AES DUKPT, 0 under TDES DUKPT; chosen when the unit enrols")
	f.StringVar(&o.capk, "capk", "", "file with certification authority keys; empty takes the software cards' own")
	f.StringVar(&o.terminal, "terminal", "", "file with the terminal's EMV data; empty takes the documented example")
	f.StringVar(&o.trace, "trace", "", "file to record the card's traffic in, masked")
	f.BoolVar(&o.cassette, "cassette", false, "with -trace: record the whole payment, so that -reader replay:FILE makes it again to the byte;\nwithout -passphrase-file only of a software card at a bank in this process")
	f.StringVar(&o.passphrase, "passphrase-file", "", "file whose first line seals the cassette, or opens it")
	f.StringVar(&o.state, "state", "", "folder of the unit's sealed state and the card's; empty uses pay-state with -server, else a new one that is removed")
	f.StringVar(&keeps, "storage", "vault", "what seals the state: vault, a file under a key beside it, or tpm:ADDR, a TPM 2.0 at a device\n(/dev/tpmrm0), a Unix socket or HOST:PORT, with @HEX behind it for another NV index than 01805055")
	f.StringVar(&attests, "attest", "software", "what proves the device to the bank: software, a key in the state, or tpm:ADDR, a TPM 2.0 as in -storage,\nwhose key the bank certifies; chosen when the unit enrols")
	f.BoolVar(&o.forget, "forget", false, "make no payment: remove the TPM's counter of a -state that is gone")
	f.Uint64Var(&o.seed, "seed", 0, "makes the unit's and the card's random numbers repeatable")
	f.StringVar(&now, "now", "", "the unit's and the card's clock, RFC 3339; empty takes this machine's")
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object")
	f.BoolVar(&o.settle, "settle", false, "make no payment: close the batch of those in -state, and compare totals with the bank")
	f.StringVar(&enrols, "enrol", "", "make no payment: enrol the new unit in -state under this code, from bank activate")
	f.BoolVar(&o.rotate, "rotate", false, "make no payment: change the keys of the unit in -state for new ones of the bank's")
	f.BoolVar(&o.again, "again", false, "with -recover: what the bank has refused for good is sent once more")
	f.BoolVar(&o.recover, "recover", false, "make no payment: settle what earlier ones in -state owe")
	f.StringVar(&o.fault, "fault", "", "what goes wrong, listed below")
	f.StringVar(&o.cancelAt, "cancel", "", "confirm|pin: where the cardholder presses cancel")
	f.DurationVar(&o.replyTimeout, "reply-timeout", 0, "how long the unit waits for the bank's answer; 0 means 30s, or 1s under a fault")
	f.Usage = func() { usage(f) }
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, errUsage
	}
	bad := func(format string, a ...any) (options, error) {
		fmt.Fprintf(stderr, "pay: "+format+"\nRun with -help for what there is.\n", a...)
		return o, errUsage
	}
	if f.NArg() > 0 {
		return bad("unexpected argument %q", f.Arg(0))
	}
	f.Visit(func(g *flag.Flag) { o.seeded = o.seeded || g.Name == "seed" })
	o.asks = f.NFlag() > 0 && o.pin == "" && !o.json && o.cancelAt == "" && !o.recover && !o.settle && enrols == "" && !o.rotate
	c, err := money.ByCode(currency)
	if err != nil {
		return bad("-currency: %v", err)
	}
	if o.amount, err = money.Parse(amount, c); err != nil {
		return bad("-amount: %v", err)
	}
	if trade.Type(kind).Inquiry() {
		o.amount.Minor = 0
	} else if o.amount.Minor <= 0 {
		return bad("-amount: a payment needs an amount over zero")
	}
	o.kind = trade.Type(kind)
	kinds := []trade.Type{trade.Sale, trade.Refund, trade.Void, trade.Preauth, trade.Incremental, trade.Completion, trade.Cashback, trade.Balance, trade.Verification}
	if !slices.Contains(kinds, o.kind) {
		return bad("-type: %q is none of sale, refund, void, preauth, incremental, completion, cashback, balance, verification", kind)
	}
	refers := o.kind == trade.Void || o.kind == trade.Completion || o.kind == trade.Incremental
	if o.original != "" && o.kind != trade.Refund && !refers {
		return bad("-original: a %s has none", o.kind)
	}
	if o.original == "" && refers {
		return bad("-original: a %s names the order that it is about", o.kind)
	}
	if tip != "" {
		if o.tip, err = money.Parse(tip, c); err != nil {
			return bad("-tip: %v", err)
		}
		if o.kind != trade.Sale || o.tip.Minor <= 0 {
			return bad("-tip is an amount over zero, for a sale")
		}
		// It says how much: nobody is asked at the text terminal.
		o.asks = false
	}
	if o.kind == trade.Cashback {
		if o.cashback, err = money.Parse(cashback, c); err != nil {
			return bad("-cashback: %v", err)
		}
	}
	if now != "" {
		if o.now, err = time.Parse(time.RFC3339, now); err != nil {
			return bad("-now: %q is no RFC 3339 time such as 2026-11-24T12:00:00Z", now)
		}
	}
	if o.pin != "" && (len(o.pin) < 4 || len(o.pin) > 12 || strings.Trim(o.pin, "0123456789") != "") {
		return bad("-pin: want 4 to 12 digits")
	}
	if o.pinFormat != 0 && o.pinFormat != 4 {
		return bad("-pin-format: %d is neither 0 nor 4", o.pinFormat)
	}
	if o.cancelAt != "" && o.cancelAt != "confirm" && o.cancelAt != "pin" {
		return bad("-cancel: %q is neither confirm nor pin", o.cancelAt)
	}
	x, err := findFault(o.fault)
	if err != nil {
		return bad("-fault: %v", err)
	}
	if o.storage, err = parseStorage(keeps); err != nil {
		return bad("-storage: %v", err)
	}
	if o.attest, err = parseAttest(attests); err != nil {
		return bad("-attest: %v", err)
	}
	if o.attest != "" && o.cassette {
		return bad("-cassette records -attest software: a TPM's answers are not kept")
	}
	if o.storage.tpm != "" && o.state == "" && o.server == "" && !o.forget {
		return bad("-storage tpm:ADDR needs -state: the TPM counts for one folder")
	}
	if o.forget && o.storage.tpm == "" {
		return bad("-forget needs -storage tpm:ADDR")
	}
	if o.channel != bank.ChannelNoise && o.channel != bank.ChannelTLS {
		return bad("-channel: %q is neither noise nor tls", o.channel)
	}
	switch {
	case o.cassette && o.channel == bank.ChannelTLS:
		return bad("-cassette records -channel noise: TLS draws randomness of its own")
	case o.cassette && o.trace == "":
		return bad("-cassette needs -trace: the file to record in")
	case o.cassette && o.passphrase == "" && (o.reader != "sim" || o.server != ""):
		return bad("-cassette holds PAN, PIN and keys: seal it with -passphrase-file")
	case o.passphrase != "" && !o.cassette && !strings.HasPrefix(o.reader, "replay:"):
		return bad("-passphrase-file seals what -cassette records and opens what -reader replay:FILE names: neither is given")
	}
	if o.face != faceAny && o.face != faceContact && o.face != faceContactless && o.face != faceBoth {
		return bad("-interface: %q is none of contact, contactless, both", o.face)
	}
	if o.face == faceBoth && strings.HasPrefix(o.reader, "replay:") {
		return bad("-interface both is for cards: a recording has the interface that its card was at")
	}
	if !slices.Contains([]string{entryChip, entryStripe, entryFallback, entryManual}, o.entry) {
		return bad("-entry: %q is none of chip, stripe, fallback, manual", o.entry)
	}
	if o.entry != entryChip && o.face == faceAny {
		o.face = faceContact
	}
	if o.entry != entryChip && (o.reader != "sim" || o.face != faceContact) {
		return bad("-entry %s is for the software card at -interface contact", o.entry)
	}
	if o.entry == entryManual {
		// The software card's number is entered: nobody is asked for one.
		o.asks = false
	}
	if enrols != "" {
		if o.activation != "" || o.rotate {
			return bad("-enrol stands alone: without -activation and -rotate")
		}
		o.enrol, o.activation = true, enrols
	}
	if (o.enrol || o.rotate) && (o.state == "" || o.recover || o.settle) {
		return bad("-enrol and -rotate need -state, the folder of the unit, and no -recover and no -settle")
	}
	if o.again && !o.recover {
		return bad("-again goes with -recover")
	}
	if o.recover && o.state == "" {
		return bad("-recover needs -state: the folder of the unit that owes something")
	}
	if o.settle && (o.state == "" || o.recover) {
		return bad("-settle needs -state, the folder of the unit that was paid, and no -recover")
	}
	if o.partial && o.server != "" {
		return bad("-partial is for the bank in this process: start the other one with bank -partial")
	}
	if x.bank && o.server != "" {
		return bad("-fault %s happens in the bank: leave -server out, or start the bank with a fault", o.fault)
	}
	return o, nil
}
