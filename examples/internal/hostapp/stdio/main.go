// Command stdio is the host app with the unit inside, in a place that has
// nothing but standard input and output: a WebAssembly sandbox. Frame 0 brings
// an Order as JSON, and takes the result's JSON back; the other frames are the
// unit's connections to the bank.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/payunit/payunit/examples/internal/hostapp"
	"github.com/payunit/payunit/payment/mobile"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "stdio: %v (%s)\n", err, mobile.ErrorCode(err))
		os.Exit(1)
	}
}

func run() error {
	_, b, err := hostapp.Receive(os.Stdin)
	if err != nil {
		return err
	}
	var o hostapp.Order
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	frames := hostapp.NewFrames(os.Stdout)
	go func() {
		if err := frames.Run(os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, "stdio:", err)
		}
	}()
	app, err := hostapp.Open(hostapp.Config{
		Relay: hostapp.Stream{Dial: frames.Open}, Terminal: o.Terminal, Activation: o.Activation, State: hostapp.NewState(), PIN: o.PIN,
	}, nil)
	if err != nil {
		return err
	}
	card, err := hostapp.NewCard(o.Card)
	if err != nil {
		return err
	}
	if err := app.Unit.CardFound(card, card.Info()); err != nil {
		return err
	}
	r, err := app.Unit.Pay(o.ID, nil)
	if err != nil {
		return err
	}
	j, err := r.JSON()
	if err != nil {
		return err
	}
	if err := frames.Send(0, []byte(j)); err != nil {
		return err
	}
	return app.Unit.Close()
}
