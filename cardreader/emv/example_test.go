package emv_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/payunit/payunit/cardreader/emv"
	"github.com/payunit/payunit/cardreader/emv/oda"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/payment/money"
)

// nobody neither chooses nor has a PIN.
type nobody struct{}

func (nobody) Choose(context.Context, []emv.Candidate) (int, error) { return 0, emv.ErrCancelled }

func (nobody) VerifyPIN(context.Context, emv.PINRequest) (emv.PINResult, error) {
	return emv.PINResult{Entry: emv.PINBypassed}, nil
}

// A sale that the bank can't be asked about, with a software card.
func Example() {
	terminal, err := emv.ParseTerminal(strings.NewReader(`{
	  "type": "22", "capabilities": "20F8C8", "additional_capabilities": "6000F0A001", "country": "276",
	  "applications": [{
	    "aid": "A0000000031010", "partial": true, "version": "0096",
	    "tac_denial": "0010000000", "tac_online": "D84004F800", "tac_default": "D84000A800",
	    "floor_limit": 5000, "default_ddol": "9F3704"
	  }]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	profile, err := simcard.LookupProfile("nocvm")
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	if err := simcard.WriteCAPK(&file, testkeys.PKI(), []simcard.Profile{profile}); err != nil {
		fmt.Println(err)
		return
	}
	keys, err := oda.ParseCAPK(&file)
	if err != nil {
		fmt.Println(err)
		return
	}
	kernel, err := emv.New(emv.Config{
		Terminal: terminal, CAKeys: keys, PIN: nobody{}, Chooser: nobody{},
		Now: func() time.Time { return time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	sc, err := simcard.New(profile, simcard.Options{PKI: testkeys.PKI()})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	card, err := sc.Reader("software card").Connect(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer card.Close()
	euro, err := money.ByCode("EUR")
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := kernel.Start(ctx, card, emv.Transaction{Amount: money.New(1234, euro), Counter: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	outcome := session.Outcome()
	if session.Decision() == emv.Online {
		if outcome, err = session.Complete(ctx, emv.HostResponse{Unable: true}); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(outcome.Name(), outcome.Decision, outcome.CryptogramType)
	fmt.Println(outcome.ODA, "TVR", outcome.TVR)
	fmt.Println(outcome.CVM.Statement())
	// Output:
	// PAYUNIT TEST approved TC
	// DDA ok TVR 0000000000
	// NO VERIFICATION
}
