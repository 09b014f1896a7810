//go:build pcsc && hardware

package pcsc_test

import (
	"flag"
	"testing"

	"github.com/payunit/payunit/cardreader"
	"github.com/payunit/payunit/cardreader/cardtest"
	"github.com/payunit/payunit/cardreader/pcsc"
)

var readerName = flag.String("reader", "", "name of the reader with a payment card in it, or a part of it")

// TestHardware holds a reader and a card that are there against the contract:
//
//	go test -tags pcsc,hardware ./cardreader/pcsc -run TestHardware -reader NAME
func TestHardware(t *testing.T) {
	if *readerName == "" {
		t.Fatal("-reader NAME is missing: the reader with a payment card in it")
	}
	s, err := pcsc.New(pcsc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cardtest.Run(t, func() cardreader.Reader { return s.Reader(*readerName) })
}
