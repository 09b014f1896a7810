package main

import (
	"context"
	"io"
	"log"
	"net"
	"os"

	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/payment"
	"github.com/payunit/payunit/payment/softunit"
	"github.com/payunit/payunit/trusted/vault"
)

// relay is all that the app implements: a way for opaque bytes to the server.
type relay string

func (address relay) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", string(address))
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func main() { // minimal HOST:PORT ACTIVATION ORDER
	card := must(simcard.New(simcard.AllProfiles()[0], simcard.Options{PKI: testkeys.PKI()}))
	unit := must(softunit.Open(context.Background(), softunit.Config{
		Dir: "unit", Key: vault.InsecureKeyFile(), TerminalFile: "terminal.json", CAPKFile: "capk.json",
		Link: relay(os.Args[1]), Activation: os.Args[2], Reader: card.Reader("software card"),
	}))
	result := must(unit.Pay(context.Background(), payment.Order{ID: os.Args[3]}))
	os.Stdout.WriteString(result.Receipt)
}
