package simcard_test

import (
	"context"
	"fmt"

	"github.com/payunit/payunit/cardreader/apdu"
	"github.com/payunit/payunit/cardreader/simcard"
	"github.com/payunit/payunit/cardreader/simcard/testkeys"
	"github.com/payunit/payunit/cardreader/tlv"
)

// A terminal's first step: power the card and select its application.
func Example() {
	ctx := context.Background()
	profile, err := simcard.LookupProfile("default")
	if err != nil {
		panic(err)
	}
	faults, err := simcard.ParseFaults("remove@gpo")
	if err != nil {
		panic(err)
	}
	card, err := simcard.New(profile, simcard.Options{PKI: testkeys.PKI(), Faults: faults})
	if err != nil {
		panic(err)
	}
	slot, err := card.Reader("software card").Connect(ctx)
	if err != nil {
		panic(err)
	}
	defer slot.Close()

	r, err := apdu.Send(ctx, slot, apdu.Select([]byte{0xA0, 0, 0, 0, 0x03, 0x10, 0x10}, false))
	if err != nil {
		panic(err)
	}
	label, _ := tlv.Find(r.Data, 0x50)
	fmt.Printf("%s: %v\n", label, r.SW)
	_, err = apdu.Send(ctx, slot, apdu.GetProcessingOptions([]byte{0x83, 0x00}))
	fmt.Println(err != nil)
	// Output:
	// PAYUNIT TEST: 9000 done
	// true
}
