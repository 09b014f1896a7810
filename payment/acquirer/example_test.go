package acquirer_test

import (
	"fmt"
	"time"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/acquirer"
	"github.com/payunit/payunit/payment/money"
)

// A sale is packed, taken apart again, and answered.
func Example() {
	eur, err := money.ByCode("EUR")
	if err != nil {
		fmt.Println(err)
		return
	}
	pan, err := secret.NewPAN([]byte("4761739001010010"))
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amount := money.New(1234, eur)
	request := &acquirer.Message{
		MTI: "0200", PAN: pan, ProcessingCode: acquirer.ProcessingSale, Amount: &amount,
		TransmissionTime: now, STAN: "000042", LocalTime: now, EntryMode: acquirer.EntryChip + "1",
		RRN: acquirer.RRN(now, "000042"), TerminalID: "TERM0001", MerchantID: "MERCHANT", Order: "A-1",
	}
	defer request.Wipe()

	d := acquirer.Default().WithClock(func() time.Time { return now })
	b, err := d.Pack(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer clear(b)
	received, err := d.Unpack(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer received.Wipe()
	fmt.Print(received)

	response, err := received.Response("51")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, approved := acquirer.ResponseText(response.ResponseCode)
	fmt.Println(response.MTI, text, approved, acquirer.Matches(request, response))

	_, err = d.Unpack(b[:40])
	fmt.Println(err)
	// Output:
	// 0200 financial request
	//   PAN              476173******0010
	//   processing code  000000 (purchase)
	//   amount           12.34 EUR
	//   transmitted      2026-03-01 12:00:00 UTC
	//   STAN             000042
	//   local time       2026-03-01 12:00:00
	//   entry mode       051 (chip)
	//   RRN              606012000042
	//   terminal         TERM0001
	//   merchant         MERCHANT
	//   order            A-1
	// 0210 not sufficient funds false <nil>
	// acquirer: malformed message: field 3 (processing code) at byte 38: ends after 2 of 6 bytes
}
