package issuer_test

import (
	"encoding/hex"
	"fmt"
	"log"

	"github.com/payunit/payunit/cardreader/secret"
	"github.com/payunit/payunit/payment/host/issuer"
)

func ExamplePVV() {
	pvk, err := hex.DecodeString("0123456789ABCDEFFEDCBA9876543210")
	if err != nil {
		log.Fatal(err)
	}
	pan, err := secret.NewPAN([]byte("1122334455667788"))
	if err != nil {
		log.Fatal(err)
	}
	pvv, err := issuer.PVV(secret.NewBytes(pvk), '2', secret.CopyBytes([]byte("1912")), pan)
	fmt.Println(pvv, err)
	// Output: 3244 <nil>
}
